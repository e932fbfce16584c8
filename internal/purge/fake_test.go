// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/subject"
)

// record is a record of a world: whose it is, and what keeps it.
type record struct {
	persons                        []int
	retained, held, blocked, bound bool
	gone                           bool
}

func (r *record) stays() bool { return r.retained || r.held || r.blocked }

// world is a datastore that a test knows all of. Its engine does as an engine should, except what the test makes go wrong.
type world struct {
	sets     [][]*record
	problems map[int]receipt.Reason
	derived  map[int][]subject.Identifier
	// unsearched are the requests that no identifier of leads to a dataset.
	unsearched map[int]map[int]bool
	broken     map[int]receipt.Reason
	holds      []int64
	holdErr    error
	// happens is called wherever the process may die; commit decides how a commit ends.
	happens func()
	commit  func() ending
	// look is called before each look, with the number of the step.
	look func(step int)
	// seen are the persons that Find and Hold were asked for.
	seen, kept []engine.Person
	locks      int
}

// ending is how a commit ends: known or not, and done or not.
type ending struct{ known, done bool }

func (w *world) Connect(context.Context, engine.Input) (engine.Session, error) { return w, nil }
func (w *world) Server(context.Context) (engine.Server, error) {
	return engine.Server{Identity: "world", Version: "1"}, nil
}
func (w *world) Lock(context.Context) error                        { w.locks++; return nil }
func (w *world) Probe(context.Context) (*receipt.Probe, error)     { return &receipt.Probe{}, nil }
func (w *world) Prepare(context.Context, int) (engine.Step, error) { panic("no step of retention") }
func (w *world) Close()                                            {}
func (w *world) Hold(_ context.Context, p []engine.Person) ([]int64, error) {
	w.kept = p
	return w.holds, w.holdErr
}

func (w *world) count(set int, of func(*record) bool) []int64 {
	out := make([]int64, len(w.seen))
	for _, r := range w.sets[set] {
		for _, p := range r.persons {
			if !r.gone && p < len(out) && of(r) {
				out[p]++
			}
		}
	}
	return out
}

func (w *world) Find(_ context.Context, persons []engine.Person) (*engine.Findings, error) {
	w.seen = persons
	f := &engine.Findings{Problems: make([]receipt.Reason, len(persons)), Derived: make([][]subject.Identifier, len(persons))}
	for i := range persons {
		f.Problems[i], f.Derived[i] = w.problems[i], w.derived[i]
	}
	for s := range w.sets {
		if w.look != nil {
			w.look(s)
		}
		found := engine.Found{Records: w.count(s, func(*record) bool { return true }), Unsearched: make([]bool, len(persons)), Reason: w.broken[s]}
		for i := range persons {
			if found.Unsearched[i] = w.unsearched[s][i]; found.Unsearched[i] {
				found.Records[i] = 0
			}
		}
		f.Steps = append(f.Steps, found)
	}
	return f, nil
}

func (w *world) PrepareErasure(_ context.Context, index int) (engine.ErasureStep, error) {
	return &worldStep{w, index}, nil
}

type worldStep struct {
	w   *world
	set int
}

// Erase works in batches of three records.
func (s *worldStep) Erase(_ context.Context, skip []bool, progress engine.ErasureProgress) error {
	var due []*record
	for _, r := range s.w.sets[s.set] {
		if !r.gone && !r.stays() && slices.ContainsFunc(r.persons, func(p int) bool { return !skip[p] }) {
			due = append(due, r)
		}
	}
	for batch := range slices.Chunk(due, 3) {
		if progress.Stopping() {
			return engine.ErrStopped
		}
		persons := map[int]int64{}
		for _, r := range batch {
			for _, p := range r.persons {
				if !skip[p] {
					persons[p]++
				}
			}
		}
		for {
			if err := progress.InFlight(int64(len(batch)), persons); err != nil {
				return err
			}
			s.w.happens()
			end := s.w.commit()
			for _, r := range batch {
				r.gone = r.gone || end.done
			}
			s.w.happens()
			if !end.known {
				return &engine.Error{Reason: receipt.Unreachable, Transient: true}
			}
			if end.done {
				progress.Committed()
				break
			}
			progress.RolledBack()
		}
	}
	return nil
}

