// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

const (
	// maxSubjectBytes is what a Secret can hold.
	maxSubjectBytes = 1 << 20
	// maxCommitters bounds the memory of commitments, which take 19 MiB each.
	maxCommitters = 4
)

// errUnreadable says that a person's identifiers cannot be used. It never quotes them.
var errUnreadable = errors.New("the identifiers cannot be read")

// persons reads whom the requests are about. A request whose identifiers cannot be used has a problem, and nobody.
func (r *runner) persons() (persons []engine.Person, problems []receipt.Reason) {
	n := len(r.plan.Erasure.Requests)
	persons, problems = make([]engine.Person, n), make([]receipt.Reason, n)
	for i := range n {
		person, err := r.person(r.SubjectsDir, i, fmt.Sprintf("%d.given", i), fmt.Sprintf("%d.derived", i))
		if err != nil || len(person.Given)+len(person.Derived) == 0 || !subject.Agree(r.plan.Erasure.Requests[i].Commitments, person.Given) {
			problems[i] = receipt.SubjectUnreadable
			if errors.Is(err, subject.ErrTooMany) {
				problems[i] = receipt.TooManyIdentifiers
			}
			r.Log.Warn("The subject of a request cannot be used", "request", r.plan.Erasure.Requests[i].Name)
			continue
		}
		persons[i] = person
	}
	return persons, problems
}

// person reads the identifiers of the person of this number: those that stand in a folder of files by type, and those that
// were opened for this Job.
func (r *runner) person(dir string, number int, given, derived string) (engine.Person, error) {
	var p engine.Person
	if dir != "" {
		files, err := readFolder(filepath.Join(dir, strconv.Itoa(number)))
		if err == nil {
			p.Given, err = subject.FromFiles(files)
		}
		if err != nil && !errors.Is(err, subject.ErrEmpty) {
			return engine.Person{}, err
		}
	}
	opened, err := r.carried(given)
	if err == nil && derived != "" {
		p.Derived, err = r.carried(derived)
	}
	if err != nil {
		return engine.Person{}, err
	}
	p.Given = subject.Union(p.Given, opened)
	if len(subject.Union(p.Given, p.Derived)) > subject.MaxIdentifiers {
		return engine.Person{}, subject.ErrTooMany
	}
	return p, nil
}

// carried reads what was opened for this Job under a key; nothing if there is no such key.
func (r *runner) carried(key string) ([]subject.Identifier, error) {
	if r.CarriedDir == "" {
		return nil, nil
	}
	text, err := readBounded(filepath.Join(r.CarriedDir, key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := subject.Parse(text)
	if errors.Is(err, subject.ErrEmpty) {
		return nil, nil
	}
	return ids, err
}

// readFolder reads the files of a folder; none if it is missing.
func readFolder(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errUnreadable
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = readBounded(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path) // the path is the Job's
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, errUnreadable
	}
	defer f.Close() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxSubjectBytes+1))
	if err != nil || len(b) > maxSubjectBytes {
		return nil, errUnreadable
	}
	return b, nil
}

// commit begins to compute the commitments that requests ask for. The function that it returns waits for them.
func (r *runner) commit(ctx context.Context, persons []engine.Person) func() ([][]string, error) {
	out := make([][]string, len(persons))
	errs := make([]error, len(persons))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), maxCommitters) {
		workers.Go(func() {
			for i := range next {
				out[i], errs[i] = commitments(persons[i].Given)
			}
		})
	}
	workers.Go(func() {
		defer close(next)
		for i, request := range r.plan.Erasure.Requests {
			if request.Commit && ctx.Err() == nil && !r.Stopping.Load() {
				next <- i
			}
		}
	})
	return func() ([][]string, error) {
		workers.Wait()
		if r.Stopping.Load() {
			return nil, engine.ErrStopped
		}
		return out, errors.Join(errs...)
	}
}

func commitments(ids []subject.Identifier) ([]string, error) {
	out, err := subject.CommitAll(rand.Reader, ids)
	if err != nil {
		return nil, engine.Fail(receipt.InternalError, "")
	}
	return out, nil
}
