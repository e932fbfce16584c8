// SPDX-License-Identifier: Apache-2.0

package upkeep

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

const (
	// AnnotationRotate on the ConfigMap with the public keys asks for another key. Any change of its value is one request.
	AnnotationRotate = v1alpha1.Group + "/rotate-requested-at"
	// annotationHandled on the Secret is the value of AnnotationRotate that was handled.
	annotationHandled = v1alpha1.Group + "/last-handled-rotation"
)

// Rotate is what decides whether another key has to take the place of the current one.
type Rotate struct {
	Now time.Time
	// Created is when the current key was made, Rotation how old it gets; zero is any age.
	Created  time.Time
	Rotation time.Duration
	// Requested is the value of AnnotationRotate, Handled that which was handled last.
	Requested, Handled string
}

// RotateOf reads what the objects say.
func RotateOf(published *corev1.ConfigMap, secret *corev1.Secret) Rotate {
	return Rotate{Requested: published.Annotations[AnnotationRotate], Handled: secret.Annotations[annotationHandled]}
}

// Due says why it is time for another key, empty if it is not.
func (r Rotate) Due() string {
	switch {
	case r.Asked():
		return "it was asked for"
	case r.Rotation > 0 && r.Now.Sub(r.Created) >= r.Rotation:
		return fmt.Sprintf("the key is older than %s", r.Rotation)
	}
	return ""
}

// Asked says whether somebody has asked for another key, and has not got it yet.
func (r Rotate) Asked() bool { return r.Requested != "" && r.Requested != r.Handled }

// Done writes into the Secret that the request was handled.
func (r Rotate) Done(secret *corev1.Secret) {
	if r.Requested != "" {
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, annotationHandled, r.Requested)
	}
}
