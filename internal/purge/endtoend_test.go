// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// shop is a database of customers with orders and their lines. The first of them ask to be erased, each by e-mail.
type shop struct {
	*process
	srv *postgres.Server
	dsn string
	db  *pgx.Conn
	out bytes.Buffer // all that any process wrote
}

func newShop(t *testing.T, customers, requests int) *shop {
	t.Helper()
	srv := postgres.Get(t)
	dsn := srv.Database(t)
	s := &shop{process: newProcess(t, &world{}, requests), srv: srv, dsn: dsn, db: postgres.Connect(t, dsn)}
	postgres.Exec(t, s.db, fmt.Sprintf(`
		CREATE TABLE customer (id int PRIMARY KEY, email text, name text);
		CREATE TABLE "order" (id int PRIMARY KEY, customer_id int REFERENCES customer, at timestamptz DEFAULT now());
		CREATE TABLE line (id int PRIMARY KEY, order_id int REFERENCES "order");
		CREATE TABLE visit (device text, customer_number int);
		INSERT INTO customer SELECT i, 'person-' || i || '@example.com', 'Name-' || i FROM generate_series(0, %[1]d - 1) i;
		INSERT INTO "order" SELECT i, i / 2 FROM generate_series(0, 2 * %[1]d - 1) i;
		INSERT INTO line SELECT i, i / 3 FROM generate_series(0, 6 * %[1]d - 1) i;
		INSERT INTO visit SELECT 'device-' || i, i FROM generate_series(0, %[1]d - 1) i;`, customers))
	s.plan.Engine, s.plan.Limits.BatchRecords = "postgresql", 200
	s.plan.Datasets = []plan.Dataset{
		{Name: "customer", Path: "customer", Identifiers: []plan.Identifier{{Type: "email", Field: "email", Match: plan.MatchIgnoreCase}, {Type: "customer_id", Field: "id"}}},
		{Name: "order", Path: "order", References: []plan.Reference{{Field: "customer_id", Dataset: "customer", Key: "id"}}},
		{Name: "line", Path: "line", References: []plan.Reference{{Field: "order_id", Dataset: "order", Key: "id"}}},
		{Name: "visit", Path: "visit", Identifiers: []plan.Identifier{{Type: "customer_id", Field: "customer_number"}, {Type: "device_id", Field: "device"}}},
	}
	for _, name := range []string{"line", "order", "visit", "customer"} {
		s.plan.Erasure.Steps = append(s.plan.Erasure.Steps, plan.ErasureStep{Dataset: name, Path: name, Action: plan.EraseDelete})
	}
	s.plan.Erasure.Types = []string{"customer_id", "device_id", "email"}
	if err := os.Symlink(srv.Connection(t, dsn), filepath.Join(s.dir, "connection")); err != nil {
		t.Fatal(err)
	}
	probe := s.plan
	probe.Kind, probe.Erasure = plan.Probe, nil
	s.plan.Identity = s.start(&probe, nil).Receipt.Identity
	return s
}

