// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// childPlan makes this test binary a purge process: see TestKillNine.
const childPlan = "RETENTION_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childPlan); dir != "" {
		cmd := Command()
		digest, err := os.ReadFile(filepath.Join(dir, "digest"))
		if err != nil {
			panic(err)
		}
		cmd.SetArgs([]string{"--plan=" + filepath.Join(dir, "plan.json"), "--plan-digest=" + string(digest),
			"--connection-dir=" + filepath.Join(dir, "connection"), "--receipt=" + filepath.Join(dir, "receipt"),
			"--subjects-dir=" + filepath.Join(dir, "subjects"), "--holds-dir=" + filepath.Join(dir, "holds"), "--carried-dir=" + filepath.Join(dir, "carried")})
		if err := cmd.Execute(); err != nil {
			if exit, ok := err.(*ExitError); ok { //nolint:errorlint // it is not wrapped
				os.Exit(exit.Code)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	postgres.Run(m)
}

// memory keeps every Receipt that was written.
type memory struct{ all []*receipt.Receipt }

func (m *memory) Write(r *receipt.Receipt) error {
	b, err := receipt.Encode(r)
	if err != nil {
		return err
	}
	decoded, err := receipt.Decode(b)
	if err != nil {
		return err
	}
	m.all = append(m.all, decoded)
	return nil
}

func (m *memory) last() *receipt.Receipt { return m.all[len(m.all)-1] }

// fixture is a database with a table event whose records 1 to due are 100 days old, and the others one.
type fixture struct {
	t    *testing.T
	srv  *postgres.Server
	dsn  string
	db   *pgx.Conn
	plan plan.Plan
	logs bytes.Buffer
}

func newFixture(t *testing.T, records, due int) *fixture {
	t.Helper()
	srv := postgres.Get(t)
	f := &fixture{t: t, srv: srv, dsn: srv.Database(t)}
	f.db = postgres.Connect(t, f.dsn)
	postgres.Exec(t, f.db, fmt.Sprintf(`CREATE TABLE event (id int, at timestamptz, secret text);
		INSERT INTO event SELECT i, now() - CASE WHEN i <= %d THEN interval '100 days' ELSE interval '1 day' END, 'person-' || i || '@example.com' FROM generate_series(1, %d) i`, due, records))
	slot := time.Now().UTC().Truncate(time.Second)
	f.plan = plan.Plan{
		Version: plan.Version, Kind: plan.Retention, Run: "r", Mode: plan.Enforce, Engine: "postgresql", TimeZone: "UTC", Slot: slot, Limits: plan.DefaultLimits,
		Datasets: []plan.Dataset{{Name: "event", Path: "event", TimestampField: "at", TimestampFormat: plan.Native}},
		Steps: []plan.Step{{Dataset: "event", Path: "event", Rule: "old", Action: plan.Delete,
			Start: plan.Start{Field: "at", Format: plan.Native}, Cutoff: slot.AddDate(0, 0, -90), Reason: "test"}},
	}
	f.plan.Limits.BatchRecords = 100
	f.plan.Identity = f.identity()
	return f
}

// identity is what the server says of itself, by way of a probe.
func (f *fixture) identity() string {
	p := f.plan
	p.Kind, p.Steps, p.Mode = plan.Probe, nil, ""
	code, receipts := f.run(&p, nil)
	if code != receipt.ExitDone {
		f.t.Fatalf("probe: %d %+v", code, receipts.last())
	}
	return receipts.last().Identity
}

// run carries out a plan, nil for the fixture's, with a config changed by change.
func (f *fixture) run(p *plan.Plan, change func(*Config)) (receipt.ExitCode, *memory) {
	f.t.Helper()
	if p == nil {
		p = &f.plan
	}
	encoded, err := p.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	receipts := &memory{}
	c := Config{
		Plan: encoded, Digest: plan.DigestOf(encoded), ConnectionDir: f.srv.Connection(f.t, f.dsn), ApprovedRecords: -1,
		Engines: Engines, Receipts: receipts, Clock: time.Now, Log: slog.New(slog.NewJSONHandler(&f.logs, nil)), Stopping: &atomic.Bool{},
	}
	if change != nil {
		change(&c)
	}
	return Run(f.t.Context(), c), receipts
}

func (f *fixture) left() int64 { return postgres.Value[int64](f.t, f.db, "SELECT count(*) FROM event") }

func TestRun(t *testing.T) {
	f := newFixture(t, 1000, 400)
	code, receipts := f.run(nil, nil)
	r := receipts.last()
	s := r.Steps[0]
	if code != receipt.ExitDone || r.Reason != receipt.Succeeded || r.Phase != receipt.PhaseFinished ||
		s.Records != 1000 || s.Matched != 400 || s.Deleted != 400 || !s.Verified || s.Remaining != 0 || s.InFlight != 0 || f.left() != 600 {
		t.Errorf("code %d, receipt %+v, %d left", code, r, f.left())
	}
	batches := 0
	for _, r := range receipts.all {
		if len(r.Steps) == 1 && r.Steps[0].InFlight > 0 {
			batches++
			if r.Steps[0].InFlight > 100 {
				t.Errorf("a batch of %d records, at most 100 are allowed", r.Steps[0].InFlight)
			}
		}
	}
	if batches < 4 {
		t.Errorf("%d batches were on record before their commit, want at least 4", batches)
	}
	if strings.Contains(f.logs.String(), "@example.com") {
		t.Error("the log shows a value")
	}
	if code, receipts = f.run(nil, nil); code != receipt.ExitDone || receipts.last().Steps[0].Deleted != 0 || receipts.last().Reason != receipt.Succeeded {
		t.Errorf("the same again: %d %+v", code, receipts.last())
	}
}

// TestRefusals changes nothing and says why.
func TestRefusals(t *testing.T) {
	f := newFixture(t, 100, 40)
	other := func(change func(*plan.Plan)) *plan.Plan {
		p := f.plan
		p.Steps = append([]plan.Step(nil), f.plan.Steps...)
		change(&p)
		return &p
	}
	for name, tc := range map[string]struct {
		plan   *plan.Plan
		change func(*Config)
		code   receipt.ExitCode
		reason receipt.Reason
	}{
		"another digest":          {nil, func(c *Config) { c.Digest = "sha256:00" }, receipt.ExitPlanRefused, receipt.PlanRefused},
		"no plan":                 {nil, func(c *Config) { c.Plan = nil }, receipt.ExitPlanRefused, receipt.PlanRefused},
		"a newer version":         {other(func(p *plan.Plan) { p.Version = "v9" }), nil, receipt.ExitPlanRefused, receipt.PlanRefused},
		"an unknown engine":       {other(func(p *plan.Plan) { p.Engine = "oracle" }), nil, receipt.ExitPlanRefused, receipt.PlanRefused},
		"an unknown mode":         {other(func(p *plan.Plan) { p.Mode = "Maybe" }), nil, receipt.ExitPlanRefused, receipt.PlanRefused},
		"an unknown action":       {other(func(p *plan.Plan) { p.Steps[0].Action = "Drop" }), nil, receipt.ExitPlanRefused, receipt.PlanRefused},
		"a cutoff after the slot": {other(func(p *plan.Plan) { p.Steps[0].Cutoff = p.Slot.Add(time.Hour) }), nil, receipt.ExitPlanRefused, receipt.PlanRefused},
		"no limits":               {other(func(p *plan.Plan) { p.Limits = plan.Limits{} }), nil, receipt.ExitPlanRefused, receipt.PlanRefused},
		"no identity":             {other(func(p *plan.Plan) { p.Identity = "" }), nil, receipt.ExitPlanRefused, receipt.PlanRefused},
		"another server":          {other(func(p *plan.Plan) { p.Identity = "1/2/other" }), nil, receipt.ExitMismatch, receipt.IdentityChanged},
		"clocks apart":            {nil, func(c *Config) { c.Clock = func() time.Time { return time.Now().Add(time.Hour) } }, receipt.ExitMismatch, receipt.ClockSkewed},
		"a slot in the future":    {other(func(p *plan.Plan) { p.Slot = time.Now().Add(time.Hour) }), nil, receipt.ExitMismatch, receipt.ClockSkewed},
		"too many records":        {other(func(p *plan.Plan) { p.Guardrails.MaxRecords = 39 }), nil, receipt.ExitGuardrail, receipt.GuardrailExceeded},
		"too large a part":        {other(func(p *plan.Plan) { p.Guardrails.MaxPercent = 39 }), nil, receipt.ExitGuardrail, receipt.GuardrailExceeded},
		"more than approved": {other(func(p *plan.Plan) { p.Guardrails.MaxRecords = 39 }), func(c *Config) { c.ApprovedRecords = 39 },
			receipt.ExitGuardrail, receipt.GuardrailExceeded},
		"no connection": {nil, func(c *Config) { c.ConnectionDir = t.TempDir() }, receipt.ExitUnavailable, receipt.SecretIncomplete},
		"told to stop":  {nil, func(c *Config) { c.Stopping.Store(true) }, receipt.ExitInterrupted, receipt.Interrupted},
	} {
		t.Run(name, func(t *testing.T) {
			code, receipts := f.run(tc.plan, tc.change)
			if r := receipts.last(); code != tc.code || r.Reason != tc.reason {
				t.Errorf("code %d, reason %s (%s), want %d, %s", code, r.Reason, r.Message, tc.code, tc.reason)
			}
			if f.left() != 100 {
				t.Fatal("something was deleted")
			}
		})
	}
}

func TestGuardrailsLetThrough(t *testing.T) {
	for name, tc := range map[string]struct {
		guardrails plan.Guardrails
		approved   int64
	}{
		"exactly as many":        {plan.Guardrails{MaxRecords: 40, MaxPercent: 40}, -1},
		"approved":               {plan.Guardrails{MaxRecords: 1}, 40},
		"approved for more":      {plan.Guardrails{MaxPercent: 1}, 41},
		"no guardrails, nothing": {plan.Guardrails{}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 100, 40)
			f.plan.Guardrails = tc.guardrails
			if code, receipts := f.run(nil, func(c *Config) { c.ApprovedRecords = tc.approved }); code != receipt.ExitDone || f.left() != 60 {
				t.Errorf("code %d, %+v", code, receipts.last())
			}
		})
	}
}

