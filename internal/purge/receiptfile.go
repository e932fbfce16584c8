// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"fmt"
	"os"

	"dataretention.dev/retention-operator/internal/receipt"
)

// ReceiptWriter takes the latest Receipt in place of the one before.
type ReceiptWriter interface {
	Write(r *receipt.Receipt) error
}

// ReceiptFile rewrites a Receipt in place. The kubelet mounts the file itself, so that it cannot be replaced by another.
type ReceiptFile struct {
	file *os.File
}

// OpenReceiptFile opens the file, or makes it.
func OpenReceiptFile(path string) (*ReceiptFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644) // the kubelet reads it
	if err != nil {
		return nil, fmt.Errorf("opening the receipt's file: %w", err)
	}
	return &ReceiptFile{file: f}, nil
}

// Write writes r over what is there and then cuts off what is left of a longer one. Between the two a reader sees a whole
// Receipt followed by the tail of an older one, which receipt.Decode knows how to read.
func (f *ReceiptFile) Write(r *receipt.Receipt) error {
	b, err := receipt.Encode(r)
	if err != nil {
		return fmt.Errorf("encoding the receipt: %w", err)
	}
	if _, err := f.file.WriteAt(b, 0); err != nil {
		return fmt.Errorf("writing the receipt: %w", err)
	}
	if err := f.file.Truncate(int64(len(b))); err != nil {
		return fmt.Errorf("cutting the receipt: %w", err)
	}
	return nil
}

// Close closes the file.
func (f *ReceiptFile) Close() error { return f.file.Close() }
