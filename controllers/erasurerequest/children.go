// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// Reasons of a child.
const (
	reasonNameCollision  = "NameCollision"
	reasonRequestDeleted = "RequestDeleted"
	// reasonTypesAdded says that the Datastores there know types of identifiers that they did not when it was made, and the
	// person has some; reasonIdentifiersAdded, that further ones were found after it had ended.
	reasonTypesAdded       = "TypesAdded"
	reasonIdentifiersAdded = "IdentifiersAdded"
)

// reached is a namespace that spec.namespaceSelector matches.
type reached struct {
	namespace string
	allowed   []*retentionv1.Datastore
	// refused is how many Datastores that spec.datastoreSelector means do not allow it.
	refused int
}

// reachOut sees to it that each other namespace that the request reaches has a request of its own, and takes down how far
// they have come.
func (r *Reconciler) reachOut(ctx context.Context, s *scope) error {
	if s.request.Spec.NamespaceSelector == nil {
		return nil
	}
	if _, _, child := erasure.ParentOf(s.request); child {
		return nil
	}
	namespaces, err := r.namespaces(ctx, s)
	if err != nil {
		return err
	}
	if err := r.listChildren(ctx, s); err != nil {
		return err
	}
	s.typesOf, s.foreign = map[string][]string{}, map[client.ObjectKey]*retentionv1.Datastore{}
	for _, n := range namespaces {
		if len(n.allowed) > 0 {
			s.typesOf[n.namespace] = erasure.Types(n.allowed...)
		}
		for _, ds := range n.allowed {
			s.foreign[client.ObjectKeyFromObject(ds)] = ds
		}
	}
	sealed, err := r.sealedSubject(ctx, s)
	if err != nil {
		return err
	}
	for _, n := range namespaces {
		if err := r.reach(ctx, s, n, sealed); err != nil {
			return fmt.Errorf("namespace %s: %w", n.namespace, err)
		}
	}
	if len(s.st().Children) > maxTargets {
		return invalidSpec{fmt.Errorf("the request reaches %d other namespaces, and one request may reach %d: narrow spec.namespaceSelector and file another",
			len(s.st().Children), maxTargets)}
	}
	for i := range s.st().Children {
		if err := r.mirror(ctx, s, &s.st().Children[i]); err != nil {
			return err
		}
	}
	return nil
}

// namespaces lists the other namespaces with Datastores that the request means.
func (r *Reconciler) namespaces(ctx context.Context, s *scope) ([]reached, error) {
	selector, err := metav1.LabelSelectorAsSelector(s.request.Spec.NamespaceSelector.AsLabelSelector())
	if err != nil {
		return nil, invalidSpec{fmt.Errorf("spec.namespaceSelector: %w", err)}
	}
	list := &corev1.NamespaceList{}
	if err := r.Client.List(ctx, list, client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	var out []reached
	for i := range list.Items {
		namespace := &list.Items[i]
		if namespace.Name == s.request.Namespace || !namespace.DeletionTimestamp.IsZero() || selector.Empty() {
			continue
		}
		datastores := &retentionv1.DatastoreList{}
		if err := r.Client.List(ctx, datastores, client.InNamespace(namespace.Name)); err != nil {
			return nil, fmt.Errorf("listing datastores: %w", err)
		}
		n := reached{namespace: namespace.Name}
		for j := range datastores.Items {
			ds := &datastores.Items[j]
			switch {
			case !ds.DeletionTimestamp.IsZero() || !erasure.Matches(s.request.Spec.DatastoreSelector, ds.Labels):
			case slices.Contains(ds.Spec.AllowErasureFrom, s.request.Namespace):
				n.allowed = append(n.allowed, ds)
			default:
				n.refused++
			}
		}
		if len(n.allowed)+n.refused > 0 {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b reached) int { return cmp.Compare(a.namespace, b.namespace) })
	return out, nil
}

// reach sees to it that one namespace has a request. A Datastore there that the request names by its labels and that does
// not allow it counts as skipped; where every Datastore was meant, those that allow it were.
func (r *Reconciler) reach(ctx context.Context, s *scope, n reached, sealed string) error {
	st := s.st()
	i := slices.IndexFunc(st.Children, func(c retentionv1.ErasureChild) bool { return c.Namespace == n.namespace })
	if i < 0 {
		if len(n.allowed) == 0 && st.AnsweredTime != nil {
			return nil
		}
		st.Children = append(st.Children, retentionv1.ErasureChild{Namespace: n.namespace, Name: childName(s.request)})
		i = len(st.Children) - 1
	}
	c := &st.Children[i]
	if c.Reason == retentionv1.ReasonNotAllowed {
		c.Reason, c.Outcome = "", ""
	}
	if n.refused > 0 && (c.Reason == "" || c.UID == "") {
		c.Reason = retentionv1.ReasonNotAllowed
		if s.request.Spec.DatastoreSelector != nil {
			c.Outcome = erasure.Worse(c.Outcome, retentionv1.ErasureSkipped)
		}
	}
	if c.UID != "" || len(n.allowed) == 0 {
		return nil
	}
	if sealed == "" {
		s.unmade = true
		return nil
	}
	return r.makeChild(ctx, s, c, sealed)
}

// childName is the name of the request that r makes in other namespaces. The letters in the middle keep digits at the end
// of the one part and at the beginning of the other from looking like one number.
func childName(r *retentionv1.ErasureRequest) string {
	return purgejob.LabelValue(r.Namespace + "-for-" + r.Name)
}

// anotherName is a name that only this very request gives. It has letters only where the UID has digits, too.
func anotherName(r *retentionv1.ErasureRequest) string {
	letters := strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return c - '0' + 'g'
		}
		return c
	}, string(r.UID)[:8])
	return purgejob.LabelValue(r.Namespace + "-for-" + r.Name + "-" + letters)
}