func TestSimulateChangesNothing(t *testing.T) {
	f := newFixture(t, 100, 40)
	f.plan.Mode = plan.Simulate
	code, receipts := f.run(nil, nil)
	if s := receipts.last().Steps[0]; code != receipt.ExitDone || s.Matched != 40 || s.Deleted != 0 || s.Remaining != 40 || f.left() != 100 {
		t.Errorf("code %d, %+v", code, receipts.last())
	}
}

// TestAFailingStepDoesNotKeepTheOthersFromGoingOn has a step on a table that is not there.
func TestAFailingStepDoesNotKeepTheOthersFromGoingOn(t *testing.T) {
	f := newFixture(t, 100, 40)
	missing := f.plan.Steps[0]
	missing.Dataset, missing.Path = "gone", "gone"
	f.plan.Steps = []plan.Step{missing, f.plan.Steps[0]}
	code, receipts := f.run(nil, nil)
	r := receipts.last()
	if code != receipt.ExitDone || r.Reason != receipt.Incomplete || r.Steps[0].Reason != receipt.TableNotFound || r.Steps[0].Verified ||
		r.Steps[1].Deleted != 40 || f.left() != 60 {
		t.Errorf("code %d, %+v", code, r)
	}
}

// TestOneProcessAtATime holds the lock of another process.
func TestOneProcessAtATime(t *testing.T) {
	f := newFixture(t, 100, 40)
	other := postgres.Connect(t, f.dsn)
	postgres.Exec(t, other, fmt.Sprintf("SELECT pg_advisory_lock(%d)", int64(0x72657465_6e74696f)))
	released := time.AfterFunc(2*time.Second, func() { _, _ = other.Exec(context.Background(), "SELECT pg_advisory_unlock_all()") })
	defer released.Stop()
	started := time.Now()
	code, receipts := f.run(nil, nil)
	if code != receipt.ExitDone || receipts.last().Steps[0].Deleted != 40 || time.Since(started) < 2*time.Second {
		t.Errorf("code %d after %s, %+v", code, time.Since(started), receipts.last())
	}
}

