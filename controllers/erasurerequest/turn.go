// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/subject"
)

// learn finds out which identifiers of the person are known by now. What was sealed to an old key is sealed to the current
// one, so that the old one can go; what nobody can open any more has to be found again.
func (r *Reconciler) learn(ctx context.Context, s *scope) error {
	parent, err := erasure.Family(ctx, r.Live, s.request)
	if err != nil {
		return fmt.Errorf("reading the request that this one was made from: %w", err)
	}
	s.parent = parent
	recipient, err := r.Keys.Recipient(ctx)
	if err != nil {
		return fmt.Errorf("finding the key to seal to: %w", err)
	}
	st := s.st()
	for i := range st.Datastores {
		e := &st.Datastores[i]
		had := e.Derived != ""
		if e.Derived, err = r.renew(ctx, recipient, e.Derived); err != nil {
			return err
		}
		if had && e.Derived == "" {
			for j := range st.Datastores { // how many were known no longer tells which
				st.Datastores[j].SearchedWith = 0
			}
			if !erasure.AtWork(e) {
				reopen(e)
			}
		}
	}
	for i := range st.Children {
		if st.Children[i].Derived, err = r.renew(ctx, recipient, st.Children[i].Derived); err != nil {
			return err
		}
	}
	if st.SealedSubject, err = r.renew(ctx, recipient, st.SealedSubject); err != nil {
		return err
	}
	if s.known, err = erasure.Derived(ctx, r.Keys, s.request, parent); err != nil {
		return err
	}
	s.doubtful()
	return nil
}

