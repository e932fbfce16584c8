// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

const (
	faultRecords = 1_000_000
	faultRounds  = 10
)

// TestKillNine kills, with SIGKILL and in the middle of a purge of 1,000,000 records, the purge process, the managers and
// PostgreSQL, ten times each. Every run must end, with all that was due gone, all else there, and a count that is exact
// or says that it is a lower bound.
func TestKillNine(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, fmt.Sprintf(`
		CREATE TABLE origin AS SELECT i AS id, now() - interval '200 days' + (i %% 200) * interval '1 day' AS at, repeat('x', 60) AS filler
		FROM generate_series(1, %d) i;
		CREATE TABLE event (LIKE origin)`, faultRecords))
	e.datastore(dataset("event", func(d *retentionv1.Dataset) { d.TimestampField = "at" }))
	p := e.policy("p", nil, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"})
	e.ended(p, 2*time.Minute)

	for _, victim := range e.victims(func() string {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p))
		if run := p.Status.ActiveRun; run != nil {
			return run.Datastores[0].PlanDigest
		}
		return ""
	}) {
		t.Run(victim.name, func(t *testing.T) {
			exact, midway := 0, 0
			for round := 0; midway < faultRounds && round < 4*faultRounds; round++ {
				run, left := e.killMidway(p, fmt.Sprintf("%s %d", victim.name, round), victim.kill)
				if left <= faultRecords-ptr.Deref(run.Deleted, 0) {
					continue // the purge was through before the kill
				}
				midway++
				if run.Counting == retentionv1.CountingExact {
					exact++
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%d kills in the middle of a purge, %d with exact counts", midway, exact)
			if midway < faultRounds {
				t.Errorf("only %d of %d kills came in the middle of a purge", midway, faultRounds)
			}
		})
	}
}

// victim is somebody who is killed.
type victim struct {
	name string
	kill func()
}

// victims are the purge process of the plan whose digest is told, the managers, and PostgreSQL.
func (e *env) victims(digest func() string) []victim {
	return []victim{
		{"purge process", func() {
			if d := digest(); d != "" {
				e.kill(purgePods(e.namespace), "--plan-digest="+d)
			}
		}},
		{"managers", func() {
			e.kill(managerPods, "manager")
			// New Pods take their place at once; the same ones would wait longer after each kill.
			e.must(e.c.DeleteAllOf(e.t.Context(), &corev1.Pod{}, append(managerPods, client.GracePeriodSeconds(0))...))
		}},
		{"PostgreSQL", func() {
			e.srv.Kill9(e.t)
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond)
			e.srv.Restart(e.t)
			e.db = postgres.Connect(e.t, e.dsn)
		}},
	}
}

// untilDeleting waits until the purge process deletes.
func (e *env) untilDeleting(name string) {
	e.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if e.count("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'retention-operator' AND query LIKE '%DELETE FROM%'") > 0 {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("%s: the purge does not begin", name)
		}
	}
}

// killMidway fills the table, starts a run, kills somebody while the first batches go, and checks how the run ends. It
// returns how many records were left just before the kill.
func (e *env) killMidway(p *retentionv1.RetentionPolicy, name string, kill func()) (*retentionv1.Run, int64) {
	e.t.Helper()
	postgres.Exec(e.t, e.db, "TRUNCATE event; INSERT INTO event SELECT * FROM origin; ANALYZE event")
	e.request(p, name)
	e.untilDeleting(name)
	time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
	left := e.count("SELECT count(*) FROM event")
	kill()
	run := e.ended(p, 5*time.Minute)

	ds := e.step(run, "event")
	cutoff := ds.Cutoff.UTC()
	due := e.count("SELECT count(*) FROM origin WHERE at <= $1", cutoff)
	stay := e.sum("SELECT count(*), sum(hashtextextended(o::text, 0)) FROM origin o WHERE at > $1", cutoff)
	now := e.sum("SELECT count(*), sum(hashtextextended(o::text, 0)) FROM event o")
	deleted := ptr.Deref(ds.Deleted, -1)
	e.t.Logf("%s: killed with %d left; %s, %s, %d of %d deleted in %d attempts", name, left, run.Outcome, ds.Counting, deleted, due, run.Datastores[0].Attempts)
	if run.Outcome != retentionv1.OutcomeSucceeded || now != stay {
		e.t.Errorf("%s: %s (%s); %s records are there, want %s", name, run.Outcome, run.Message, now, stay)
	}
	if wrong := deleted > due || (ds.Counting == retentionv1.CountingExact && deleted != due); wrong {
		e.t.Errorf("%s: the status says %s %d deleted, the database %d", name, ds.Counting, deleted, due)
	}
	return run, left
}

// sum returns a count and a checksum as one text.
func (e *env) sum(sql string, args ...any) string {
	e.t.Helper()
	var n int64
	var sum string
	row := e.db.QueryRow(e.t.Context(), "SELECT count, coalesce(sum, 0)::text FROM ("+sql+") s", args...)
	if err := row.Scan(&n, &sum); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		e.t.Fatal(err)
	}
	return fmt.Sprintf("%d/%s", n, sum)
}

// managerPods selects the managers, purgePods the purge Pods of a namespace.
var managerPods = []client.DeleteAllOfOption{client.InNamespace("retention-system"), client.MatchingLabels{"control-plane": "controller-manager"}}

func purgePods(namespace string) []client.DeleteAllOfOption {
	return []client.DeleteAllOfOption{client.InNamespace(namespace), client.MatchingLabels{purgejob.LabelComponent: purgejob.ComponentPurge}}
}

// kill sends SIGKILL, by process ID, to every process in the selected Pods that has the argument. It knows them by their
// cgroups: another cluster on this machine may have processes of the same name.
func (e *env) kill(selected []client.DeleteAllOfOption, argument string) {
	e.t.Helper()
	var options client.DeleteAllOfOptions
	options.ApplyOptions(selected)
	pods := &corev1.PodList{}
	e.must(e.c.List(e.t.Context(), pods, &options.ListOptions))
	paths, err := filepath.Glob("/proc/[0-9]*")
	e.must(err)
	killed := 0
	for _, path := range paths {
		args, argsErr := os.ReadFile(filepath.Join(path, "cmdline"))      // a path of /proc
		cgroups, cgroupsErr := os.ReadFile(filepath.Join(path, "cgroup")) // a path of /proc
		ours := slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return bytes.Contains(cgroups, []byte("pod"+p.UID)) })
		if argsErr != nil || cgroupsErr != nil || !ours || !slices.Contains(strings.Split(string(args), "\x00"), argument) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(path))
		e.must(err)
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	e.t.Logf("killed %d processes with the argument %s", killed, argument)
}