// makeChild makes the request in another namespace, or finds it made.
func (r *Reconciler) makeChild(ctx context.Context, s *scope, c *retentionv1.ErasureChild, sealed string) error {
	spec := &s.request.Spec
	received := s.request.GetReceivedTime()
	child := &retentionv1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace, Name: c.Name,
			Labels: map[string]string{
				erasure.LabelParentNamespace: s.request.Namespace, erasure.LabelParentName: s.request.Name,
			},
			Annotations: map[string]string{erasure.AnnotationParentUID: string(s.request.UID)},
		},
		Spec: retentionv1.ErasureRequestSpec{
			Subject: retentionv1.Subject{Sealed: sealed}, DatastoreSelector: spec.DatastoreSelector,
			Regulation: spec.Regulation, Ground: spec.Ground, ReceivedTime: &received, TimeZone: spec.TimeZone, Holidays: spec.Holidays,
			RecheckFor: spec.RecheckFor, RecheckEvery: spec.RecheckEvery, Reference: spec.Reference,
		},
	}
	if by := s.request.Annotations[retentionv1.AnnotationRequestedBy]; by != "" {
		child.Annotations[retentionv1.AnnotationRequestedBy] = by // who files it here does not approve it there
	}
	wanted := child.DeepCopy()
	err := r.Client.Create(ctx, child)
	if apierrors.IsAlreadyExists(err) {
		if err = r.Live.Get(ctx, client.ObjectKeyFromObject(child), child); err == nil && !adoptable(child, wanted) {
			if c.Name == childName(s.request) { // an answer to an earlier request of this name stays there
				c.Name = anotherName(s.request)
				s.unmade = true
				s.again(immediately)
				return nil
			}
			c.Reason, c.Outcome = reasonNameCollision, retentionv1.ErasureFailed
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	c.UID = string(child.UID)
	s.children = append(s.children, *child)
	return nil
}

// adoptable says whether a request that exists is the one that is wanted.
func adoptable(found, wanted *retentionv1.ErasureRequest) bool {
	key, uid, ok := erasure.ParentOf(found)
	wantedKey, wantedUID, _ := erasure.ParentOf(wanted)
	spec := found.Spec.DeepCopy()
	spec.ReceivedTime = wanted.Spec.ReceivedTime // the API server cuts it to seconds
	return ok && key == wantedKey && uid == wantedUID && equality.Semantic.DeepEqual(*spec, wanted.Spec)
}

// listChildren gathers the requests that were made from this one.
func (r *Reconciler) listChildren(ctx context.Context, s *scope) error {
	list := &retentionv1.ErasureRequestList{}
	if err := r.Client.List(ctx, list, client.MatchingLabelsSelector{Selector: labels.SelectorFromSet(labels.Set{
		erasure.LabelParentNamespace: s.request.Namespace, erasure.LabelParentName: s.request.Name,
	})}); err != nil {
		return fmt.Errorf("listing the requests in other namespaces: %w", err)
	}
	for i := range list.Items {
		if _, uid, ok := erasure.ParentOf(&list.Items[i]); ok && uid == s.request.UID {
			s.children = append(s.children, list.Items[i])
		}
	}
	return nil
}

func (s *scope) child(c *retentionv1.ErasureChild) *retentionv1.ErasureRequest {
	for i := range s.children {
		if o := &s.children[i]; c.UID != "" && o.Namespace == c.Namespace && string(o.UID) == c.UID {
			return o
		}
	}
	return nil
}

// mirror takes down how far a child has come.
func (r *Reconciler) mirror(ctx context.Context, s *scope, c *retentionv1.ErasureChild) error {
	if c.UID == "" {
		return nil
	}
	child := s.child(c)
	if child == nil {
		live := &retentionv1.ErasureRequest{}
		err := r.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, live)
		switch {
		case err == nil && string(live.UID) == c.UID:
			s.children = append(s.children, *live)
			child = live
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("reading the request in namespace %s: %w", c.Namespace, err)
		case c.State != retentionv1.ErasureAnswered && c.State != retentionv1.ErasureDenied:
			c.Reason, c.Outcome = reasonRequestDeleted, retentionv1.ErasureFailed
			c.State = retentionv1.ErasureAnswered
		}
	}
	if child == nil {
		return nil
	}
	st := &child.Status
	lacked := c.Reason == reasonTypesAdded
	skipped := c.Reason == retentionv1.ReasonNotAllowed && s.request.Spec.DatastoreSelector != nil
	c.State, c.Outcome, c.Found, c.Erased, c.Evidence = st.State, st.Outcome, st.Found, st.Erased, st.Evidence
	if c.Reason != retentionv1.ReasonNotAllowed {
		c.Reason = ""
	}
	if stalled := meta.FindStatusCondition(st.Conditions, retentionv1.ConditionStalled); stalled != nil {
		c.Reason = stalled.Reason
	}
	switch {
	case st.State == retentionv1.ErasureDenied:
		c.Outcome, c.Reason = retentionv1.ErasureSkipped, retentionv1.ReasonDenied
	case stranded(child):
		c.Outcome, c.Reason = retentionv1.ErasureSkipped, retentionv1.ReasonNoDatastores
	case skipped && c.Outcome != "":
		c.Outcome = erasure.Worse(c.Outcome, retentionv1.ErasureSkipped)
	}
	c.Verified = nil
	if verified := meta.FindStatusCondition(st.Conditions, retentionv1.ConditionVerified); verified != nil {
		c.Verified = ptr.To(verified.Status == metav1.ConditionTrue && !skipped)
	}
	if lacks, err := r.lacks(ctx, s, child, lacked); err != nil {
		return err
	} else if lacks {
		doubt(c, reasonTypesAdded)
	}
	return r.carryUp(ctx, c, child)
}