// TestTheServerDies kills PostgreSQL in the middle of a run, again and again: the run goes on where it was, and its count
// is exact, or says which batch is in doubt.
func TestTheServerDies(t *testing.T) {
	f := newFixture(t, 40_000, 30_000)
	f.plan.Limits.BatchRecords = 20
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		kills := 0
		defer func() { done <- kills }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond):
			}
			f.srv.Kill9(t)
			f.srv.Restart(t)
			kills++
		}
	}()
	code, receipts := f.run(nil, nil)
	close(stop)
	kills := <-done
	f.db = postgres.Connect(t, f.dsn)
	sum, doubt := receipts.last().Steps[0].Deleted, receipts.last().Steps[0].InFlight
	if code == receipt.ExitUnavailable && doubt > 0 { // the server lost its memory in a commit: the next Pod ends the work
		t.Logf("%d records in doubt", doubt)
		code, receipts = f.run(nil, nil)
		sum += receipts.last().Steps[0].Deleted
	}
	if code != receipt.ExitDone || sum > 30_000 || sum+doubt < 30_000 || receipts.last().Steps[0].InFlight != 0 || f.left() != 10_000 {
		t.Errorf("after %d kills: code %d, %+v, %d left\n%s", kills, code, receipts.last(), f.left(), f.logs.String())
	}
	if kills == 0 {
		t.Error("the run was over before the first kill")
	}
	t.Logf("%d kills", kills)
}

