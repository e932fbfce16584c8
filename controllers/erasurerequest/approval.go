// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/controllers/internal/status"
)

// approve sees to it that somebody has approved the request, or that nobody has to. What a person has said stays; an
// approval that was given automatically is taken back if somebody has to approve after all. It returns whether work may go on.
func (r *Reconciler) approve(ctx context.Context, s *scope) (bool, error) {
	st := s.st()
	approved := meta.FindStatusCondition(st.Conditions, retentionv1.ConditionApproved)
	automatic := approved != nil && approved.Reason == retentionv1.ReasonApprovalNotRequired
	if approved == nil || automatic {
		var reader client.Reader = r.Client
		if approved == nil {
			reader = r.Live // it lets work begin
		}
		demand, err := demandsApproval(ctx, reader, s)
		if err != nil {
			return false, err
		}
		if demand != "" {
			status.Remove(s.request, retentionv1.ConditionApproved)
			st.ApprovedTime = nil
			s.state(retentionv1.ErasureAwaitingApproval)
			s.waitFor(retentionv1.ReasonAwaitingApproval, "%s requires that a person approves the request, or denies it, by the condition %s or %s of the status",
				demand, retentionv1.ConditionApproved, retentionv1.ConditionDenied)
			return false, nil
		}
		status.Set(s.request, retentionv1.ConditionApproved, metav1.ConditionTrue, retentionv1.ReasonApprovalNotRequired, "Nobody has to approve the request")
	}
	if !erasure.Approved(s.request) { // a person has written something else than True
		s.state(retentionv1.ErasureAwaitingApproval)
		s.waitFor(retentionv1.ReasonAwaitingApproval, "The condition %s is not True", retentionv1.ConditionApproved)
		return false, nil
	}
	if st.ApprovedTime == nil {
		now := metav1.NewTime(s.now)
		st.ApprovedTime = &now
	}
	if st.State == retentionv1.ErasureReceived || st.State == retentionv1.ErasureAwaitingApproval {
		st.State = retentionv1.ErasureFinding
	}
	return true, nil
}

// demandsApproval says what requires that a person approves, or "".
func demandsApproval(ctx context.Context, reader client.Reader, s *scope) (string, error) {
	if s.request.Spec.GetApproval() == retentionv1.ApprovalRequired {
		return "spec.approval", nil
	}
	namespace := &corev1.Namespace{}
	if err := reader.Get(ctx, client.ObjectKey{Name: s.request.Namespace}, namespace); err != nil {
		return "", fmt.Errorf("reading the namespace: %w", err)
	}
	if namespace.Labels[retentionv1.LabelErasureApproval] == string(retentionv1.ApprovalRequired) {
		return "The namespace", nil
	}
	list := &retentionv1.DatastoreList{}
	if err := reader.List(ctx, list, client.InNamespace(s.request.Namespace)); err != nil {
		return "", fmt.Errorf("listing datastores: %w", err)
	}
	for i := range list.Items {
		if ds := &list.Items[i]; ds.Spec.GetErasureApproval() == retentionv1.ApprovalRequired && erasure.Reaches(s.request, ds) {
			return "Datastore " + ds.Name, nil
		}
	}
	return "", nil
}

// deny ends a request that a person has refused, once no run has it in hand, and the denial is in the ledger.
func (r *Reconciler) deny(ctx context.Context, s *scope) error {
	if err := r.withdrawChildren(ctx, s.request); err != nil {
		return err
	}
	s.dropLost()
	if s.atWork() {
		s.waitFor(retentionv1.ReasonDenied, "The request was denied; waiting for the run that has it in hand")
		s.again(pollInterval)
		return nil
	}
	if s.st().AnsweredTime != nil { // whoever denies what was answered ends the repetitions
		if stated, err := r.conclusion(ctx, s, string(s.st().Outcome), ""); err != nil || !stated {
			return err
		}
		return r.end(ctx, s, retentionv1.ErasureAnswered)
	}
	if stated, err := r.conclusion(ctx, s, outcomeDenied, decision(s.st().Conditions, outcomeDenied).Reason); err != nil || !stated {
		return err
	}
	return r.end(ctx, s, retentionv1.ErasureDenied)
}

// readSubject makes sure, before anything begins, that what was sealed can be opened, and was sealed for use here.
func (r *Reconciler) readSubject(ctx context.Context, s *scope) error {
	sealed := s.request.Spec.Subject.Sealed
	if sealed == "" || s.st().SealingKey != "" {
		return nil
	}
	_, key, err := erasure.Given(ctx, r.Live, r.Keys, s.request)
	_, _, child := erasure.ParentOf(s.request)
	switch {
	case errors.Is(err, sealing.ErrScope) && child:
		s.waitFor(retentionv1.ReasonSubjectUnreadable, "spec.subject.sealed: %s, and the request that this one was made from is gone, or does not know it yet", err)
		s.again(pollInterval)
	case errors.Is(err, sealing.ErrUnreadable):
		s.problem = &note{retentionv1.ReasonSubjectUnreadable, fmt.Sprintf("spec.subject.sealed: %s; file the request again", err)}
	case err != nil:
		return fmt.Errorf("opening the subject: %w", err)
	default:
		s.st().SealingKey = key
	}
	return nil
}