// lacks says whether the child was made without identifiers of the person that the Datastores there know by now. They
// cannot be given to it any more: what it says is not about all that is known. It stays so, as lacked says, when nobody can
// open the child's text any more.
func (r *Reconciler) lacks(ctx context.Context, s *scope, child *retentionv1.ErasureRequest, lacked bool) (bool, error) {
	if s.st().SealedSubject == "" || s.st().SealedSubject == child.Spec.Subject.Sealed {
		return false, nil
	}
	all, err := erasure.Open(ctx, r.Keys, s.st().SealedSubject)
	var given []subject.Identifier
	if err == nil {
		given, err = erasure.Open(ctx, r.Keys, child.Spec.Subject.Sealed)
	}
	if erasure.Lost(err) {
		return lacked, nil
	}
	return err == nil && slices.ContainsFunc(all, func(id subject.Identifier) bool {
		return slices.Contains(s.typesOf[child.Namespace], id.Type) && !slices.Contains(given, id)
	}), err
}

// doubt takes down that what a child says is not about all that is known: more was left undone than its outcome says.
func doubt(c *retentionv1.ErasureChild, reason string) {
	c.Reason, c.Verified = cmp.Or(c.Reason, reason), ptr.To(false)
	if c.Outcome != "" {
		c.Outcome = erasure.Worse(c.Outcome, retentionv1.ErasureSkipped)
	}
}