// start runs this test binary as a purge process, until it ends or until stop does what it does to it.
func (s *shop) start(p *plan.Plan, stop func(*os.Process)) receipt.ErasureAttempt {
	s.t.Helper()
	encoded, err := p.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("plan.json", string(encoded))
	s.write("digest", plan.DigestOf(encoded))
	s.write("receipt", "")
	var log bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), os.Args[0]) // it is this program
	cmd.Env = append(os.Environ(), childPlan+"="+s.dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if stop != nil {
		stop(cmd.Process)
	}
	_ = cmd.Wait()
	s.out.Write(log.Bytes())
	message, err := os.ReadFile(filepath.Join(s.dir, "receipt"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.out.Write(message)
	a := receipt.ErasureAttempt{Attempt: receipt.Attempt{ExitCode: new(int32(cmd.ProcessState.ExitCode())), Started: time.Now()}}
	if a.Receipt, err = receipt.Decode(message); err != nil {
		s.t.Fatalf("the receipt: %v", err)
	}
	a.Lines, a.Complete = receipt.OpenAccount(bytes.NewReader(log.Bytes()), a.Receipt.Account, s.open)
	return a
}

func (s *shop) count(table string) int64 {
	return postgres.Value[int64](s.t, s.db, `SELECT count(*) FROM `+pgx.Identifier{table}.Sanitize())
}

// TestAThousandRequests kills the first process in the middle, lets another one be stopped, and a third end the work. Each
// request has its own counts, which are exact unless it says that they are not.
func TestAThousandRequests(t *testing.T) {
	const customers, requests = 3000, 1000
	s := newShop(t, customers, requests)
	atWork := func(signal syscall.Signal) func(*os.Process) {
		return func(p *os.Process) {
			before := s.count("line")
			for deadline := time.Now().Add(10 * time.Second); s.count("line") == before && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			_ = p.Signal(signal)
		}
	}
	attempts := []receipt.ErasureAttempt{s.start(&s.plan, atWork(syscall.SIGKILL)), s.start(&s.plan, atWork(syscall.SIGTERM))}
	if *attempts[1].ExitCode != 0 { // as a Job does; on a busy machine the signal may come too late
		attempts = append(attempts, s.start(&s.plan, nil))
	}
	total := receipt.MergeErasure(&s.plan, attempts)
	for _, a := range attempts {
		t.Logf("exit code %d", *a.ExitCode)
	}
	if !total.Finished || total.Reason != receipt.Succeeded || total.Attempts != len(attempts) {
		t.Fatalf("reason %s, finished %v", total.Reason, total.Finished)
	}
	inexact := 0
	for i, r := range total.Requests {
		if r.Outcome != receipt.ErasureDeleted || !r.Verified {
			t.Fatalf("request %d: %+v", i, r)
		}
		for step, want := range []int64{6, 2, 1, 1} {
			got := r.Steps[step]
			if !got.Exact {
				inexact++
			}
			if got.Deleted > want || got.Exact && got.Deleted != want || got.Found != want || got.Remaining != 0 {
				t.Errorf("request %d, step %d: %+v, want %d", i, step, got, want)
			}
		}
	}
	t.Logf("%d counts are lower bounds", inexact)
	for table, want := range map[string]int64{"line": 12000, "order": 4000, "visit": 2000, "customer": 2000} {
		if got := s.count(table); got != want {
			t.Errorf("%d records of %s are left, want %d", got, table, want)
		}
	}
}

// TestTheServerDiesInAnErasure kills PostgreSQL again and again: the counts of each request are exact, or say that they are not.
func TestTheServerDiesInAnErasure(t *testing.T) {
	const customers, requests = 1500, 500
	s := newShop(t, customers, requests)
	s.plan.Limits.BatchRecords = 20
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		kills := 0
		defer func() { done <- kills }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(300+rand.IntN(700)) * time.Millisecond):
			}
			s.srv.Kill9(t)
			s.srv.Restart(t)
			kills++
		}
	}()
	var attempts []receipt.ErasureAttempt
	for len(attempts) < 6 {
		attempts = append(attempts, s.start(&s.plan, nil))
		if code := *attempts[len(attempts)-1].ExitCode; code == int32(receipt.ExitDone) {
			break
		}
	}
	close(stop)
	kills := <-done
	s.db = postgres.Connect(t, s.dsn)
	total := receipt.MergeErasure(&s.plan, attempts)
	if kills == 0 || !total.Finished {
		t.Fatalf("%d kills, reason %s after %d attempts:\n%.2000s", kills, total.Reason, len(attempts), s.out.String())
	}
	inexact := 0
	for i, r := range total.Requests {
		for step, want := range []int64{6, 2, 1, 1} {
			got := r.Steps[step]
			if !got.Exact {
				inexact++
			}
			if got.Deleted > want || got.Exact && got.Deleted != want || got.Outcome != receipt.ErasureDeleted {
				t.Errorf("request %d, step %d: %+v, want %d", i, step, got, want)
			}
		}
	}
	if got := s.count("line"); got != 6*(customers-requests) {
		t.Errorf("%d lines are left", got)
	}
	t.Logf("%d kills, %d attempts, %d counts are lower bounds", kills, len(attempts), inexact)
}

