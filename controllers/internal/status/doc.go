// SPDX-License-Identifier: Apache-2.0

// Package status sets conditions the way every controller here means them, and writes a status in one patch.
//
// Reconciling and Stalled follow kstatus: they stand in the status only while they are True, and never both.
package status