// renew seals a text to the current key if it is sealed to an old one. What nobody can open any more is dropped.
func (r *Reconciler) renew(ctx context.Context, recipient, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	plaintext, key, err := r.Keys.Open(ctx, text)
	switch {
	case erasure.Lost(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("opening what was sealed: %w", err)
	case key == recipient:
		return text, nil
	}
	return seal.Seal(recipient, plaintext)
}

// situation is what the next turn of a request depends on.
type situation struct {
	entries []retentionv1.ErasureDatastore
	// known is how many further identifiers have been found.
	known int32
	// released says whether a hold that keeps records is in force no longer.
	released func(hold string) bool
	// child says that the request was made from another; leave, that the other says that everything has been searched.
	child, leave bool
	// relatives says that requests were made from this one; ready, that all of them have searched with all that is known;
	// disagree, that one of them found that the identifiers lead to different persons.
	relatives, ready bool
	disagree         string
	now              time.Time
}

// stage is how far all entries together have come.
type stage string

const (
	searching stage = "Searching" // some Datastore has to be searched first
	unread    stage = "Unread"    // no Datastore knows any identifier of the subject
	agreed    stage = "Agreed"    // everything has been searched; it waits for the family
	erasing   stage = "Erasing"
	finished  stage = "Finished"
	blocked   stage = "Blocked" // the identifiers disagree
)

// decide moves every entry that waits for a decision and not for a run, and says how far they have come, and why no
// further.
func decide(in situation) (stage, string) {
	entries := in.entries
	in.lookAgain()
	if why := disagreement(in); why != "" {
		for i := range entries {
			if entries[i].Step == retentionv1.ErasureStepErase {
				entries[i].Step = retentionv1.ErasureStepFound
			}
		}
		return blocked, why
	}
	if unreadable(entries) && !in.child && !in.relatives && !slices.ContainsFunc(entries, func(e retentionv1.ErasureDatastore) bool {
		return e.Step != retentionv1.ErasureStepFound
	}) {
		for i := range entries {
			entries[i].Step = retentionv1.ErasureStepFind
			erasure.Fail(&entries[i], in.now)
		}
		return unread, ""
	}
	at := func(steps ...retentionv1.ErasureStep) bool {
		return slices.ContainsFunc(entries, func(e retentionv1.ErasureDatastore) bool { return slices.Contains(steps, e.Step) })
	}
	switch {
	case at(retentionv1.ErasureStepFind, retentionv1.ErasureStepFinding):
		return searching, ""
	case !in.ready:
		return agreed, "Waiting for the requests in other namespaces to be searched"
	case in.child && !in.leave:
		return agreed, "Waiting for the request that this one was made from"
	}
	for i := range entries {
		if e := &entries[i]; e.Step == retentionv1.ErasureStepFound {
			if e.Reason == string(receipt.SubjectUnreadable) {
				finish(e, retentionv1.ErasureSkipped, reasonNoIdentifier, "No identifier that is known leads to a dataset of the Datastore")
			} else {
				e.Step = retentionv1.ErasureStepErase
			}
		}
	}
	if at(retentionv1.ErasureStepErase, retentionv1.ErasureStepErasing) {
		return erasing, ""
	}
	return finished, ""
}

// lookAgain has every entry searched again that was searched with fewer identifiers than are known by now, or that a hold
// has kept which is released.
func (in *situation) lookAgain() {
	for i := range in.entries {
		e := &in.entries[i]
		gone := e.Reason == erasure.ReasonDatastoreNotFound || e.Reason == reasonNotSelected
		stale := e.SearchedWith < in.known && !gone
		switch e.Step {
		case retentionv1.ErasureStepFound, retentionv1.ErasureStepErase:
			if stale && !disagrees(e.Reason) {
				e.Step, e.Reason, e.Message = retentionv1.ErasureStepFind, "", ""
			}
		case retentionv1.ErasureStepFinished:
			if stale || slices.ContainsFunc(e.Holds, in.released) {
				reopen(e)
			}
		}
	}
}

// disagrees says whether a reason means that nothing may be erased for the request anywhere.
func disagrees(reason string) bool {
	return reason == string(receipt.IdentifiersDisagree) || reason == string(receipt.TooManyIdentifiers)
}

// disagreement says where the identifiers lead to different persons, or "".
func disagreement(in situation) string {
	for i := range in.entries {
		if e := &in.entries[i]; disagrees(e.Reason) {
			return fmt.Sprintf("Datastore %s: %s. Nothing is erased. Deny the request, or delete it, and file one for each person",
				e.Name, e.Message)
		}
	}
	return in.disagree
}

// tooMany says whether more identifiers were found, here or in the family, than one person may have.
func (s *scope) tooMany() bool {
	const reason = string(receipt.TooManyIdentifiers)
	return len(s.known) > subject.MaxIdentifiers ||
		slices.ContainsFunc(s.st().Datastores, func(e retentionv1.ErasureDatastore) bool { return e.Reason == reason }) ||
		slices.ContainsFunc(s.st().Children, func(c retentionv1.ErasureChild) bool { return c.Reason == reason })
}

// unreadable says whether no Datastore at all could make use of the subject, as when its Secret is missing.
func unreadable(entries []retentionv1.ErasureDatastore) bool {
	return len(entries) > 0 && !slices.ContainsFunc(entries, func(e retentionv1.ErasureDatastore) bool {
		return e.Reason != string(receipt.SubjectUnreadable)
	})
}

// turn moves the request on, as far as it can go without a run.
func (r *Reconciler) turn(ctx context.Context, s *scope) error {
	st := s.st()
	released, err := r.released(ctx, s)
	if err != nil {
		return err
	}
	ready, disagree := s.family()
	if len(s.known) > subject.MaxIdentifiers {
		disagree = "Records lead to more identifiers than can belong to one person. Nothing is erased. Deny the request, or delete it, and file one for each person"
	}
	_, _, child := erasure.ParentOf(s.request)
	if child && s.parent == nil {
		s.waitFor(retentionv1.ReasonProgressing, "The request that this one was made from is gone, or does not know it yet")
	}
	s.repeat()
	at, why := decide(situation{
		entries: st.Datastores, known: int32(min(len(s.known), 1<<16)), released: released,
		child: child, leave: s.parent != nil && leads(s.parent),
		relatives: len(st.Children) > 0, ready: ready, disagree: disagree, now: s.now,
	})
	answered := st.AnsweredTime != nil
	switch at {
	case blocked:
		s.problem = &note{retentionv1.ReasonIdentifiersDisagree, why}
		if s.tooMany() {
			s.problem.reason = string(receipt.TooManyIdentifiers)
		}
		s.state(retentionv1.ErasureFinding)
	case searching, unread, agreed:
		if unreadable(st.Datastores) {
			text := "No Datastore knows an identifier of the subject: its Secret is missing, or holds none of the types that the data maps name; it is tried again"
			if len(st.Commitments) > 0 {
				text = "The identifiers are not those that the request was filed with, or the subject's Secret is gone; it is tried again"
			}
			s.waitFor(retentionv1.ReasonSubjectUnreadable, "%s", text)
		}
		if why != "" {
			s.waitFor(retentionv1.ReasonProgressing, "%s", why)
		}
		s.state(retentionv1.ErasureFinding)
	case erasing:
		s.state(retentionv1.ErasureErasing)
	case finished:
		if err := r.conclude(ctx, s); err != nil {
			return err
		}
	}
	if answered && at != finished { // something has been opened again
		s.sweep(recheckReopened)
	}
	return r.giveUp(ctx, s, at)
}

// state says how far the request has come, unless it has been answered before: then it is watched, whatever is done.
func (s *scope) state(state retentionv1.ErasureState) {
	if s.st().AnsweredTime == nil {
		s.st().State = state
	}
	for i := range s.st().Datastores {
		if t := s.st().Datastores[i].RetryTime; t != nil && t.After(s.now) {
			s.again(t.Sub(s.now) + time.Second)
		}
	}
	s.again(time.Minute)
}

// leads says whether the request from which others were made has found everything searched.
func leads(parent *retentionv1.ErasureRequest) bool {
	switch parent.Status.State {
	case retentionv1.ErasureErasing, retentionv1.ErasureRetainedByHold, retentionv1.ErasureWatching, retentionv1.ErasureAnswered:
		return true
	}
	return false
}

// released returns whether a hold of the namespace is in force no longer.
func (r *Reconciler) released(ctx context.Context, s *scope) (func(string) bool, error) {
	list := &retentionv1.LegalHoldList{}
	if err := r.Client.List(ctx, list, client.InNamespace(s.request.Namespace)); err != nil {
		return nil, fmt.Errorf("listing legal holds: %w", err)
	}
	return func(name string) bool {
		return !slices.ContainsFunc(list.Items, func(h retentionv1.LegalHold) bool { return h.Name == name && !h.IsReleased() })
	}, nil
}

// conclude answers, once there is nothing left to do in any Datastore.
func (r *Reconciler) conclude(ctx context.Context, s *scope) error {
	st := s.st()
	switch {
	case len(st.Datastores) == 0 && !slices.ContainsFunc(st.Children, func(c retentionv1.ErasureChild) bool { return c.UID != "" || c.Outcome != "" }):
		s.waitFor(retentionv1.ReasonNoDatastores, "spec.datastoreSelector matches no Datastore that the request reaches")
		s.state(retentionv1.ErasureFinding)
		return nil
	case st.AnsweredTime == nil && !s.childrenAnswered():
		s.waitFor(retentionv1.ReasonProgressing, "Waiting for the requests in other namespaces")
		s.state(retentionv1.ErasureErasing)
		s.aggregate()
		if slices.ContainsFunc(st.Children, func(c retentionv1.ErasureChild) bool { return c.State == retentionv1.ErasureRetainedByHold }) {
			s.state(retentionv1.ErasureRetainedByHold)
		}
		return nil
	}
	erased := ptr.Deref(st.Erased, 0)
	s.aggregate()
	held := func(e retentionv1.ErasureDatastore) bool { return len(e.Holds) > 0 }
	switch {
	case st.AnsweredTime != nil:
		return r.repeated(ctx, s, ptr.Deref(st.Erased, 0)-erased)
	case slices.ContainsFunc(st.Datastores, held):
		st.State = retentionv1.ErasureRetainedByHold
		return nil
	}
	return r.answer(ctx, s)
}
