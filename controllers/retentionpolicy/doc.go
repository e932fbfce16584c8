// SPDX-License-Identifier: Apache-2.0

// Package retentionpolicy carries out RetentionPolicies.
//
// A run goes through these steps. Every state is stored before the step that follows it is taken, so that a manager that
// dies anywhere, or a second one, finds out where it stands from the API server alone:
//
//  1. A slot of the schedule, a request, an approval, or the end of what had stopped the last run, starts a run:
//     status.activeRun with its name, its slot and one entry per selected Datastore, in state Waiting.
//  2. Waiting: the run takes the Datastore by writing itself into the Datastore's status.activeRun with its
//     resourceVersion. There is one writer per datastore, and erasure requests go first. The plan is compiled from live
//     reads of policies and holds; its digest names the Job. State Preparing.
//  3. Preparing: the ConfigMap with the plan and the Job, suspended, are made, or adopted if they are provably ours.
//     State Released: this is the intent, and it is on record before anything can be deleted.
//  4. Released: everything that could forbid the run is read once more, live. If nothing does, what the Job is about to do
//     is stated in the ledger (evidence.Intent), and the entry refers to it. The next pass reads everything again, sees
//     that the ledger has the statement, and only then releases the Job. A hold that comes now is acknowledged, or stops
//     the Job (package holds). When it has ended, the receipts of all its Pods are added up, and what came of it is stated
//     (evidence.Result). State Finished: the result is on record.
//  5. Finished: the finalizers that kept the Job and its Pods are taken off, and the Datastore is given back.
//  6. When all are finished, the run as a whole is stated (evidence.Conclusion). Then status.activeRun becomes
//     status.lastRun, with one line in status.history.
//
// An entry that was on record as Released leaves exactly one Intent and one Result, however it ends: by its receipts, by
// another plan, by something that forbids it, or because its Job is lost. Both are in the ledger before that is on record, and
// have the same key in every pass and in every manager. That nothing was done is stated only of a Job that is marked so that
// nobody can release it any more. While the ledger cannot be used, an entry stays as it is.
//
// Reconcile gathers, decides in pure functions, acts, writes the status once, and then emits events.
package retentionpolicy
