// SPDX-License-Identifier: Apache-2.0

// Package datastore looks at what Datastores describe, and says in their status what it found.
//
// A look is a probe: a Job with the datastore's credentials, which the manager never sees. One pass goes through these
// steps, and any of them may be the last before the manager dies: the next pass, by whichever manager, starts again from
// what the API server holds.
//
//  1. The spec is checked for what CEL cannot know. What a probe has to look at is compiled from the data map and from
//     the policies that select the Datastore; its digest tells whether that has changed since the last probe.
//  2. A probe is due at first, on a change of what it has to look at, on request, daily, and soon after one that found
//     trouble. The name of its Job is made from the stored status: the same state makes the same name.
//  3. The Job is made, or adopted if it is provably ours.
//  4. When its Receipt is there, the status is derived from it by pure functions: observations first, then the conditions
//     that follow from them.
//  5. The status is written in one patch that fails if anybody else has written it since; then events are sent.
//  6. Whatever probe Jobs and plans are left over lose their finalizers and are deleted.
//
// status.activeRun is not ours: it belongs to the runs of RetentionPolicies, and no patch from here touches it.
// A Datastore has no finalizer: a run that it disappears under keeps its receipts itself.
package datastore
