// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// probed returns a Datastore whose last probe ended at noon and left it ready, or not since the time given.
func probed(notReadySince *time.Time) *retentionv1.Datastore {
	ds := &retentionv1.Datastore{ObjectMeta: metav1.ObjectMeta{Name: "accounts", UID: "u1", Generation: 1}}
	ds.Status.LastProbeTime = &metav1.Time{Time: noon}
	ds.Status.ProbeInputs = "inputs"
	ready := metav1.Condition{Type: "Ready", Status: "True", Reason: "Ready", LastTransitionTime: metav1.NewTime(noon)}
	if notReadySince != nil {
		ready.Status, ready.Reason, ready.LastTransitionTime = "False", "Unreachable", metav1.NewTime(*notReadySince)
	}
	ds.Status.Conditions = []metav1.Condition{ready, {Type: "Reachable", Status: "True", Reason: "Reachable"}}
	return ds
}

func TestDecideProbe(t *testing.T) {
	ago := func(d time.Duration) *time.Time { return new(noon.Add(-d)) }
	for name, tc := range map[string]struct {
		ds     *retentionv1.Datastore
		change func(*retentionv1.Datastore)
		inputs string
		now    time.Time
		want   trigger
		next   time.Duration // after noon, when nothing is due
	}{
		"never probed":                          {ds: &retentionv1.Datastore{}, now: noon, want: triggerFirst},
		"ready, an hour later":                  {ds: probed(nil), now: noon.Add(time.Hour), next: 24 * time.Hour},
		"ready, a day later":                    {ds: probed(nil), now: noon.Add(24 * time.Hour), want: triggerInterval},
		"inputs changed":                        {ds: probed(nil), now: noon, inputs: "others", want: triggerInputs},
		"asked for":                             {ds: probed(nil), now: noon, change: annotate(retentionv1.AnnotationRequestedAt, "now"), want: triggerRequest},
		"first trouble: a minute":               {ds: probed(ago(0)), now: noon, next: time.Minute},
		"a minute later":                        {ds: probed(ago(0)), now: noon.Add(time.Minute), want: triggerRetry},
		"trouble for two minutes: two more":     {ds: probed(ago(2 * time.Minute)), now: noon, next: 2 * time.Minute},
		"trouble for 40 minutes: 40 more":       {ds: probed(ago(40 * time.Minute)), now: noon, next: 40 * time.Minute},
		"trouble for a day: an hour":            {ds: probed(ago(24 * time.Hour)), now: noon, next: time.Hour},
		"a clock that was ahead is not waited":  {ds: probed(nil), now: noon.Add(-time.Hour), want: triggerFirst},
		"a clock that was a little ahead is":    {ds: probed(nil), now: noon.Add(-time.Second), next: 24 * time.Hour},
		"conditions wiped by somebody":          {ds: probed(nil), change: func(ds *retentionv1.Datastore) { ds.Status.Conditions = nil }, now: noon, want: triggerFirst},
		"another server: looked at again, too":  {ds: probed(ago(0)), change: otherServer, now: noon, next: time.Minute},
		"request that was handled":              {ds: probed(nil), change: handled("yesterday"), now: noon, next: 24 * time.Hour},
		"request longer than the status can be": {ds: probed(nil), change: handled(string(make([]byte, 1000))), now: noon, next: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.change != nil {
				tc.change(tc.ds)
			}
			inputs := "inputs"
			if tc.inputs != "" {
				inputs = tc.inputs
			}
			why, next := decideProbe(tc.ds, inputs, tc.now)
			if why != tc.want {
				t.Errorf("got %q, want %q", why, tc.want)
			}
			if tc.want == notDue && !next.Equal(noon.Add(tc.next)) {
				t.Errorf("next is %s after noon, want %s", next.Sub(noon), tc.next)
			}
		})
	}
}

func annotate(key, value string) func(*retentionv1.Datastore) {
	return func(ds *retentionv1.Datastore) { ds.Annotations = map[string]string{key: value} }
}

func otherServer(ds *retentionv1.Datastore) {
	ds.Status.Identity, ds.Status.ObservedIdentity = "a", "b"
}

func handled(value string) func(*retentionv1.Datastore) {
	return func(ds *retentionv1.Datastore) {
		annotate(retentionv1.AnnotationRequestedAt, value)(ds)
		ds.Status.LastHandledRequest = request(ds)
	}
}

// TestProbeNameTellsProbesApart: whatever makes another probe due makes another name, and nothing else does.
func TestProbeNameTellsProbesApart(t *testing.T) {
	names := map[string]string{}
	add := func(what, inputs string, change func(*retentionv1.Datastore)) {
		ds := probed(nil)
		change(ds)
		name := probeName(ds, inputs)
		if other, taken := names[name]; taken {
			t.Errorf("%s and %s have the same name %s", what, other, name)
		}
		if len(name) > 63 {
			t.Errorf("%s: the name %s has %d bytes", what, name, len(name))
		}
		names[name] = what
	}
	add("the probe", "inputs", func(*retentionv1.Datastore) {})
	add("other inputs", "others", func(*retentionv1.Datastore) {})
	add("a request", "inputs", annotate(retentionv1.AnnotationRequestedAt, "1"))
	add("another request", "inputs", annotate(retentionv1.AnnotationRequestedAt, "2"))
	add("the next day", "inputs", func(ds *retentionv1.Datastore) {
		ds.Status.LastProbeTime = &metav1.Time{Time: noon.Add(24 * time.Hour)}
	})
	add("the first", "inputs", func(ds *retentionv1.Datastore) { ds.Status.LastProbeTime = nil })
	add("another Datastore of the name", "inputs", func(ds *retentionv1.Datastore) { ds.UID = types.UID("u2") })

	running := probed(nil)
	running.Status.ActiveProbe = "whatever"
	running.Annotations = map[string]string{"somebody": "else"}
	if name := probeName(running, "inputs"); names[name] != "the probe" {
		t.Errorf("the name %s depends on more than what makes a probe due", name)
	}
}
