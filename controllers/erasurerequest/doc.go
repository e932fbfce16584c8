// SPDX-License-Identifier: Apache-2.0

// Package erasurerequest leads ErasureRequests through their life: received, approved or denied, searched for in every
// Datastore, erased, answered, and, if asked for, repeated for a while.
//
// It decides; package erasurerun does the work. They meet in status.datastores[].step, each step of which one of them ends:
//
//	Find      the run controller takes the request into a run, which turns it to Finding
//	Finding   the run controller writes what came of it: Found, or Find again after a pause
//	Found     this controller waits until every Datastore has been searched with every identifier that any of them led to;
//	          Find again if it was searched with fewer, else Erase
//	Erase     the run controller takes the request into a run, which turns it to Erasing
//	Erasing   the run controller writes what came of it: Finished, or Erase again after a pause
//	Finished  this controller answers, or goes back to Find: for a hold that was released, another server, a repetition
//
// So nothing is erased anywhere before everything has been searched, and identifiers that lead to different persons stop
// the request before it has done harm. Requests in other namespaces that were made from this one take part in that.
//
// An answer, a denial, and the end of a request that was deleted on the way, are stated in the evidence ledger as a
// Conclusion before the status says so, and before the subject's Secret and everything sealed goes. Its key has a digest of what
// the answer says, so that the same answer is stated once, whoever dies in between; one that has changed since, as when a
// repetition has found more, supersedes it. While the ledger cannot be used, nobody is answered; the time limit goes on.
//
// Reconcile gathers, decides in pure functions, acts, writes the status once, and then emits events.
package erasurerequest