// TestKillNine kills the purge process at a random moment, ten times, and lets another one end its work. The sum of both
// receipts is exact, or the first one says which batch is in doubt.
func TestKillNine(t *testing.T) {
	for round := range 10 {
		f := newFixture(t, 20_000, 15_000)
		f.plan.Limits.BatchRecords = 20
		dir := t.TempDir()
		encoded, err := f.plan.Encode()
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"plan.json": string(encoded), "digest": plan.DigestOf(encoded)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(f.srv.Connection(t, f.dsn), filepath.Join(dir, "connection")); err != nil {
			t.Fatal(err)
		}
		signal, wait := syscall.SIGKILL, time.Duration(rand.IntN(300))*time.Millisecond
		if round%3 == 2 {
			signal = syscall.SIGTERM
		}
		first, code := f.child(dir, signal, wait)
		second, last := f.child(dir, 0, 0)
		if last != int(receipt.ExitDone) || second.Reason != receipt.Succeeded {
			t.Fatalf("round %d: the second process: code %d, %+v", round, last, second)
		}
		var sum, doubt int64
		for _, r := range []*receipt.Receipt{first, second} {
			if r != nil && len(r.Steps) == 1 {
				sum, doubt = sum+r.Steps[0].Deleted, doubt+r.Steps[0].InFlight
			}
		}
		if f.left() != 5_000 || sum > 15_000 || sum+doubt < 15_000 || (doubt == 0 && sum != 15_000) {
			t.Errorf("round %d: %d left, %d deleted, %d in doubt", round, f.left(), sum, doubt)
		}
		if signal == syscall.SIGTERM && code != int(receipt.ExitDone) && (code != int(receipt.ExitInterrupted) || doubt != 0) {
			t.Errorf("round %d: SIGTERM: code %d, %d in doubt", round, code, doubt)
		}
		t.Logf("round %d: %s after %s: code %d, %d in doubt", round, signal, wait, code, doubt)
	}
}

// child runs this test binary as a purge process, sends it a signal some time after its first deletion, and returns its
// last receipt.
func (f *fixture) child(dir string, signal syscall.Signal, wait time.Duration) (*receipt.Receipt, int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), os.Args[0]) // it is this program
	cmd.Env = append(os.Environ(), childPlan+"="+dir)
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	if signal != 0 {
		before := f.left()
		for deadline := time.Now().Add(30 * time.Second); f.left() == before && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(wait)
		_ = cmd.Process.Signal(signal)
	}
	_ = cmd.Wait()
	b, err := os.ReadFile(filepath.Join(dir, "receipt")) // a temporary file
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := receipt.Decode(b)
	if err != nil {
		f.t.Fatalf("the receipt after %v: %v", signal, err)
	}
	code := cmd.ProcessState.ExitCode()
	return r, code
}
