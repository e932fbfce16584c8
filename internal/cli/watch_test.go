// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// purgeLog are the lines that a purge process has really written: see internal/purge/log_test.go.
func purgeLog(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".log"))
	must(t, err)
	return strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestProgress(t *testing.T) {
	for _, name := range []string{"purge", "erasure"} {
		t.Run(name, func(t *testing.T) {
			var lines, frames bytes.Buffer
			added, live := newView(plainTerminal(t, &lines)), newView(plainTerminal(t, &frames))
			added.zone, live.live = time.UTC, true
			for _, text := range purgeLog(t, name) {
				if line := readLogLine([]byte(text)); line != nil {
					added.line("crm", "pod", line)
					live.line("crm", "pod", line)
				}
			}
			golden(t, "watch-"+name, lines.String())
			golden(t, "watch-"+name+"-bars", strings.Join(live.frame(), "\n")+"\n")
			if strings.Contains(lines.String(), "\x1b") || strings.Contains(lines.String()+frames.String(), "AGE") {
				t.Errorf("got %q", lines.String())
			}
		})
	}
}

// TestProgressOfSeveralPods: what earlier Pods did counts, since a later one counts what is due anew.
func TestProgressOfSeveralPods(t *testing.T) {
	p := &progress{}
	line := func(message string, due, done int64) *logLine {
		return &logLine{Message: message, Dataset: "event", Rule: "old", Due: &due, Done: &done, Records: ptr.To(int64(1000))}
	}
	p.read("crm", "one", line(logCounted, 400, 0))
	p.read("crm", "one", line(logProgress, 400, 150))
	p.read("crm", "two", line(logCounted, 250, 0))
	if text := p.read("crm", "two", line(logProgress, 250, 50)); text != "event (old): 200 of 400 done (50%)" {
		t.Errorf("got %s", text)
	}
	if len(p.steps) != 1 {
		t.Errorf("%d steps", len(p.steps))
	}
	if text := p.read("crm", "two", &logLine{Message: logVerified, Dataset: "event", Rule: "old", Remaining: ptr.To(int64(3)), Blocked: ptr.To(int64(2))}); text != "event (old): 3 records left, 2 of them kept by constraints" {
		t.Errorf("got %s", text)
	}
}

// liveOne makes a terminal on which lines are replaced, and tells what it shows in the end.
func TestLinesAreReplaced(t *testing.T) {
	var out bytes.Buffer
	term := plainTerminal(t, &out)
	term.live, term.width = true, 70
	v := newView(term)
	v.state([]string{"Run r", "crm: Released"})
	for _, text := range purgeLog(t, "purge") {
		if line := readLogLine([]byte(text)); line != nil {
			v.line("crm", "pod", line)
		}
	}
	v.say("something stays")
	v.state([]string{"Run r has ended: Succeeded"})
	v.finish()
	if got, want := screen(out.String()), "something stays\nRun r has ended: Succeeded\ncrm  event (old)  ████████████████████████ 100%  400 done, verified, …\n"; got != want {
		t.Errorf("the screen shows\n%s, want\n%s", got, want)
	}
}

// screen is what a terminal shows that was given text with the two codes that a view uses.
func screen(text string) string {
	var lines []string
	for _, part := range strings.SplitAfter(text, "\n") {
		for {
			before, after, found := strings.Cut(part, "\x1b[")
			if !found {
				break
			}
			var up int
			if n, _ := fmt.Sscanf(after, "%dA", &up); n == 1 && strings.HasPrefix(after, fmt.Sprintf("%dA\x1b[J", up)) {
				lines = lines[:len(lines)-up]
				after = after[len(fmt.Sprintf("%dA\x1b[J", up)):]
			}
			part = before + after
		}
		if part != "" {
			lines = append(lines, part)
		}
	}
	return strings.Join(lines, "")
}

// operator writes statuses in place of the operator.
type operator struct {
	t  *testing.T
	c  client.Client
	ns string
}

func (o *operator) policy(name string, change func(p *v1alpha1.RetentionPolicy)) {
	o.t.Helper()
	p := &v1alpha1.RetentionPolicy{}
	must(o.t, o.c.Get(o.t.Context(), client.ObjectKey{Namespace: o.ns, Name: name}, p))
	change(p)
	must(o.t, o.c.Status().Update(o.t.Context(), p))
}

