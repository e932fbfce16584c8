// SPDX-License-Identifier: Apache-2.0

// Package tools pins the tools of the build in a module of their own, so that none of their dependencies becomes one of
// the operator's. Run them with go tool -modfile=hack/tools/go.mod; go builds each once and keeps it in its cache.
package tools
