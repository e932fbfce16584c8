// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Errors of Decode. None of them quotes the message.
var (
	// ErrUnreadable is returned for a message that is no Receipt, or only a part of one.
	ErrUnreadable = errors.New("the termination message holds no readable receipt")
	// ErrNewer is wrapped when a newer data plane wrote the Receipt.
	ErrNewer = errors.New("the receipt's version is newer than this reader: upgrade the manager")
)

// Decode reads what Encode wrote. Bytes after the end of the Receipt are ignored: the tail of an older and longer one, or
// NULs, that a killed writer had no time to cut off. Anything longer than MaxBytes, and anything that no writer can have
// meant, is refused.
func Decode(b []byte) (*Receipt, error) {
	if len(b) > MaxBytes {
		return nil, ErrUnreadable
	}
	var (
		r   *Receipt
		err error
	)
	switch version := packedVersion(b); {
	case version == 1:
		r, err = unpack(b[len(magic):])
	case version > 1:
		return nil, fmt.Errorf("%w (packed form %d)", ErrNewer, version)
	default:
		r, err = decodeJSON(b)
	}
	switch {
	case errors.Is(err, ErrNewer):
		return nil, err
	case err != nil:
		return nil, ErrUnreadable
	case r.Version > Version:
		return nil, newer(r.Version)
	case r.validate() != nil:
		return nil, ErrUnreadable
	}
	c := normalise(r)
	return &c, nil
}

func newer(version int) error { return fmt.Errorf("%w (version %d)", ErrNewer, version) }

// packedVersion reads the number in a magic like "rz1:"; 0 if there is none.
func packedVersion(b []byte) int {
	head, _, found := bytes.Cut(b[:min(len(b), len(magic)+4)], []byte(":"))
	if !found || !bytes.HasPrefix(head, []byte("rz")) {
		return 0
	}
	version, err := strconv.ParseUint(string(head[2:]), 10, 16)
	if err != nil {
		return 0
	}
	return int(version)
}

// decodeJSON looks at the version first, because a newer one may give any other field another type.
func decodeJSON(b []byte) (*Receipt, error) {
	var head struct {
		Version int `json:"v"`
	}
	if err := first(b, &head); err != nil {
		return nil, err
	}
	if head.Version > Version {
		return nil, newer(head.Version)
	}
	r := &Receipt{}
	return r, first(b, r)
}

// first decodes the first JSON value of b.
func first(b []byte, v any) error { return json.NewDecoder(bytes.NewReader(b)).Decode(v) }
