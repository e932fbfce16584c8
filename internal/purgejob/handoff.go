// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SubjectSecretType is the type of every Secret with identifiers of persons.
const SubjectSecretType corev1.SecretType = "dataretention.dev/subject"

// GivenKey is the key, in the Secret that Handoff makes, of the identifiers that the request of a place in the Plan names.
func GivenKey(request int) string { return fmt.Sprintf("%d.given", request) }

// DerivedKey is the key of the identifiers that records of other datastores led to.
func DerivedKey(request int) string { return fmt.Sprintf("%d.derived", request) }

// HoldKey is the key of the identifiers of the hold of a place in the Plan.
func HoldKey(hold int) string { return fmt.Sprintf("h%d.given", hold) }

// Handoff returns the short-lived Secret that hands opened identifiers to the one Job that in describes. It has the Job's
// name and cannot be changed, and goes with the Job's owner at the latest. It is to be made before the Job.
func Handoff(in Input, data map[string]string) *corev1.Secret {
	content := make(map[string][]byte, len(data))
	for key, value := range data {
		content[key] = []byte(value)
	}
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.Namespace, Name: in.Name, Labels: in.labels(), Annotations: in.annotations(),
			OwnerReferences: []metav1.OwnerReference{in.owner()},
		},
		Type: SubjectSecretType, Immutable: new(true), Data: content,
	}
}