// waitFor waits for something to be so.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

// TestRunAndWait has a run asked for, carried out, and watched, by the real API server; the test is operator and kubelet.
func TestRunAndWait(t *testing.T) {
	for name, tc := range map[string]struct {
		outcome v1alpha1.Outcome
		code    int
		want    string
	}{
		"succeeded": {v1alpha1.OutcomeSucceeded, 0, "ended: Succeeded. 400 deleted"},
		"guardrail": {v1alpha1.OutcomeAwaitingApproval, exitApproval, "approve-plan telemetry"},
		"failed":    {v1alpha1.OutcomeFailed, exitNotAll, "ended: Failed"},
	} {
		t.Run(name, func(t *testing.T) {
			c, ns := shop(t)
			o := &operator{t, c, ns}
			o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) { p.Status.ActiveRun = nil })
			k := newKubelet(t, c)
			const run = "telemetry-20261120100000"
			log := purgeLog(t, "purge")
			read, released := make(chan struct{}), make(chan struct{})
			k.writes("purge-1", func(w io.Writer) {
				for i, line := range log {
					if i == 5 {
						close(read)
						<-released // it takes a while
					}
					_, _ = io.WriteString(w, line)
				}
			})
			done := make(chan struct{})
			go func() {
				defer close(done)
				request := ""
				waitFor(t, "a run is asked for", func() bool {
					p := &v1alpha1.RetentionPolicy{}
					must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "telemetry"}, p))
					request = p.Annotations[v1alpha1.AnnotationRequestedAt]
					return request != ""
				})
				o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) {
					p.Status.LastHandledRequest = request
					p.Status.ActiveRun = &v1alpha1.Run{Name: run, Trigger: v1alpha1.TriggerRequest, Mode: v1alpha1.ModeEnforce, Slot: metav1.Now(), StartTime: metav1.Now(),
						Datastores: []v1alpha1.RunDatastore{{Name: "crm", State: v1alpha1.RunReleased}}}
				})
				k.pod(t, ns, "purge-1", map[string]string{purgejob.LabelComponent: purgejob.ComponentPurge, purgejob.LabelRun: run, purgejob.LabelDatastore: "crm"})
				<-read
				close(released)
				o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) {
					p.Status.LastRun, p.Status.ActiveRun = p.Status.ActiveRun, nil
					p.Status.LastRun.Outcome, p.Status.LastRun.Message = tc.outcome, "400 deleted, 0 anonymized, 0 remaining"
					p.Status.LastRun.Evidence = &v1alpha1.EvidenceReference{Index: ptr.To(int64(42)), Digest: "sha256:00dd", Time: metav1.Now(), Level: "Deleted"}
				})
			}()
			out, code, err := call(t, "", "run", "telemetry", "--wait", "--timeout", "1m")
			<-done
			if code != tc.code {
				t.Errorf("exit code %d, %v", code, err)
			}
			for _, want := range []string{"Asked for a run", "crm: Released", "crm: event (old): due are 400 of 1,000 records",
				"event (old): 222 of 400 done (55%)", "event (old): verified, none is left", "Evidence: entry 42, Deleted", tc.want} {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestRunThatNeverStarts(t *testing.T) {
	c, ns := shop(t)
	o := &operator{t, c, ns}
	o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) {
		p.Status.ActiveRun, p.Status.SelectedDatastores = nil, ptr.To(int32(0))
	})
	if _, code, err := call(t, "", "run", "telemetry", "--wait"); code != 1 || err == nil || !strings.Contains(err.Error(), "selects no Datastore") {
		t.Errorf("got %d, %v", code, err)
	}
	o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) {
		p.Status.SelectedDatastores = ptr.To(int32(1))
		p.Status.ObservedGeneration = p.Generation
		p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue,
			Reason: v1alpha1.ReasonInvalidSpec, Message: "spec.schedule never fires", LastTransitionTime: metav1.Now()})
	})
	if _, code, err := call(t, "", "run", "telemetry", "--wait"); code != 1 || err == nil || !strings.Contains(err.Error(), "spec.schedule never fires") {
		t.Errorf("got %d, %v", code, err)
	}
	o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) { p.Status.Conditions = nil })
	out, code, _ := call(t, "", "run", "telemetry", "--wait", "--timeout", "1500ms")
	if code != exitTimeout || !strings.Contains(out, "Waiting for the operator to start the run.") || !strings.Contains(out, "still under way after 1.5s") {
		t.Errorf("got %d, %s", code, out)
	}
	out, code, err := call(t, "", "run", "telemetry")
	if code != 0 || !strings.Contains(out, "kubectl retention watch policy/telemetry") {
		t.Errorf("got %d, %s, %v", code, out, err)
	}
	if _, _, err := call(t, "", "run", "missing"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("got %v", err)
	}
}

