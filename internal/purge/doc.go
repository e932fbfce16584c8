// SPDX-License-Identifier: Apache-2.0

// Package purge is the data plane: one process that carries out one Plan against one datastore and says in a Receipt what
// it did. It goes through these phases:
//
//  1. Connecting: the Plan's digest, version and limits are checked, then the server's identity and clock, and the
//     datastore is locked against every other purge.
//  2. Counting: every step's records are counted, and the guardrails are held against the sum. A simulation ends here.
//  3. Purging: the steps in their order, each in batches. A step that fails does not keep the others from going on.
//  4. Verifying: every step is counted again. What is due and still there, and not kept by a constraint, is purged again,
//     a few times at most.
//
// In an erasure, finding the records of all requests' persons takes the place of counting, and there are no guardrails. What
// is told of single requests goes into the log, sealed: see the account in package receipt. A line that announces a batch is
// written before the Receipt that knows of the line, and both before the commit.
//
// The Receipt is rewritten before and after every commit. The package imports nothing of Kubernetes.
package purge
