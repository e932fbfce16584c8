// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

// overview is what `status -o json` prints. Times are UTC. A number that nobody has counted is absent.
type overview struct {
	Time       time.Time            `json:"time"`
	Namespaces []*namespaceOverview `json:"namespaces"`
	// Missing says what could not be looked at, and why.
	Missing []string `json:"missing,omitempty"`
}

type namespaceOverview struct {
	Name       string              `json:"name"`
	Policies   []policyOverview    `json:"policies,omitempty"`
	Datastores []datastoreOverview `json:"datastores,omitempty"`
	// Requests are those that are listed: the open ones, those that are due first in front; the others only if they were asked for.
	Requests []requestOverview `json:"requests,omitempty"`
	// Answered and Denied are how many requests have ended.
	Answered int `json:"answered"`
	Denied   int `json:"denied"`
	// Holds are those that are not released, and the others only if they were asked for.
	Holds    []holdOverview `json:"holds,omitempty"`
	Released int            `json:"released"`
}

// health is how an object stands, from best to worst.
type health string

const (
	healthOver health = "Over" // it has ended, and asks for nothing
	healthOK   health = "OK"
	healthBusy health = "Busy"
	healthWarn health = "Attention"
	healthBad  health = "Problem"
)

type policyOverview struct {
	Name       string       `json:"name"`
	Health     health       `json:"health"`
	Mode       string       `json:"mode"`
	Suspended  bool         `json:"suspended,omitempty"`
	Schedule   string       `json:"schedule"`
	TimeZone   string       `json:"timeZone"`
	Datastores []string     `json:"datastores,omitempty"`
	Ready      *condition   `json:"ready,omitempty"`
	Compliant  *condition   `json:"compliant,omitempty"`
	Next       *time.Time   `json:"nextRunTime,omitempty"`
	ActiveRun  *runOverview `json:"activeRun,omitempty"`
	LastRun    *runOverview `json:"lastRun,omitempty"`
	// Approvable are the digests of plans that wait for approval.
	Approvable []string `json:"approvable,omitempty"`
}

type runOverview struct {
	Name       string                      `json:"name"`
	Slot       time.Time                   `json:"slot"`
	StartTime  time.Time                   `json:"startTime"`
	EndTime    *time.Time                  `json:"completionTime,omitempty"`
	Outcome    string                      `json:"outcome,omitempty"`
	Message    string                      `json:"message,omitempty"`
	Matched    *int64                      `json:"matched,omitempty"`
	Deleted    *int64                      `json:"deleted,omitempty"`
	Anonymized *int64                      `json:"anonymized,omitempty"`
	Remaining  *int64                      `json:"remaining,omitempty"`
	Counting   string                      `json:"counting,omitempty"`
	Evidence   *v1alpha1.EvidenceReference `json:"evidence,omitempty"`
	// Finished of Total datastores.
	Finished int `json:"datastoresFinished"`
	Total    int `json:"datastores"`
}

type datastoreOverview struct {
	Name      string     `json:"name"`
	Health    health     `json:"health"`
	Engine    string     `json:"engine,omitempty"`
	Version   string     `json:"serverVersion,omitempty"`
	Reachable *condition `json:"reachable,omitempty"`
	Ready     *condition `json:"ready,omitempty"`
	// Doubts are the conditions ReferencesMapped and CountsReliable where they are False.
	Doubts    []condition `json:"doubts,omitempty"`
	Datasets  int         `json:"datasets"`
	Records   *int64      `json:"records,omitempty"`
	ProbeTime *time.Time  `json:"lastProbeTime,omitempty"`
	Holds     int         `json:"holds"`
	ActiveRun string      `json:"activeRun,omitempty"`
	// RunOf is whose run it is: the policy's name, or Erasure.
	RunOf   string     `json:"activeRunOf,omitempty"`
	RunTime *time.Time `json:"activeRunSince,omitempty"`
	Pending int32      `json:"pendingErasures"`
}

