// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
)

// Outcomes of a Conclusion besides those of a status.
const (
	// outcomeDenied says that a person has refused the request, outcomeWithdrawn that it was deleted before it was answered.
	outcomeDenied    = "Denied"
	outcomeWithdrawn = "Withdrawn"
)

// answer is what an answer says, but for the times: as long as it stays the same, there is nothing new to state.
type answer struct {
	Outcome         string                         `json:"outcome"`
	Reason          string                         `json:"reason,omitempty"`
	Found           *int64                         `json:"found,omitempty"`
	Erased          *int64                         `json:"erased,omitempty"`
	Counting        retentionv1.Counting           `json:"counting,omitempty"`
	IdentifierTypes []string                       `json:"identifierTypes,omitempty"`
	Commitments     []string                       `json:"commitments,omitempty"`
	Recipients      []retentionv1.ErasureRecipient `json:"recipients,omitempty"`
	Datastores      []answerPart                   `json:"datastores,omitempty"`
	Children        []answerPart                   `json:"children,omitempty"`
}

// answerPart is what it says of a Datastore, or of another namespace.
type answerPart struct {
	Name     string                       `json:"name"`
	UID      string                       `json:"uid,omitempty"`
	Identity string                       `json:"identity,omitempty"`
	Outcome  retentionv1.ErasureOutcome   `json:"outcome,omitempty"`
	Reason   string                       `json:"reason,omitempty"`
	Verified *bool                        `json:"verified,omitempty"`
	Found    *int64                       `json:"found,omitempty"`
	Erased   *int64                       `json:"erased,omitempty"`
	Holds    []string                     `json:"holds,omitempty"`
	Datasets []retentionv1.ErasureDataset `json:"datasets,omitempty"`
}

// answerKey makes the Conclusion of an answer the only one: it has the request's UID and a digest of what the answer says.
func answerKey(r *retentionv1.ErasureRequest, outcome, reason string) (string, error) {
	st := &r.Status
	a := answer{
		Outcome: outcome, Reason: reason, Found: st.Found, Erased: st.Erased, Counting: st.Counting,
		IdentifierTypes: st.IdentifierTypes, Commitments: st.Commitments, Recipients: st.Recipients,
	}
	for i := range st.Datastores {
		e := &st.Datastores[i]
		a.Datastores = append(a.Datastores, answerPart{
			Name: e.Name, UID: e.UID, Identity: e.Identity, Outcome: e.Outcome, Reason: e.Reason, Verified: e.Verified,
			Holds: e.Holds, Datasets: e.Datasets,
		})
	}
	for i := range st.Children {
		c := &st.Children[i]
		a.Children = append(a.Children, answerPart{
			Name: c.Namespace + "/" + c.Name, UID: c.UID, Outcome: c.Outcome, Reason: c.Reason, Verified: c.Verified,
			Found: c.Found, Erased: c.Erased,
		})
	}
	b, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encoding the answer: %w", err)
	}
	return string(r.UID) + "/" + strings.TrimPrefix(evidence.DigestOf(b), "sha256:"), nil
}

