// SPDX-License-Identifier: Apache-2.0

// Package holds is what LegalHolds and runs have to do with each other: which holds are in force on a Datastore, and the
// protocol by which a hold that comes while a run is under way is never overtaken by it.
//
// Both sides write the status of the Datastore, each time with its resourceVersion, so that one of the two always sees the
// other:
//
//   - The hold writes itself into status.holds. It is enforced once status.activeRun is gone or names it in holds.
//   - The run writes itself into status.activeRun, with the holds that its plan respects. At the gate it lists the holds
//     past every cache, compiles its plan anew, makes the holds on record those of the plan, and only then releases its Job.
//     A plan that has changed gets another Job, and the old one is marked first, so that nobody releases it any more.
//   - The owner of a released Job that sees a hold which is not on record in status.activeRun either acknowledges it there,
//     if the plan cannot touch what it keeps, or stops the Job, accounts for it and gives the Datastore back.
//
// The functions of protocol.go are the steps; model_test.go runs both sides of them in every order.
package holds
