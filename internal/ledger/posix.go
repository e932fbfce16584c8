// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"

	"dataretention.dev/retention-operator/internal/evidence"
)

const (
	// lockName is a file that nothing else uses: Tessera has lock files of its own, for other purposes.
	lockName = "ledger.lock"
	// stateDir and stateName are where Tessera keeps the size and root of the tree.
	stateDir  = ".state"
	stateName = "treeState"
	// partial begins the name of a statement that is being written.
	partial = ".partial-"
)

// posixBackend keeps a log in a folder of a file system that has flock, rename and fsync.
type posixBackend struct {
	client.FileFetcher // ReadTile, ReadEntryBundle, ReadCheckpoint
	lock               *os.File
}

// openPOSIX takes the folder's lock, however long that takes: a former Pod may still be ending, or hang.
func openPOSIX(ctx context.Context, path string, log *slog.Logger) (*posixBackend, error) {
	if path == "" {
		return nil, errors.New("the posix driver needs a path")
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, fmt.Errorf("making the ledger's folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger's lock: %w", err)
	}
	if err := retryLock(ctx, log, func() (string, error) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return "another process has the ledger's folder locked; waiting until it ends", nil
		}
		return "", err
	}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the ledger's folder: %w", err)
	}
	b := &posixBackend{FileFetcher: client.FileFetcher{Root: path}, lock: f}
	b.sweep()
	return b, nil
}

// sweep removes what a process that was killed had begun to write: names of Tessera's with a random number at their end.
func (b *posixBackend) sweep() {
	for _, pattern := range []string{"checkpoint[0-9]*", filepath.Join(stateDir, stateName+"[0-9]*")} {
		names, _ := filepath.Glob(filepath.Join(b.Root, pattern)) // the pattern is good
		for _, name := range names {
			_ = os.Remove(name) // litter does no harm
		}
	}
}

func (b *posixBackend) logDriver(ctx context.Context) (tessera.Driver, error) {
	return posix.New(ctx, posix.Config{Path: b.Root})
}

// treeState syncs the folder first: a process that died may have renamed the file and not got as far as syncing it.
func (b *posixBackend) treeState(context.Context) (uint64, []byte, error) {
	dir := filepath.Join(b.Root, stateDir)
	switch err := syncDir(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil, b.mustBeNew()
	case err != nil:
		return 0, nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, b.mustBeNew()
	}
	if err != nil {
		return 0, nil, err
	}
	var state struct {
		Size *uint64 `json:"size"`
		Root []byte  `json:"root"`
	}
	if err := json.Unmarshal(raw, &state); err != nil || state.Size == nil {
		return 0, nil, fmt.Errorf("%s cannot be read: %w", stateName, errors.Join(err, errors.New("no size in it")))
	}
	return *state.Size, state.Root, nil
}

// mustBeNew refuses a folder that has entries but no state: Tessera would begin a new log on top of it.
func (b *posixBackend) mustBeNew() error {
	for _, name := range []string{"checkpoint", "tile"} {
		if _, err := os.Lstat(filepath.Join(b.Root, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is %s, but no %s: part of the ledger is missing", name, filepath.Join(stateDir, stateName))
		}
	}
	return nil
}

// whenLost never has anything: the lock stays until the process ends.
func (b *posixBackend) whenLost() <-chan error { return nil }

// Close gives the lock back.
func (b *posixBackend) Close() error { return b.lock.Close() }

func (b *posixBackend) statementPath(d digest) string {
	return filepath.Join(b.Root, filepath.FromSlash(evidence.ExportStatement(d.String())))
}

func (b *posixBackend) putStatement(_ context.Context, d digest, envelope []byte) error {
	name := b.statementPath(d)
	dir := filepath.Dir(name)
	if err := makeDirs(b.Root, dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, partial)
	if err != nil {
		return err
	}
	_, err = f.Write(envelope)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // or statements removes it
		return err
	}
	return syncDir(dir)
}

func (b *posixBackend) statement(_ context.Context, d digest) ([]byte, error) {
	return os.ReadFile(b.statementPath(d))
}

func (b *posixBackend) removeStatement(_ context.Context, d digest) error {
	name := b.statementPath(d)
	if err := os.Remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(name))
}

func (b *posixBackend) statements(context.Context) (map[digest]struct{}, error) {
	all := map[digest]struct{}{}
	err := filepath.WalkDir(filepath.Join(b.Root, evidence.ExportStatements), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if strings.HasPrefix(entry.Name(), partial) {
			_ = os.Remove(path) // litter does no harm
			return nil
		}
		if d, err := parseDigest(strings.TrimSuffix(entry.Name(), ".json")); err == nil {
			all[d] = struct{}{}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	return all, err
}

// makeDirs makes dir, which lies below root, and syncs every folder that got a new one.
func makeDirs(root, dir string) error {
	if _, err := os.Stat(dir); err == nil || dir == root {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(root, parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
