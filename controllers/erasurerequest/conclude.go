// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
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
			p, subjects, err := s.statement(key, outcome)
			if err != nil {
				return nil, err
			}
			p, unsound := erasure.Sound(p, subjects)
			if unsound != nil {
				log.FromContext(ctx).Error(unsound, "A statement leaves its details out")
			}
			made, err := r.Evidence.Append(ctx, p, subjects...)
			return &made, err
		case logged.Index >= latest:
			return logged, nil
		}
		key = fmt.Sprintf("%s/%d", first, n)
	}
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
