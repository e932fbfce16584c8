// SPDX-License-Identifier: Apache-2.0

// Package erasurerun carries out what ErasureRequests wait for in a Datastore: one Job searches, or erases, for all of
// them together.
//
// Every state is stored before the step that follows it is taken, so that a manager that dies anywhere, or a second one,
// finds out where it stands from the API server alone:
//
//  1. Requests that wait are counted in the Datastore's status.pendingErasures. Whoever else wants the Datastore lets them
//     go first.
//  2. The run takes the Datastore by writing itself into status.activeRun with the object's resourceVersion, together with
//     the holds in force. State Preparing.
//  3. It claims the requests: the step of their entries turns from Find to Finding, or from Erase to Erasing, and names the
//     run. They are the batch. The plan is compiled; its digest names the Job, and both are put on record.
//  4. The immutable ConfigMap with the plan and the Job, suspended, are made. State Released.
//  5. What the Job is about to do goes into the evidence ledger: the Intent. Its place there is put on record.
//  6. The gate: Datastore, holds, requests and policies are read once more, past the cache, and the plan is compiled once
//     more. If anything has changed, another plan takes the place of this one, whose Job never began. Else what was sealed is
//     handed over in a short-lived Secret, and the Job is released.
//  7. When it has ended, the receipts and accounts of all its Pods are added up. What came of it goes into the ledger, the
//     Result, and then into the entries of the requests that the plan names. State Finished.
//  8. The finalizers that kept the Job and its Pods are taken off, the Secret goes, and the Datastore is given back.
//
// Every Intent gets exactly one Result, whatever becomes of the Job:
//
//	it has ended                                    what the receipts and accounts say; sums over all requests, and of single
//	                                                ones only how many had which outcome
//	it was a search                                 NotDone, Simulated: whatever it found, nothing was changed
//	it never began: the plan changed, nobody was    NotDone, NotRun
//	left to serve, the Datastore cannot be used
//	it is gone, or its plan or accounts are         Unproven, if it was to erase
//	its Datastore was deleted, or the run in its    Unproven if it had begun and was to erase, else NotDone
//	status overwritten
//
// While the ledger cannot be used, nothing is released, nothing is written into a request that a run has done, and no
// finalizer goes; it is asked again. Only a hold does not wait: a Job is stopped without the ledger, and once no process of
// it can be at work any more, the run counts as one that respects every hold.
package erasurerun
