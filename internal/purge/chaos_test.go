// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"pgregory.net/rapid"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

// errKilled is what a process dies of in TestWhateverDiesNothingIsClaimed.
var errKilled = errors.New("killed")

// mortal is a log and a disk of a process that dies at its n-th act: a write of either, or somewhere in a commit.
type mortal struct {
	log      bytes.Buffer
	receipts memory
	acts     int
}

func (m *mortal) act() {
	if m.acts--; m.acts == 0 {
		panic(errKilled)
	}
}

// logOf dies before, in or after a line.
type logOf struct{ *mortal }

func (m logOf) Write(p []byte) (int, error) {
	m.act()
	half := len(p) / 2
	m.log.Write(p[:half])
	m.act()
	m.log.Write(p[half:])
	return len(p), nil
}

// diskOf dies before or after a Receipt is written.
type diskOf struct{ *mortal }

func (m diskOf) Write(r *receipt.Receipt) error {
	m.act()
	err := m.receipts.Write(r)
	m.act()
	return err
}

// TestWhateverDiesNothingIsClaimed lets processes die anywhere, commits end in doubt, logs be cut or lost, Receipts be lost
// and records be written between, and holds what all attempts together claim against what was done.
func TestWhateverDiesNothingIsClaimed(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		const requests, sets = 3, 2
		w := &world{problems: map[int]receipt.Reason{}, unsearched: map[int]map[int]bool{}}
		for range sets {
			w.sets = append(w.sets, rapid.SliceOfN(drawRecord(requests), 0, 10).Draw(t, "records"))
		}
		if rapid.IntRange(0, 3).Draw(t, "problem") == 0 {
			w.problems[0] = receipt.IdentifiersDisagree
		}
		p := newProcess(outer, w, requests)
		if rapid.Bool().Draw(t, "anonymize") {
			p.plan.Erasure.Steps[1].Action = plan.EraseAnonymize
		}
		m := &mortal{}
		w.happens = func() { m.act() }
		w.commit = func() ending {
			return rapid.SampledFrom([]ending{{true, true}, {true, true}, {true, true}, {true, false}, {false, true}, {false, false}}).Draw(t, "ending")
		}
		w.look = func(s int) {
			if rapid.IntRange(0, 5).Draw(t, "arrival") == 0 {
				w.sets[s] = append(w.sets[s], drawRecord(requests).Draw(t, "record"))
			}
		}
		var attempts []receipt.ErasureAttempt
		for range rapid.IntRange(1, 5).Draw(t, "attempts") {
			*m = mortal{acts: rapid.IntRange(0, 120).Draw(t, "acts")} // 0 lives
			p.change = func(c *Config) {
				c.Log, c.Receipts, c.Logged = slog.New(slog.NewJSONHandler(logOf{m}, nil)), diskOf{m}, nil
			}
			code := mayDie(p)
			attempts = append(attempts, m.attempt(t, p, code))
			if code != nil && *code == int32(receipt.ExitDone) {
				break
			}
		}
		check(t, w, receipt.MergeErasure(&p.plan, attempts))
	})
}

func drawRecord(requests int) *rapid.Generator[*record] {
	return rapid.Custom(func(t *rapid.T) *record {
		r := &record{persons: rapid.SliceOfNDistinct(rapid.IntRange(0, requests-1), 1, 2, rapid.ID).Draw(t, "persons")}
		switch rapid.IntRange(0, 9).Draw(t, "stays") {
		case 0:
			r.retained = true
		case 1:
			r.held = true
		case 2:
			r.blocked = true
		case 3:
			r.blocked, r.bound = true, true
		}
		return r
	})
}

// mayDie runs a process; no code is one that was killed.
func mayDie(p *process) (code *int32) {
	defer func() {
		if died := recover(); died != nil && died != errKilled { //nolint:errorlint // it is not wrapped
			panic(died)
		}
	}()
	return new(int32(p.run()))
}

// attempt is what the manager gets to know, which may be less than there was.
func (m *mortal) attempt(t *rapid.T, p *process, code *int32) receipt.ErasureAttempt {
	a := receipt.ErasureAttempt{Attempt: receipt.Attempt{ExitCode: code}}
	var sum *receipt.AccountSum
	if len(m.receipts.all) == 0 || rapid.IntRange(0, 9).Draw(t, "receipt lost") == 0 {
		a.Unreadable = true
	} else {
		a.Receipt = m.receipts.last()
		sum = a.Receipt.Account
	}
	log := m.log.Bytes()
	switch rapid.IntRange(0, 9).Draw(t, "log") {
	case 0:
		log = nil
	case 1:
		log = log[:rapid.IntRange(0, len(log)).Draw(t, "end")]
	case 2:
		log = log[rapid.IntRange(0, len(log)).Draw(t, "beginning"):]
	case 3:
		log = bytes.Clone(log)
		if len(log) > 0 {
			log[rapid.IntRange(0, len(log)-1).Draw(t, "damage")] ^= 1
		}
	}
	a.Lines, a.Complete = receipt.OpenAccount(bytes.NewReader(log), sum, p.open)
	return a
}

// check holds what is claimed against the world.
func check(t *rapid.T, w *world, got receipt.ErasureTotal) {
	for i, r := range got.Requests {
		if w.problems[i] != "" {
			if r.Outcome != receipt.ErasureSkipped && r.Outcome != receipt.ErasureUnreachable && r.Outcome != receipt.ErasureFailed || r.Verified {
				t.Errorf("request %d has a problem: %+v", i, r)
			}
			continue
		}
		left := int64(0)
		for s, step := range r.Steps {
			var done, open, all int64
			for _, rec := range w.sets[s] {
				for _, person := range rec.persons {
					switch {
					case person != i:
					case rec.gone:
						done, all = done+1, all+1
					case rec.retained || rec.held || rec.blocked && rec.bound:
						all++
					default:
						open, all = open+1, all+1
					}
				}
			}
			left += open
			told := step.Deleted + step.Anonymized
			if told > done || step.Exact && told != done {
				t.Errorf("request %d, step %d: %d are told to be gone (exact %v), and %d are", i, s, told, step.Exact, done)
			}
			if step.Found > all || step.Found < told {
				t.Errorf("request %d, step %d: found %d of %d", i, s, step.Found, all)
			}
			switch step.Outcome {
			case receipt.ErasureNotFound:
				if done > 0 {
					t.Errorf("request %d, step %d: not found, and %d were erased: %+v", i, s, done, step)
				}
			case receipt.ErasureDeleted, receipt.ErasureAnonymized:
				if done == 0 || !step.Verified || step.Remaining > 0 {
					t.Errorf("request %d, step %d: called %s, and %d are gone: %+v", i, s, step.Outcome, done, step)
				}
			}
		}
		if got.Finished && r.Verified && left > 0 {
			t.Errorf("request %d is verified, and %d records are there", i, left)
		}
		if r.Outcome == receipt.ErasureNotFound && !r.Verified {
			t.Errorf("request %d: not found, and nobody looked", i)
		}
	}
}
