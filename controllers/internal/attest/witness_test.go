// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// world is a ledger whose folder can be put back.
type world struct {
	*attesttest.Ledger
	t    *testing.T
	srv  *apiserver.Server
	root string // of the folders that were set aside
	n    int
}

func newWorld(t *testing.T) *world {
	return &world{Ledger: attesttest.New(t), t: t, srv: apiserver.Get(t), root: t.TempDir()}
}

// state appends an Intent.
func (w *world) state(key string) error {
	_, err := w.Append(w.t.Context(), predicate(evidence.Intent, key, ledgertest.None), subject(key))
	return err
}

func (w *world) checkpoint() *corev1.ConfigMap {
	w.t.Helper()
	cm := &corev1.ConfigMap{}
	must(w.t, w.srv.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Namespace, Name: attest.CheckpointName}, cm))
	return cm
}

// save sets the ledger's folder aside as it is, under a name.
func (w *world) save(name string) {
	w.t.Helper()
	w.Raw.Close(w.t)
	must(w.t, os.CopyFS(filepath.Join(w.root, name), os.DirFS(w.Raw.Dir)))
	w.Restart(w.t)
}

// restore has the ledger go on from what was set aside.
func (w *world) restore(name string) {
	w.t.Helper()
	w.Raw.Close(w.t)
	w.n++
	w.Raw.Dir = filepath.Join(w.root, fmt.Sprintf("restored-%d", w.n))
	must(w.t, os.CopyFS(w.Raw.Dir, os.DirFS(filepath.Join(w.root, name))))
	w.Restart(w.t)
}

// behind appends past the manager, with its key.
func (w *world) behind(key string) {
	w.t.Helper()
	w.Raw.Append(w.t, ledgertest.Statement(evidence.Intent, key, time.Now(), ledgertest.None))
}

func (w *world) events() string {
	var all []string
	for {
		select {
		case e := <-w.Recorder.Events:
			all = append(all, e)
		default:
			return strings.Join(all, "\n")
		}
	}
}

// refuses checks that nothing is taken, with what the error says, and that it was told once.
func (w *world) refuses(want string) {
	w.t.Helper()
	for range 3 {
		err := w.state("refused")
		var wrong *attest.Inconsistent
		if !errors.Is(err, attest.ErrUnavailable) || !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			w.t.Fatalf("got %v, want %q", err, want)
		}
		if _, err := w.Find(w.t.Context(), evidence.Intent, "unknown"); !errors.As(err, &wrong) {
			w.t.Errorf("finding: %v", err)
		}
	}
	if got := w.events(); strings.Count(got, "LedgerInconsistent") != 1 || !strings.Contains(got, want) {
		w.t.Errorf("events: %s", got)
	}
}

func (w *world) accept(root string) {
	w.t.Helper()
	cm := w.checkpoint()
	metav1.SetMetaDataAnnotation(&cm.ObjectMeta, attest.AnnotationAccept, root)
	must(w.t, w.srv.Client.Update(w.t.Context(), cm))
}

func (w *world) size() int64 {
	w.t.Helper()
	state, err := w.Raw.Client.State(w.t.Context())
	must(w.t, err)
	return state.Size
}

func (w *world) rootNow() string {
	w.t.Helper()
	state, err := w.Raw.Client.State(w.t.Context())
	must(w.t, err)
	cp, err := evidence.OpenCheckpoint([]byte(state.Checkpoint), w.Raw.Trust)
	must(w.t, err)
	return fmt.Sprintf("%x", cp.Root)
}

func TestCheckpointIsKept(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		must(t, w.state(fmt.Sprint(i)))
		cm := w.checkpoint()
		trust := *w.Raw.Trust
		trust.RequireWitness = true
		cp, err := evidence.OpenCheckpoint([]byte(cm.Data["checkpoint"]), &trust)
		if err != nil || cp.Size != int64(i+1) || cm.Data["size"] != fmt.Sprint(i+1) || !strings.HasPrefix(cp.Witness, "dataretention.dev/witness/") {
			t.Fatalf("kept is %+v, %v", cp, err)
		}
	}
	if got := w.events(); !strings.Contains(got, "LedgerTrusted") || strings.Contains(got, "Warning") {
		t.Errorf("events: %s", got)
	}
}

