// SPDX-License-Identifier: Apache-2.0

package planinput

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// Selects says whether a policy's selector matches a Datastore's labels. One that cannot be read, or is empty, may mean
// them: what such a policy retains is retained. It deletes nothing itself, as its own controller refuses it.
func Selects(p *retentionv1.RetentionPolicy, datastore map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(p.Spec.DatastoreSelector.AsLabelSelector())
	return err != nil || selector.Empty() || selector.Matches(labels.Set(datastore))
}

// Holds says whether a hold selects a Datastore. One whose selector cannot be read may mean it.
func Holds(h *retentionv1.LegalHold, d *retentionv1.Datastore) bool {
	if h.Namespace != d.Namespace {
		return false
	}
	if h.Spec.DatastoreSelector == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(h.Spec.DatastoreSelector.AsLabelSelector())
	return err != nil || selector.Matches(labels.Set(d.Labels))
}
