// SPDX-License-Identifier: Apache-2.0

// Package facts turns objects of the API, plans and what purge Pods have left into the parts of evidence. It is pure: it
// reads nothing, and what it is not given stays absent.
//
// Names in gaps are those of datastores, or "<datastore>/<dataset>", so that those of several Datastores can stand together.
package facts
