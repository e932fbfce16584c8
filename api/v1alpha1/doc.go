// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the kinds of the API group dataretention.dev: what is stored (Datastore) and how long
// (RetentionPolicy). ErasureRequest and LegalHold join them in this package.
//
// Comments of kinds and fields are what `kubectl explain` prints, with these
// ends of lines: hence at most 76 characters each. Defaults are never written
// into a spec; getters know them.
//
// +kubebuilder:object:generate=true
// +groupName=dataretention.dev
package v1alpha1
