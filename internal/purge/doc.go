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
// The Receipt is rewritten before and after every commit. The package imports nothing of Kubernetes.
package purge