func (s *worldStep) Verify(context.Context) (*engine.ErasureLeftover, error) {
	if s.w.look != nil {
		s.w.look(s.set)
	}
	out := &engine.ErasureLeftover{Persons: make([]engine.Left, len(s.w.seen))}
	due := s.w.count(s.set, func(r *record) bool { return !r.retained && !r.held })
	retained := s.w.count(s.set, func(r *record) bool { return r.retained && !r.held })
	held := s.w.count(s.set, func(r *record) bool { return r.held })
	blocked := s.w.count(s.set, func(r *record) bool { return r.blocked && !r.retained && !r.held })
	bound := s.w.count(s.set, func(r *record) bool { return r.blocked && r.bound && !r.retained && !r.held })
	for i := range out.Persons {
		out.Persons[i] = engine.Left{Remaining: due[i], Retained: retained[i], Held: held[i], Blocked: blocked[i], Bound: bound[i]}
		out.Total += due[i]
		if blocked[i] > 0 {
			out.Constraints = []string{"some_fkey"}
		}
	}
	return out, nil
}

// process is what a test carries out plans with, and keeps of it.
type process struct {
	t        testing.TB
	world    *world
	key      *age.X25519Identity
	plan     plan.Plan
	dir      string
	receipts *memory
	log      bytes.Buffer
	change   func(*Config)
}

// newProcess has as many requests as given, each with one identifier in a folder of files, and as many steps as the world has
// datasets.
func newProcess(t testing.TB, w *world, requests int) *process {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if w.happens == nil {
		w.happens = func() {}
	}
	if w.commit == nil {
		w.commit = func() ending { return ending{true, true} }
	}
	p := &process{t: t, world: w, key: key, dir: t.TempDir(), receipts: &memory{}}
	p.plan = plan.Plan{Version: plan.Version, Kind: plan.ErasureKind, Run: "r", Mode: plan.Enforce, Engine: "world", Identity: "world",
		TimeZone: "UTC", Slot: time.Now().UTC().Truncate(time.Second), Limits: plan.DefaultLimits,
		Erasure: &plan.Erasure{SealTo: key.Recipient().String(), Types: []string{"email", "customer_id"}}}
	for i := range requests {
		p.plan.Erasure.Requests = append(p.plan.Erasure.Requests, plan.Request{Ref: plan.Ref{Namespace: "n", Name: fmt.Sprintf("er-%d", i)}})
		p.write(fmt.Sprintf("subjects/%d/email", i), fmt.Sprintf("person-%d@example.com\n", i))
	}
	for i := range w.sets {
		name := fmt.Sprintf("set%d", i)
		p.plan.Datasets = append(p.plan.Datasets, plan.Dataset{Name: name, Path: name, Identifiers: []plan.Identifier{{Type: "email", Field: "email"}}})
		p.plan.Erasure.Steps = append(p.plan.Erasure.Steps, plan.ErasureStep{Dataset: name, Path: name, Action: plan.EraseDelete})
	}
	return p
}

func (p *process) write(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run carries out the plan with an empty log and no Receipt.
func (p *process) run() receipt.ExitCode {
	p.t.Helper()
	encoded, err := p.plan.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	p.log.Reset()
	p.receipts.all = nil
	c := Config{
		Plan: encoded, Digest: plan.DigestOf(encoded), ApprovedRecords: -1, Engines: map[string]engine.Engine{"world": p.world},
		SubjectsDir: filepath.Join(p.dir, "subjects"), HoldsDir: filepath.Join(p.dir, "holds"), CarriedDir: filepath.Join(p.dir, "carried"),
		Receipts: p.receipts, Clock: time.Now, Log: slog.New(slog.NewJSONHandler(&p.log, nil)),
		Logged: func() int64 { return int64(p.log.Len()) }, Stopping: &atomic.Bool{},
	}
	if p.change != nil {
		p.change(&c)
	}
	return Run(context.Background(), c)
}

// attempt is what the manager knows of the latest run.
func (p *process) attempt() receipt.ErasureAttempt {
	var a receipt.ErasureAttempt
	var sum *receipt.AccountSum
	if len(p.receipts.all) > 0 {
		a.Receipt = p.receipts.last()
		sum = a.Receipt.Account
	} else {
		a.Unreadable = true
	}
	a.Lines, a.Complete = receipt.OpenAccount(bytes.NewReader(p.log.Bytes()), sum, p.open)
	return a
}

func (p *process) open(sealed string) ([]byte, error) {
	plain, _, err := seal.Ring{p.key}.Open(sealed)
	return plain, err
}

// total is what the latest run alone did.
func (p *process) total() receipt.ErasureTotal {
	return receipt.MergeErasure(&p.plan, []receipt.ErasureAttempt{p.attempt()})
}

// kinds are the kinds of the account's lines, in their order.
func (p *process) kinds() string {
	var out []string
	for _, l := range p.attempt().Lines {
		out = append(out, string(l.Kind))
	}
	return strings.Join(out, " ")
}
