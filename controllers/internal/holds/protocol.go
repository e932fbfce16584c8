// SPDX-License-Identifier: Apache-2.0

package holds

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// MaxRegistered is how many holds one Datastore can have.
const MaxRegistered = 128

// Register writes a hold into the status of a Datastore, in place of one of that name that is gone. It says whether that
// changed anything.
func Register(st *retentionv1.DatastoreStatus, name, uid string, now metav1.Time) bool {
	if Registered(st, uid) {
		return false
	}
	st.Holds = slices.DeleteFunc(st.Holds, func(r retentionv1.RegisteredHold) bool { return r.Name == name })
	st.Holds = append(st.Holds, retentionv1.RegisteredHold{Name: name, UID: uid, RegisteredTime: now})
	return true
}

// Unregister removes a hold that is released from the status. It says whether that changed anything.
func Unregister(st *retentionv1.DatastoreStatus, uid string) bool {
	n := len(st.Holds)
	st.Holds = slices.DeleteFunc(st.Holds, func(r retentionv1.RegisteredHold) bool { return r.UID == uid })
	return len(st.Holds) != n
}

// Registered says whether a hold stands in the status.
func Registered(st *retentionv1.DatastoreStatus, uid string) bool {
	return slices.ContainsFunc(st.Holds, func(r retentionv1.RegisteredHold) bool { return r.UID == uid })
}

// Enforced says whether no run can any longer touch what a hold keeps: it is registered, so that every later run sees it,
// and the run that holds the Datastore, if any, respects it.
func Enforced(st *retentionv1.DatastoreStatus, uid string) bool {
	return Registered(st, uid) && (st.ActiveRun == nil || slices.Contains(st.ActiveRun.Holds, uid))
}

// Record puts on record that the run which holds the Datastore respects exactly the holds of uids. It says whether that
// changed anything.
func Record(run *retentionv1.ActiveRun, uids []string) bool {
	uids = slices.Compact(slices.Sorted(slices.Values(uids)))
	if slices.Equal(run.Holds, uids) {
		return false
	}
	run.Holds = uids
	return true
}

// Reasons why a Job is stopped. From the first two its owner goes on by itself.
const (
	// ReasonHeld says that a hold came which keeps what the Job may have touched.
	ReasonHeld = "Held"
	// ReasonErasurePending says that erasure requests wait for the Datastore.
	ReasonErasurePending = "ErasurePending"
	// ReasonDatastoreLost says that the Datastore is gone, or does not know of the run. Nobody goes on from there.
	ReasonDatastoreLost = "DatastoreLost"
)

// Reaction is what the owner of a released Job does about holds that its run does not have on record.
type Reaction string

// The reactions to new holds.
const (
	// GoOn: there are none.
	GoOn Reaction = "GoOn"
	// Accept: the plan cannot touch what they keep; they are acknowledged.
	Accept Reaction = "Accept"
	// Halt: the Job is stopped at a batch's end, accounted for, and the Datastore given back.
	Halt Reaction = "Halt"
)

// React decides about the holds that are in force and not on record in run; touched says whether the plan may touch what
// one of them keeps.
func React(run *retentionv1.ActiveRun, inForce []string, touched func(unseen []string) bool) Reaction {
	unseen := slices.DeleteFunc(slices.Clone(inForce), func(uid string) bool { return slices.Contains(run.Holds, uid) })
	switch {
	case len(unseen) == 0:
		return GoOn
	case touched(unseen):
		return Halt
	}
	return Accept
}
