// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the tests of the path that a user takes: objects are applied to a real cluster in which the operator
// runs, purge Pods run under a real kubelet against a real PostgreSQL, and what the status says is held against what the
// database says. `make test-e2e` sets all of it up.
package e2e
