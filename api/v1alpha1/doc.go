// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the kinds of the API group dataretention.dev: what is stored (Datastore) and how long
// (RetentionPolicy). ErasureRequest and LegalHold join them in this package.
//
// Field comments are what `kubectl explain` prints. Defaults are never written into a spec; getters know them.
//
// +kubebuilder:object:generate=true
// +groupName=dataretention.dev
package v1alpha1