// TestTheLedgerOnlyGrows has the ledger be what it must not be, in every way.
func TestTheLedgerOnlyGrows(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(w *world)
		want string
	}{
		"truncated":                    {func(w *world) { w.restore("two") }, "fewer now"},
		"lost":                         {func(w *world) { w.restore("none") }, "fewer now"},
		"rewritten, as long":           {func(w *world) { w.restore("two"); w.behind("x"); w.behind("y") }, "rewritten"},
		"rewritten, shorter":           {func(w *world) { w.restore("two"); w.behind("x") }, "fewer now"},
		"rewritten, longer":            {func(w *world) { w.restore("two"); w.behind("x"); w.behind("y"); w.behind("z") }, "rewritten"},
		"the checkpoint is gone":       {func(w *world) { must(w.t, w.srv.Client.Delete(w.t.Context(), w.checkpoint())) }, "is gone"},
		"the checkpoint was taken out": {func(w *world) { w.setCheckpoint("") }, "is gone"},
		"the checkpoint was replaced": {func(w *world) {
			state, err := w.Raw.Client.State(w.t.Context())
			must(w.t, err)
			w.setCheckpoint(state.Checkpoint) // the ledger has signed it, and no witness
		}, "not one that this operator has cosigned"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.save("none")
			must(t, w.state("1"))
			must(t, w.state("2"))
			w.save("two")
			must(t, w.state("3"))
			must(t, w.state("4"))
			kept := w.checkpoint().Data["checkpoint"]
			w.events()
			c.harm(w)
			w.anew() // a manager that has just begun to lead
			before := w.size()
			w.refuses(c.want)
			if after := w.size(); after != before {
				t.Errorf("the ledger had %d entries, and has %d", before, after)
			}
			if cm := (&corev1.ConfigMap{}); w.srv.Client.Get(t.Context(), client.ObjectKey{Namespace: w.Namespace, Name: attest.CheckpointName}, cm) == nil && strings.HasPrefix(c.want, "fewer") && cm.Data["checkpoint"] != kept {
				t.Error("the kept checkpoint was changed")
			}
			w.acceptNow()
			must(t, w.state("goes on"))
			if got := w.events(); strings.Count(got, "LedgerAccepted") != 1 {
				t.Errorf("events: %s", got)
			}
			cm := w.checkpoint()
			if cm.Annotations[attest.AnnotationAccept] != "" {
				t.Error("the acceptance can be used again")
			}
			replaced := 0
			for key := range cm.Data {
				if strings.HasPrefix(key, "replaced-") {
					replaced++
				}
			}
			if want := map[bool]int{true: 0, false: 1}[c.want == "is gone"]; replaced != want {
				t.Errorf("%d checkpoints stand as replaced, want %d", replaced, want)
			}
		})
	}
}

// anew is what another process has.
func (w *world) anew() { w.Client = attest.New(w.Client.Options) }

func (w *world) setCheckpoint(text string) {
	w.t.Helper()
	cm := w.checkpoint()
	cm.Data["checkpoint"] = text
	must(w.t, w.srv.Client.Update(w.t.Context(), cm))
}

func (w *world) acceptNow() {
	w.t.Helper()
	err := w.srv.Client.Create(w.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: attest.CheckpointName}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
	w.accept(strings.Repeat("0", 64)) // any other does nothing
	if err := w.state("refused"); err == nil {
		w.t.Error("a wrong root was accepted")
	}
	w.accept(w.rootNow())
}

// TestTruncatedWhileRunning is about a ledger that is put back under a manager which has compared it before.
func TestTruncatedWhileRunning(t *testing.T) {
	w := newWorld(t)
	must(t, w.state("1"))
	w.save("one")
	must(t, w.state("2"))
	must(t, w.state("3"))
	w.events()
	w.restore("one")
	w.refuses("fewer now")
}

// TestTheLedgerIsBack sees that it goes on by itself when the whole ledger is there again.
func TestTheLedgerIsBack(t *testing.T) {
	w := newWorld(t)
	w.save("none")
	must(t, w.state("1"))
	w.save("whole")
	w.restore("none")
	if err := w.state("2"); err == nil {
		t.Fatal("a ledger that lost everything is used")
	}
	w.restore("whole")
	must(t, w.state("2"))
}

// TestAnotherLedger has somebody else answer: with another key, under the same name or another.
func TestAnotherLedger(t *testing.T) {
	for _, name := range []string{"", "dataretention.dev/ledger/another"} {
		w := newWorld(t)
		must(t, w.state("1"))
		w.events()
		origin, _, err := evidence.NoteKey(w.Raw.LogKey)
		must(t, err)
		if name != "" {
			origin = name
		}
		w.Raw.Close(t)
		w.Raw.Dir = t.TempDir()
		w.Raw.LogKey, _, err = note.GenerateKey(nil, origin)
		must(t, err)
		w.Restart(t)
		w.anew()
		w.refuses("trust")
	}
}

// TestFirstContactWithAnOldLedger is about an operator's namespace that was made anew beside an old volume.
func TestFirstContactWithAnOldLedger(t *testing.T) {
	w := newWorld(t)
	w.behind("x")
	must(t, w.state("1"))
	if got := w.events(); !strings.Contains(got, "Warning LedgerTrusted") || !strings.Contains(got, "1 entries") && !strings.Contains(got, "2 entries") {
		t.Errorf("events: %s", got)
	}
}

// TestRewoundTogether puts the ledger back, and what is kept of it, so that they go together.
func TestRewoundTogether(t *testing.T) {
	for name, ledgerToo := range map[string]bool{"the ledger too": true, "only what is kept": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			must(t, w.state("1"))
			w.save("one")
			was := w.checkpoint()
			must(t, w.state("2"))
			must(t, w.state("3"))
			w.events()
			if ledgerToo {
				w.restore("one")
			}
			rewound := w.checkpoint()
			rewound.Data = was.Data
			must(t, w.srv.Client.Update(t.Context(), rewound))
			w.refuses("was put back")
			w.acceptNow()
			must(t, w.state("goes on"))
		})
	}
}

// TestAcceptedElsewhere sees that what a person has accepted through one manager is not a problem to another.
func TestAcceptedElsewhere(t *testing.T) {
	w := newWorld(t)
	must(t, w.state("1"))
	w.save("one")
	must(t, w.state("2"))
	must(t, w.state("3"))
	first := w.Client
	w.restore("one")
	w.anew()
	w.acceptNow()
	must(t, w.state("goes on"))
	w.Client = first
	must(t, w.state("here, too"))
}
