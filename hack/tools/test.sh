#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test.sh STAGE... runs the given stages of the tests and does all their set-up:
#   unit     what needs no Kubernetes; tests start a real PostgreSQL and a real MariaDB
#   api      what needs an API server: api/, controllers/ and internal/purgejob
#   e2e      test/e2e, against the operator in the local cluster
#   cluster  the local cluster itself: use, crashes and end of two at a time
# TESTFLAGS holds further flags of go test, for example TESTFLAGS='-run TestPlan -count=1'.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec </dev/null # nothing below may wait for a person
trap 'exit 143' TERM # once the stage that runs has removed its cluster
export CGO_ENABLED=0 # as in the Makefile: packages are compiled once for all

gotestsum=$(go tool -modfile=hack/tools/go.mod -n gotestsum)
module=$(go list -m)
needs_api='api|controllers|internal/purgejob'
read -ra flags <<<"${TESTFLAGS:-}"

# packages prints the import paths of the packages, without or with only those below the given folders.
packages() {
	local mode=$1 pattern
	pattern="^$module/($2)(/|\$)"
	if [[ $mode == only ]]; then
		go list ./... | grep -E "$pattern"
	else
		go list ./... | grep -vE "$pattern"
	fi
}

gotest() {
	local timeout=$1
	shift
	"$gotestsum" --format pkgname --format-icons text --hide-summary=skipped -- -timeout "$timeout" "${flags[@]}" "$@"
}

unit() {
	local postgres mysql
	postgres=$(hack/tools/postgres.sh)
	mysql=$(hack/tools/mysql.sh)
	hack/tools/chromium.sh >/dev/null || echo "test.sh: no Chromium: the report is not looked at in a browser" >&2
	# shellcheck disable=SC2046 # package paths have no spaces
	PATH=$postgres:$mysql:$PATH gotest 20m $(packages without "$needs_api|test")
	(cd hack/cluster && gotest 10m .)
}

api() {
	local assets
	assets=$(hack/cluster/cluster assets | tail -n 1)
	# shellcheck disable=SC2046
	KUBEBUILDER_ASSETS=$assets gotest 40m -parallel 8 $(packages only "$needs_api")
}

e2e() {
	local bin
	bin=$(hack/tools/postgres.sh)
	if ! hack/cluster/cluster status >/dev/null 2>&1; then
		trap 'exit 143' TERM
		trap 'hack/cluster/cluster down' EXIT # a cluster that was there before is left as it was found
		hack/cluster/cluster up
	fi
	KUBECONFIG=$PWD/.cluster/kubeconfig
	export KUBECONFIG
	make deploy
	KUBECTL=$(hack/cluster/cluster assets | tail -n 1)/kubectl
	export KUBECTL
	# One package at a time: they share the cluster.
	# shellcheck disable=SC2046
	PATH=$bin:$PATH gotest 60m -p 1 -count 1 $(packages only 'test/e2e')
}

cluster() {
	(cd hack/cluster && gotest 20m -tags cluster -count 1 -run Cluster .)
}

report=()
for stage in "$@"; do
	case $stage in
	unit | api | e2e | cluster) ;;
	*) echo "test.sh: unknown stage $stage; choose from unit, api, e2e and cluster" >&2 && exit 2 ;;
	esac
	printf '\n== %s tests\n' "$stage"
	start=$SECONDS
	# A subshell ends with its own trap, so that the cluster is removed when its stage ends, however it ends.
	set +e
	(set -e && "$stage")
	result=$?
	set -e
	if ((result != 0)); then
		printf '\n== %s tests FAILED after %d s\n' "$stage" $((SECONDS - start)) >&2
		exit "$result"
	fi
	report+=("$(printf '%-8s ok  %5d s' "$stage" $((SECONDS - start)))")
done
printf '\n== all passed\n'
printf '%s\n' "${report[@]}"