// TestNothingReadable lets every path see identifiers, and finds none of them in any output.
func TestNothingReadable(t *testing.T) {
	s := newShop(t, 20, 6)
	for i := range s.plan.Erasure.Requests {
		s.plan.Erasure.Requests[i].Commit = true
	}
	s.write("subjects/1/customer_id", "14\n") // of another person than the e-mail
	s.write("subjects/2/email", "person-2@example.com\nperson-2@\x01example.com\n")
	s.write("subjects/3/customer_id", "person-3@example.com\n") // no number
	s.write("subjects/4/email", "")
	s.write("carried/4.given", "email=PERSON-4@example.com\nperson-4@example.com\n")
	s.write("carried/5.derived", "device_id=device-5\ncustomer_id=5\n")
	intake, find, held := s.plan, s.plan, s.plan
	intake.Kind, intake.Engine = plan.Intake, ""
	intake.Erasure = &plan.Erasure{SealTo: s.plan.Erasure.SealTo, Types: s.plan.Erasure.Types, Requests: s.plan.Erasure.Requests}
	find.Mode = plan.Simulate
	held.Kind, held.Erasure = plan.CountHeld, nil
	held.Holds = []plan.Hold{{Name: "case", UID: "1", Datasets: []string{"customer"}, Subject: true}}
	s.write("holds/0/email", "person-7@example.com\n")
	broken := held
	broken.Holds = []plan.Hold{held.Holds[0], {Name: "bad", UID: "2", Datasets: []string{"customer"}, Subject: true}}
	s.write("holds/1/email", "person-8@example.com\nperson-8@\x01")
	// A trigger whose error prints what it is about.
	postgres.Exec(t, s.db, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF OLD.email LIKE 'person-0@%' THEN RAISE EXCEPTION 'not % %', OLD.email, OLD.name USING ERRCODE = 'unique_violation'; END IF; RETURN OLD; END $$;
		CREATE TRIGGER refuse BEFORE DELETE ON customer FOR EACH ROW EXECUTE FUNCTION refuse()`)
	var codes []int32
	var total receipt.ErasureTotal
	for _, p := range []*plan.Plan{&intake, &find, &held, &broken, &s.plan} {
		a := s.start(p, nil)
		codes = append(codes, *a.ExitCode)
		total = receipt.MergeErasure(p, []receipt.ErasureAttempt{a})
	}
	for i, want := range []struct {
		problem receipt.Reason
		outcome receipt.ErasureOutcome
	}{{"", receipt.ErasureFailed}, {receipt.IdentifiersDisagree, receipt.ErasureSkipped}, {receipt.SubjectUnreadable, receipt.ErasureSkipped}} {
		if r := total.Requests[i]; r.Problem != want.problem || r.Outcome != want.outcome {
			t.Errorf("request %d: %s %s, want %v", i, r.Problem, r.Outcome, want)
		}
	}
	if last := total.Requests[5]; last.Outcome != receipt.ErasureDeleted {
		t.Errorf("the last request: %+v", last)
	}
	if codes[0] != 0 || codes[1] != 0 || codes[2] != 0 || codes[3] != int32(receipt.ExitMismatch) {
		t.Errorf("exit codes %v", codes)
	}
	out := strings.ToLower(s.out.String())
	if found := regexp.MustCompile(`person-\d|example\.com|device-\d|name-\d`).FindString(out); found != "" {
		t.Errorf("%q was printed:\n%s", found, out)
	}
	if !strings.Contains(out, `"msg":"account"`) {
		t.Error("there is no account: this test tests nothing")
	}
}
