// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/seal"
)

func TestDecide(t *testing.T) {
	const (
		find, finding, found = retentionv1.ErasureStepFind, retentionv1.ErasureStepFinding, retentionv1.ErasureStepFound
		erase, atWork, done  = retentionv1.ErasureStepErase, retentionv1.ErasureStepErasing, retentionv1.ErasureStepFinished
	)
	type e = retentionv1.ErasureDatastore
	for name, tc := range map[string]struct {
		entries []e
		change  func(*situation)
		want    stage
		steps   []retentionv1.ErasureStep
	}{
		"nothing is erased before everything is searched": {
			entries: []e{{Step: found}, {Step: finding}}, want: searching, steps: []retentionv1.ErasureStep{found, finding}},
		"everything is searched": {
			entries: []e{{Step: found}, {Step: found}}, want: erasing, steps: []retentionv1.ErasureStep{erase, erase}},
		"searched with fewer identifiers than are known": {
			entries: []e{{Step: found, SearchedWith: 1}, {Step: found}}, change: func(s *situation) { s.known = 1 },
			want: searching, steps: []retentionv1.ErasureStep{found, find}},
		"an erasure led to another identifier": {
			entries: []e{{Step: atWork, SearchedWith: 0}, {Step: done}, {Step: erase}}, change: func(s *situation) { s.known = 1 },
			want: searching, steps: []retentionv1.ErasureStep{atWork, find, find}},
		"two persons": {
			entries: []e{{Step: found, Reason: "IdentifiersDisagree"}, {Step: erase}, {Step: done}}, want: blocked,
			steps: []retentionv1.ErasureStep{found, found, done}},
		"two persons, found while others are erased": {
			entries: []e{{Step: found, Reason: "IdentifiersDisagree"}, {Step: atWork}}, want: blocked, steps: []retentionv1.ErasureStep{found, atWork}},
		"two persons in another namespace": {
			entries: []e{{Step: found}}, change: func(s *situation) { s.disagree = "there" }, want: blocked, steps: []retentionv1.ErasureStep{found}},
		"nobody can read the subject": {
			entries: []e{{Step: found, Reason: "SubjectUnreadable"}, {Step: found, Reason: "SubjectUnreadable"}}, want: unread,
			steps: []retentionv1.ErasureStep{find, find}},
		"one Datastore knows no identifier": {
			entries: []e{{Step: found, Reason: "SubjectUnreadable"}, {Step: found}}, want: erasing, steps: []retentionv1.ErasureStep{done, erase}},
		"another namespace has to be searched": {
			entries: []e{{Step: found}}, change: func(s *situation) { s.ready, s.relatives = false, true }, want: agreed, steps: []retentionv1.ErasureStep{found}},
		"a child waits for leave": {
			entries: []e{{Step: found}}, change: func(s *situation) { s.child = true }, want: agreed, steps: []retentionv1.ErasureStep{found}},
		"a child has leave": {
			entries: []e{{Step: found}}, change: func(s *situation) { s.child, s.leave = true, true }, want: erasing, steps: []retentionv1.ErasureStep{erase}},
		"too many identifiers": {
			entries: []e{{Step: found, Reason: "TooManyIdentifiers", SearchedWith: 1}, {Step: erase}}, change: func(s *situation) { s.known = 300 },
			want: blocked, steps: []retentionv1.ErasureStep{found, find}},
		"a hold is in force": {
			entries: []e{{Step: done, Outcome: retentionv1.ErasureHeld, Holds: []string{"held"}}}, want: finished, steps: []retentionv1.ErasureStep{done}},
		"a hold is released": {
			entries: []e{{Step: done, Outcome: retentionv1.ErasureFailed, Holds: []string{"held", "released"}}, {Step: done}}, want: searching,
			steps: []retentionv1.ErasureStep{find, done}},
		"a Datastore is gone": {
			entries: []e{{Step: done, Reason: "DatastoreNotFound"}, {Step: done, SearchedWith: 2}}, change: func(s *situation) { s.known = 2 },
			want: finished, steps: []retentionv1.ErasureStep{done, done}},
	} {
		t.Run(name, func(t *testing.T) {
			in := situation{entries: tc.entries, ready: true, now: time.Now(), released: func(hold string) bool { return hold == "released" }}
			if tc.change != nil {
				tc.change(&in)
			}
			got, why := decide(in)
			if got != tc.want || (got == blocked) != (why != "" && got != agreed) {
				t.Errorf("got %s (%s), want %s", got, why, tc.want)
			}
			for i, want := range tc.steps {
				if got := tc.entries[i].Step; got != want {
					t.Errorf("entry %d is at %s, want %s", i, got, want)
				}
			}
		})
	}
}

// TestKeysMayChange rotates the key while a request is watched, and then destroys the old one.
func TestKeysMayChange(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.RecheckFor = "P3D" })
	w.settle()
	was := entry(w.request("r1"), "shop").Derived
	key, err := age.GenerateX25519Identity()
	w.must(err)
	w.keys.Ring = append(seal.Ring{key}, w.keys.Ring...)
	w.settle()
	is := entry(w.request("r1"), "shop").Derived
	if _, public, err := w.keys.Ring.Open(is); err != nil || public != w.keys.Current() || is == was {
		t.Errorf("sealed to %s: %v", public, err)
	}
	w.keys.Ring = w.keys.Ring[:1]
	w.fill()
	w.tick(25 * time.Hour)
	w.settle()
	if r := w.request("r1"); w.left(ada, adaID) != 0 || r.Status.Outcome != retentionv1.ErasureDeleted {
		t.Errorf("status %+v, records %+v", r.Status, w.records)
	}

	key, err = age.GenerateX25519Identity() // all keys are lost: what was found is found again
	w.must(err)
	w.keys.Ring = seal.Ring{key}
	w.settle()
	w.fill()
	w.tick(25 * time.Hour)
	w.settle()
	if r := w.request("r1"); w.left(ada, adaID) != 0 || strings.Contains(w.everything(), adaID) {
		t.Errorf("status %+v, records %+v", r.Status, w.records)
	}
}
