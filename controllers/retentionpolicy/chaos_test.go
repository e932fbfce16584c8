// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// chaos is a world in which anything happens at any time.
type chaos struct {
	*world
	rand *rand.Rand
	// policies and jobs are all that the API server has ever had of them, for caches that are late.
	policies []*retentionv1.RetentionPolicy
	jobs     map[string][]*batchv1.Job
	requests int
}

// TestWhateverHappensEveryIntentHasOneResult makes passes of managers with caches of any age, two at a time, that die at any
// write, while plans change, holds come and go, servers change, and the ledger is there or not. What has to hold of the ledger
// is checked at the end of each world (expectAccounts), and before each release of a Job (expectIntent).
func TestWhateverHappensEveryIntentHasOneResult(t *testing.T) {
	worlds := 6
	if n, err := strconv.Atoi(os.Getenv("CHAOS")); err == nil {
		worlds = n
	}
	for seed := range worlds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := &chaos{world: newWorld(t), rand: rand.New(rand.NewPCG(4, uint64(seed))), jobs: map[string][]*batchv1.Job{}} //nolint:gosec // repeatable
			c.datastore("shop")
			c.datastore("crm")
			c.create("p", nil)
			for range 120 {
				c.remember()
				c.step()
			}
			c.calm()
			if len(c.stated(evidence.Intent)) == 0 {
				t.Error("nothing happened at all")
			}
			t.Logf("%d entries, %d Jobs carried out", len(c.entries()), len(c.purged))
			c.expectReleased(c.policy("p"))
		})
	}
}

// remember takes down what caches may hold later.
func (c *chaos) remember() {
	if p := c.policy("p"); p != nil {
		c.policies = append(c.policies, p)
	}
	for _, job := range c.world.jobs() {
		c.jobs[job.Name] = append(c.jobs[job.Name], &job)
	}
}

// late is a manager whose cache is of any age.
func (c *chaos) late() *Reconciler {
	r := c.reconciler()
	was := r.Client.(client.WithWatch) //nolint:forcetypeassert // an interceptor's is one
	policy := c.policies[max(0, len(c.policies)-1-c.rand.IntN(8))]
	age := c.rand.IntN(6)
	r.Client = interceptor.NewClient(was, interceptor.Funcs{
		Get: func(ctx context.Context, of client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			switch o := o.(type) {
			case *retentionv1.RetentionPolicy:
				policy.DeepCopyInto(o)
				return nil
			case *batchv1.Job:
				if known := c.jobs[key.Name]; len(known) > 0 {
					known[max(0, len(known)-1-age)].DeepCopyInto(o)
					return nil
				}
			}
			return of.Get(ctx, key, o, opts...)
		},
	})
	return r
}

func (c *chaos) reconcile(r *Reconciler) {
	_, _ = r.Reconcile(c.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: c.namespace, Name: "p"}}) // it is tried again
}

func (c *chaos) step() {
	switch n := c.rand.IntN(100); {
	case n < 40:
		c.reconcile(c.reconciler())
	case n < 50:
		c.reconcile(c.late())
	case n < 55:
		var both sync.WaitGroup
		for _, r := range []*Reconciler{c.late(), c.reconciler()} {
			both.Go(func() { c.reconcile(r) })
		}
		both.Wait()
	case n < 62:
		c.writesLeft = c.rand.IntN(4)
		c.reconcile(c.reconciler())
		c.writesLeft, c.killed = -1, false
	case n < 72:
		c.kubelet()
	case n < 80:
		c.clock.SetTime(c.clock.Now().Add(time.Duration(c.rand.IntN(12)) * time.Second))
	case n < 84:
		c.ledger.Fail(c.rand.IntN(4) == 0)
	case n < 86:
		c.ledger.CrashAfter([]evidence.Kind{evidence.Intent, evidence.Result, evidence.Conclusion}[c.rand.IntN(3)])
	default:
		c.disturb()
	}
}

// disturb changes what a run depends on.
func (c *chaos) disturb() {
	name := []string{"shop", "crm"}[c.rand.IntN(2)]
	switch c.rand.IntN(6) {
	case 0:
		c.change(func(p *retentionv1.RetentionPolicy) {
			p.Spec.Rules[0].DeleteAfter = retentionv1.Period(fmt.Sprintf("P%dD", 90+c.rand.IntN(3)))
		})
	case 1:
		c.legalHold(fmt.Sprintf("h%d", len(c.policies)), func(s *retentionv1.LegalHoldSpec) {
			if c.rand.IntN(2) == 0 {
				s.Condition = &retentionv1.HoldCondition{Field: "case", Operator: "Exists"}
			}
		})
	case 2:
		c.release()
	case 3:
		c.identity(name, []string{"id-1", "id-1", "id-1", "id-2"}[c.rand.IntN(4)])
	case 4:
		c.waiting(name, c.rand.IntN(4) == 0)
	default:
		c.requests++
		c.clock.SetTime(c.clock.Now().Add(time.Second))
		c.change(func(p *retentionv1.RetentionPolicy) {
			p.Annotations[retentionv1.AnnotationRequestedAt] = fmt.Sprint(c.requests)
		})
	}
}

func (c *chaos) identity(name, observed string) {
	c.changeDatastore(name, func(ds *retentionv1.Datastore) { ds.Status.ObservedIdentity = observed })
}

// waiting has erasure requests wait for a Datastore, or not.
func (c *chaos) waiting(name string, wait bool) {
	c.changeDatastore(name, func(ds *retentionv1.Datastore) {
		ds.Status.PendingErasures = nil
		if wait {
			ds.Status.PendingErasures = &retentionv1.PendingErasures{Requests: 1, Since: ptr.To(metav1.NewTime(c.clock.Now().Add(-time.Minute)))}
		}
	})
}

// release releases all holds.
func (c *chaos) release() {
	list := &retentionv1.LegalHoldList{}
	c.must(c.c.List(c.t.Context(), list, client.InNamespace(c.namespace)))
	for i := range list.Items {
		if h := &list.Items[i]; h.Spec.Release == nil {
			base := h.DeepCopy()
			h.Spec.Release = &retentionv1.HoldRelease{Reason: "settled"}
			c.must(c.c.Patch(c.t.Context(), h, client.MergeFrom(base)))
		}
	}
}

// calm lets everything come to its end: by itself or, in half of the worlds, because the policy is deleted.
func (c *chaos) calm() {
	c.ledger.Fail(false)
	c.release()
	for _, name := range []string{"shop", "crm"} {
		c.identity(name, "id-1")
		c.waiting(name, false)
	}
	deleted := c.rand.IntN(2) == 0
	if deleted {
		c.must(c.c.Delete(c.t.Context(), c.policy("p")))
	}
	quiet := 0
	for range 300 {
		c.reconcile(c.reconciler())
		c.kubelet()
		c.clock.SetTime(c.clock.Now().Add(5 * time.Second))
		p := c.policy("p")
		if quiet++; p != nil && (deleted || p.Status.ActiveRun != nil) {
			quiet = 0
		}
		if p == nil || quiet == 5 {
			return
		}
	}
	c.t.Fatalf("no end: %+v", c.policy("p").Status.ActiveRun)
}
