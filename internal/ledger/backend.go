// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"log/slog"
	"time"

	"github.com/transparency-dev/tessera"
)

// The drivers.
const (
	// DriverPOSIX keeps the log in a folder, which looks as an export does (see evidence.ExportCheckpoint).
	DriverPOSIX = "posix"
	// DriverMySQL keeps it in a MySQL or MariaDB database.
	DriverMySQL = "mysql"
)

// backend is where a log is kept. Whoever has opened one is the only writer until it is closed, or until whenLost says so.
type backend interface {
	tiles
	// logDriver is the one of Tessera, with which the log grows.
	logDriver(ctx context.Context) (tessera.Driver, error)
	// treeState returns the size and root of what is in the tree and will be there after any crash. The size of a log that
	// has never been opened is 0, its root nil.
	treeState(ctx context.Context) (size uint64, root []byte, err error)
	// ReadCheckpoint returns the checkpoint that was published last, or fs.ErrNotExist.
	ReadCheckpoint(ctx context.Context) ([]byte, error)

	// putStatement stores the envelope of a statement with that digest, durably, in place of one that is there.
	putStatement(ctx context.Context, d digest, envelope []byte) error
	// statement returns it, or fs.ErrNotExist.
	statement(ctx context.Context, d digest) ([]byte, error)
	// removeStatement removes it, durably; there need not be any.
	removeStatement(ctx context.Context, d digest) error
	// statements returns the digests of all.
	statements(ctx context.Context) (map[digest]struct{}, error)

	// whenLost has an error once the backend is no longer the only writer for certain.
	whenLost() <-chan error
	Close() error
}

// tiles is how the tree is read: the resources of C2SP tlog-tiles. A p that is not 0 asks for the first p entries of a tile
// that is not full; a larger one may be returned.
type tiles interface {
	ReadTile(ctx context.Context, level, index uint64, p uint8) ([]byte, error)
	ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error)
}

// retryLock calls try until it says nothing, or fails. What it waits for is logged at first, and then every half minute.
func retryLock(ctx context.Context, log *slog.Logger, try func() (waiting string, err error)) error {
	const every, perLine = 250 * time.Millisecond, 120
	for n := 0; ; n++ {
		waiting, err := try()
		if waiting == "" || err != nil {
			return err
		}
		if n%perLine == 0 {
			log.Warn(waiting)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}