// doubtful doubts the children that have ended before more identifiers were found than they were searched with.
func (s *scope) doubtful() {
	for i := range s.st().Children {
		c := &s.st().Children[i]
		if child := s.child(c); child != nil && child.Status.State == retentionv1.ErasureAnswered && !s.searched(child) {
			doubt(c, reasonIdentifiersAdded)
		}
	}
}

// searched says whether a child was searched with all that is known.
func (s *scope) searched(child *retentionv1.ErasureRequest) bool {
	return !slices.ContainsFunc(child.Status.Datastores, func(e retentionv1.ErasureDatastore) bool {
		gone := e.Reason == erasure.ReasonDatastoreNotFound || e.Reason == reasonNotSelected
		waits := e.Step == retentionv1.ErasureStepFind || e.Step == retentionv1.ErasureStepFinding
		return waits || !gone && int(e.SearchedWith) < len(s.known)
	})
}

// carryUp takes over the identifiers that were found in a child. They stay when the child has ended and dropped them.
func (r *Reconciler) carryUp(ctx context.Context, c *retentionv1.ErasureChild, child *retentionv1.ErasureRequest) error {
	have, err := erasure.Open(ctx, r.Keys, c.Derived)
	if err != nil && !erasure.Lost(err) {
		return err
	}
	found, err := erasure.Derived(ctx, r.Keys, child, nil)
	if err != nil {
		return err
	}
	all := subject.Union(have, found)
	if slices.Equal(all, have) && c.Derived != "" || len(all) == 0 {
		return nil
	}
	sealed, err := erasure.Seal(ctx, r.Keys, subject.Operator, all)
	if len(all) > subject.MaxIdentifiers || errors.Is(err, erasure.ErrTooLong) {
		c.Reason = string(receipt.TooManyIdentifiers)
		return nil
	}
	if err == nil {
		c.Derived = sealed
	}
	return err
}

// stranded says whether there is nothing any more that a child reaches.
func stranded(child *retentionv1.ErasureRequest) bool {
	ready := meta.FindStatusCondition(child.Status.Conditions, retentionv1.ConditionReady)
	return ready != nil && ready.Reason == retentionv1.ReasonNoDatastores
}

// family says whether every child has been searched with all that is known, and whether one of them found that the
// identifiers lead to different persons.
func (s *scope) family() (ready bool, disagree string) {
	ready = !s.unmade
	for i := range s.st().Children {
		c := &s.st().Children[i]
		if disagrees(c.Reason) {
			disagree = fmt.Sprintf("Request %s in namespace %s: the identifiers lead to different persons. Nothing is erased", c.Name, c.Namespace)
		}
		child := s.child(c)
		if child == nil || erasure.Ended(child) || stranded(child) {
			continue
		}
		ready = ready && len(child.Status.Datastores) > 0 && s.searched(child)
	}
	return ready, disagree
}

// childrenAnswered says whether every child has been answered, if only for the first time.
func (s *scope) childrenAnswered() bool {
	return !s.unmade && !slices.ContainsFunc(s.st().Children, func(c retentionv1.ErasureChild) bool {
		child := s.child(&c)
		return child != nil && child.Status.AnsweredTime == nil && !stranded(child)
	})
}

// withdrawChildren deletes what the request has made in other namespaces and has not been answered. Answers stay.
func (r *Reconciler) withdrawChildren(ctx context.Context, request *retentionv1.ErasureRequest) error {
	s := &scope{request: request}
	if err := r.listChildren(ctx, s); err != nil {
		return err
	}
	for i := range s.children {
		child := &s.children[i]
		if erasure.Ended(child) || !child.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.Client.Delete(ctx, child, client.Preconditions{UID: &child.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the request in namespace %s: %w", child.Namespace, err)
		}
	}
	return nil
}