func TestWatch(t *testing.T) {
	c, ns := shop(t)
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"at rest":              {[]string{"closed"}, 0, "Policy closed has no run under way."},
		"nothing on it":        {[]string{"archive"}, 0, "Nothing works on datastore archive."},
		"answered":             {[]string{"request/case-2026-090"}, 0, "Request case-2026-090: Answered, Deleted"},
		"waits for approval":   {[]string{"case-2026-101"}, exitApproval, "kubectl retention approve case-2026-101"},
		"still under way":      {[]string{"telemetry", "--timeout", "1100ms"}, exitTimeout, "Run telemetry-20261120085900 (Enforce)"},
		"all of the namespace": {[]string{"--timeout", "1100ms"}, exitTimeout, "crm: run telemetry-20261120085900 of policy telemetry"},
		"no such thing":        {[]string{"nothing"}, 1, ""},
		"no such kind":         {[]string{"pod/x"}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, err := call(t, "", append([]string{"watch"}, tc.args...)...)
			if code != tc.code || !strings.Contains(out, tc.want) || tc.want == "" && (err == nil || !strings.Contains(err.Error(), "policy")) {
				t.Errorf("got %d, %s, %v", code, out, err)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		connected, err := (&target{}).connect()
		must(t, err)
		var out bytes.Buffer
		look, err := connected.followable(t.Context(), "telemetry")
		must(t, err)
		if code, err := connected.follow(ctx, plainTerminal(t, &out), 0, look); code != exitInterrupted || err != nil || !strings.Contains(out.String(), "Stopped watching") {
			t.Errorf("got %d, %v, %s", code, err, out.String())
		}
	})
	t.Run("a datastore until it is given back", func(t *testing.T) {
		go func() {
			time.Sleep(5 * time.Second)
			d := &v1alpha1.Datastore{}
			must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "crm"}, d))
			d.Status.ActiveRun = nil
			must(t, c.Status().Update(t.Context(), d))
		}()
		out, code, err := call(t, "", "watch", "datastore/crm", "--timeout", "30s")
		if code != 0 || !strings.Contains(out, "has given datastore crm back") {
			t.Errorf("got %d, %s, %v", code, out, err)
		}
	})
}

// TestLogThatBreaksOff: a log that ends in the middle while its Pod runs is taken up where it broke.
func TestLogThatBreaksOff(t *testing.T) {
	c, ns := shop(t)
	k := newKubelet(t, c)
	log := purgeLog(t, "purge")
	var times atomic.Int32
	k.writes("purge-1", func(w io.Writer) {
		from, to := 0, 6
		if times.Add(1) > 1 {
			from, to = 4, len(log) // a second's worth of lines comes again
		}
		_, _ = io.WriteString(w, strings.Join(log[from:to], ""))
	})
	k.pod(t, ns, "purge-1", map[string]string{purgejob.LabelComponent: purgejob.ComponentPurge, purgejob.LabelRun: "telemetry-20261120085900", purgejob.LabelDatastore: "crm"})
	go func() {
		waitFor(t, "the log is read again", func() bool { return times.Load() > 1 })
		d := &v1alpha1.Datastore{}
		must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "crm"}, d))
		d.Status.ActiveRun = nil
		must(t, c.Status().Update(t.Context(), d))
	}()
	out, code, err := call(t, "", "watch", "crm", "--timeout", "30s")
	if code != 0 || strings.Count(out, "72 of 400 done") != 1 || strings.Count(out, "none is left") != 1 || times.Load() != 2 {
		t.Errorf("got %d, read %d times, %s, %v", code, times.Load(), out, err)
	}
}
