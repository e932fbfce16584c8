// SPDX-License-Identifier: Apache-2.0

// Package report makes the compliance report of a period: what policies and requests have come to, what holds kept, what
// was deleted, and by which signed statements it is proved. It is pure: no clock, no I/O, no cluster.
//
// It counts by these rules:
//
//   - Records are counted from Results only, each once. A Conclusion repeats what its Results say, and adds nothing.
//   - A statement belongs to the period in which it was made, and so do its numbers. What is open, expired or in force is
//     judged at the time the report is made, with all statements until then.
//   - What was simulated, not run, not found, or could not be reached adds nothing to what was deleted, whatever number
//     stands beside it. Such a contradiction is an exception.
//   - A number that nobody has counted is absent, and not zero. A sum with such a part, or with a lower bound, says "at least".
//   - Retained, held, remaining, undated: how many records that are, not how many more. The latest look counts; where several
//     policies look at the same dataset, the largest number does, since their records overlap.
//   - A run is compliant if afterwards no record past its period was there, as its statement says; what is kept by an
//     obligation or a hold is not past it. Where nobody looked, or records have no usable date, it is unknown, and never
//     compliant. A policy that only simulates leaves what it counts.
//   - Requests that were made from one in another namespace are listed, and not counted as requests of their own.
package report