type requestOverview struct {
	Name       string                      `json:"name"`
	Health     health                      `json:"health"`
	Regulation string                      `json:"regulation,omitempty"`
	State      string                      `json:"state"`
	Outcome    string                      `json:"outcome,omitempty"`
	Received   *time.Time                  `json:"receivedTime,omitempty"`
	Due        *time.Time                  `json:"dueTime,omitempty"`
	Answered   *time.Time                  `json:"answeredTime,omitempty"`
	Overdue    bool                        `json:"overdue,omitempty"`
	DaysLeft   *int                        `json:"daysLeft,omitempty"`
	Found      *int64                      `json:"found,omitempty"`
	Erased     *int64                      `json:"erased,omitempty"`
	Ready      *condition                  `json:"ready,omitempty"`
	Evidence   *v1alpha1.EvidenceReference `json:"evidence,omitempty"`
}

type holdOverview struct {
	Name       string                      `json:"name"`
	Health     health                      `json:"health"`
	Scope      string                      `json:"scope"`
	Authority  string                      `json:"authority"`
	Reference  string                      `json:"reference,omitempty"`
	Enforced   *condition                  `json:"enforced,omitempty"`
	Since      *time.Time                  `json:"enforcedTime,omitempty"`
	Released   bool                        `json:"released"`
	Datastores *int32                      `json:"datastores,omitempty"`
	Records    *int64                      `json:"records,omitempty"`
	Evidence   *v1alpha1.EvidenceReference `json:"evidence,omitempty"`
}

// condition is a condition of a status without its history.
type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

func conditionOf(list []metav1.Condition, kind string) *condition {
	c := meta.FindStatusCondition(list, kind)
	if c == nil {
		return nil
	}
	return &condition{c.Type, string(c.Status), c.Reason, c.Message}
}

// is says whether the condition is there and has that status.
func (c *condition) is(status metav1.ConditionStatus) bool {
	return c != nil && c.Status == string(status)
}

// overview looks at a namespace, or at all of them. A kind that may not be listed is noted as missing.
func (c *cluster) overview(ctx context.Context, namespace string, all bool, now time.Time) (*overview, error) {
	out := &overview{Time: now.UTC()}
	spaces := map[string]*namespaceOverview{}
	in := func(name string) *namespaceOverview {
		if spaces[name] == nil {
			spaces[name] = &namespaceOverview{Name: name}
		}
		return spaces[name]
	}
	if namespace != "" {
		in(namespace)
	}
	policies, stores := &v1alpha1.RetentionPolicyList{}, &v1alpha1.DatastoreList{}
	requests, holds := &v1alpha1.ErasureRequestList{}, &v1alpha1.LegalHoldList{}
	refused := 0
	lists := []client.ObjectList{policies, stores, requests, holds}
	for i, kind := range []string{"RetentionPolicies", "Datastores", "ErasureRequests", "LegalHolds"} {
		err := c.List(ctx, lists[i], client.InNamespace(namespace))
		switch {
		case apierrors.IsForbidden(err):
			refused++
			out.Missing = append(out.Missing, fmt.Sprintf("%s: you may not list them here", kind))
			if refused == len(lists) {
				return nil, c.explained(err, "listing %s", kind)
			}
		case err != nil:
			return nil, c.explained(err, "listing %s", kind)
		}
	}
	for i := range policies.Items {
		p := &policies.Items[i]
		in(p.Namespace).Policies = append(in(p.Namespace).Policies, policyOf(p, stores.Items))
	}
	for i := range stores.Items {
		d := &stores.Items[i]
		in(d.Namespace).Datastores = append(in(d.Namespace).Datastores, datastoreOf(d))
	}
	for i := range requests.Items {
		in(requests.Items[i].Namespace).addRequest(&requests.Items[i], all, now)
	}
	for i := range holds.Items {
		in(holds.Items[i].Namespace).addHold(&holds.Items[i], all)
	}
	for _, name := range slices.Sorted(maps.Keys(spaces)) {
		ns := spaces[name]
		slices.SortStableFunc(ns.Requests, func(a, b requestOverview) int {
			return cmp.Or(cmp.Compare(order(a), order(b)), ptr.Deref(a.Due, time.Time{}).Compare(ptr.Deref(b.Due, time.Time{})))
		})
		out.Namespaces = append(out.Namespaces, ns)
	}
	return out, nil
}

// order puts what has ended, and what has no time limit yet, last.
func order(r requestOverview) int {
	switch {
	case r.Health == healthOver:
		return 2
	case r.Due == nil:
		return 1
	}
	return 0
}

func utc(t *metav1.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return ptr.To(t.UTC())
}
