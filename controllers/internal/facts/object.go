// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
)

// Object names an object, and the version of its spec.
func Object(obj client.Object) evidence.Object {
	return evidence.Object{
		Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: string(obj.GetUID()), Generation: obj.GetGeneration(),
	}
}

// Ref names the object that a plan was made from.
func Ref(r plan.Ref) evidence.Object {
	return evidence.Object{Namespace: r.Namespace, Name: r.Name, UID: r.UID, Generation: r.Generation}
}

// Reference is how a status refers to a statement.
func Reference(l *evidence.Logged) *retentionv1.EvidenceReference {
	return &retentionv1.EvidenceReference{
		Index: ptr.To(l.Index), Digest: l.Digest, Time: metav1.NewTime(l.Time), Level: string(l.Statement.Predicate.Level),
	}
}

// Refers says whether a status refers to this statement.
func Refers(ref *retentionv1.EvidenceReference, l *evidence.Logged) bool {
	return ref != nil && ref.Index != nil && *ref.Index == l.Index && ref.Digest == l.Digest
}

// Time returns t in UTC; nil for a time that is not known.
func Time(t *metav1.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return ptr.To(t.UTC())
}

// At returns t in UTC; nil for the zero time.
func At(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return ptr.To(t.UTC())
}
