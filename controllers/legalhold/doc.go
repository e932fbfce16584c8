// SPDX-License-Identifier: Apache-2.0

// Package legalhold enforces LegalHolds.
//
// For each Datastore that a hold covers, a pass goes on from where the API server says that it stands:
//
//  1. The hold is written into the Datastore's status.holds with its resourceVersion. No run that begins later overlooks it,
//     and none that the Datastore does not know of may be at work: such Jobs are stopped.
//  2. The run that holds the Datastore, if any, has the hold on record in status.activeRun.holds, or is waited for: its owner
//     stops it (package holds).
//  3. A hold on a person, or with a condition, is read by a Job that counts what it keeps. It counts again once a day, and
//     when the data map changes.
//
// Then the hold is enforced in that Datastore. A hold that once stood in a Datastore's status stays in force there, whatever
// becomes of labels, until it is released. A finalizer keeps the object until it is released and stands nowhere any more.
//
// That a hold is enforced, and that it was released, is stated in the evidence ledger, once each, after the fact: neither
// waits for the ledger. Only the finalizer of a hold that was released does.
package legalhold
