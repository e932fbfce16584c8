// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// isNetwork says whether an error means that the connection is gone, or could not be made.
func isNetwork(err error) bool {
	var op net.Error
	var dial *pgconn.ConnectError
	switch {
	case errors.As(err, &op), errors.As(err, &dial):
		return true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, os.ErrDeadlineExceeded):
		return true
	}
	// pgx has no type for a use of a connection that it has closed.
	return err != nil && (strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "conn busy"))
}