// conclusion has the ledger take the answer as the status has it, unless it has it already, and refers to it. It returns
// false, and says what the request waits for, while the ledger cannot take it: nothing may rest on the answer then. The time
// of the answer, in s.answered, is that of the first statement, also if its maker died before it could write it here.
//
// An answer may become what it was before, as when a repetition has failed and the next one has not. It is then stated once
// more, with its number in the key: what an older entry says was superseded by what came after.
func (r *Reconciler) conclusion(ctx context.Context, s *scope, outcome, reason string) (bool, error) {
	key, err := answerKey(s.request, outcome, reason)
	if err != nil {
		return false, err
	}
	logged, err := r.stated(ctx, s, key, outcome)
	if errors.Is(err, attest.ErrUnavailable) {
		log.FromContext(ctx).Error(err, "The answer waits for the evidence ledger")
		s.waiting = &note{retentionv1.ReasonLedgerUnavailable, erasure.MessageLedgerUnavailable}
		s.again(pollInterval)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	st := s.st()
	st.Evidence = facts.Reference(logged)
	if s.answered = st.AnsweredTime; s.answered == nil {
		if of := logged.Statement.Predicate.Request; of != nil && of.AnsweredTime != nil {
			s.answered = ptr.To(metav1.NewTime(*of.AnsweredTime))
		}
	}
	return true, nil
}

// stated returns the statement of the answer with this key that supersedes all others, and makes it if there is none.
func (r *Reconciler) stated(ctx context.Context, s *scope, key, outcome string) (*evidence.Logged, error) {
	latest := int64(-1)
	if ref := s.st().Evidence; ref != nil {
		latest = ptr.Deref(ref.Index, -1)
	}
	for n, first := 2, key; ; n++ {
		logged, err := r.Evidence.Find(ctx, evidence.Conclusion, key)
		switch {
		case err != nil:
			return nil, err
		case logged == nil:
			if err := r.upToDate(ctx, s.request); err != nil {
				return nil, err
			}
			p, subjects, err := s.statement(key, outcome)
			if err != nil {
				return nil, err
			}
			return r.append(ctx, s, p, subjects)
		case logged.Index >= latest, s.anew(logged):
			return logged, nil
		}
		key = fmt.Sprintf("%s/%d", first, n)
	}
}

// anew says whether a statement was made in the place of one that was lost, as the one that the status refers to: indices begin
// anew with a ledger.
func (s *scope) anew(logged *evidence.Logged) bool {
	lost := slices.ContainsFunc(logged.Statement.Predicate.NotCovered, func(g evidence.Gap) bool { return g.Reason == reasonStatementsLost })
	ref := s.st().Evidence
	return lost && ref != nil && logged.Time.Truncate(time.Second).After(ref.Time.Time)
}

// append has the ledger take a Conclusion. What it refers to may be in a ledger that was lost, and refers there for good: the
// one that is used now refuses it as often as it is asked, and it is stated without, as what nothing bears out any more.
func (r *Reconciler) append(ctx context.Context, s *scope, p evidence.Predicate, subjects []evidence.Subject) (*evidence.Logged, error) {
	state := func(p evidence.Predicate) (*evidence.Logged, error) {
		p, unsound := erasure.Sound(p, subjects)
		if unsound != nil {
			log.FromContext(ctx).Error(unsound, "A statement leaves its details out")
		}
		made, err := r.Evidence.Append(ctx, p, subjects...)
		return &made, err
	}
	made, err := state(p)
	if !errors.Is(err, attest.ErrRefused) || p.Closes == nil && len(p.Results) == 0 {
		return made, err
	}
	log.FromContext(ctx).Error(err, "An answer is stated without the statements that it rests on")
	forlorn := p
	forlorn.Results, forlorn.Level = nil, atMostUnproven(p.Level)
	forlorn.NotCovered = append(slices.Clone(p.NotCovered), evidence.Gap{Kind: evidence.GapNamespace, Name: s.request.Namespace, Reason: reasonStatementsLost,
		Message: "what was stated before of this request is not in the ledger that is used now"})
	forlorn.Datastores = slices.Clone(p.Datastores)
	for i := range forlorn.Datastores {
		forlorn.Datastores[i].Level = atMostUnproven(forlorn.Datastores[i].Level)
	}
	if p.Closes != nil && len(p.Results) > 0 { // the former answer may be one that was stated anew
		if made, err = state(forlorn); !errors.Is(err, attest.ErrRefused) {
			return made, err
		}
	}
	forlorn.Closes = nil
	return state(forlorn)
}

// upToDate fails with a conflict if the request has changed since it was read: nothing is to be stated that cannot be written
// into its status.
func (r *Reconciler) upToDate(ctx context.Context, request *retentionv1.ErasureRequest) error {
	live := &retentionv1.ErasureRequest{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(request), live); err != nil {
		return fmt.Errorf("reading the request past the cache: %w", err)
	}
	if live.ResourceVersion != request.ResourceVersion {
		return apierrors.NewConflict(schema.GroupResource{Group: retentionv1.Group, Resource: "erasurerequests"}, request.Name, errors.New("it has changed since it was read"))
	}
	return nil
}

// daysTaken is from receipt to answer, in whole days begun, reckoned in a zone.
func daysTaken(received, answered time.Time, zone *time.Location) *int32 {
	received = received.In(zone)
	days := int32(max(answered.Sub(received).Hours()/24-2, 0)) // a day more or less, by the clock's changes
	for received.AddDate(0, 0, int(days)).Before(answered) {
		days++
	}
	return &days
}
