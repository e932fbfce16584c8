#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh shows expired personal data, and a person who asks for it, disappear from a database because of a few lines of
# YAML, and the proof of it.
#   demo.sh        sets up all it needs, tells the story, and checks every number against psql
#   demo.sh down   stops the demo's PostgreSQL and removes its data; `make cluster-down` removes the cluster
# It needs root, Go, and Debian or Ubuntu. See platform.sh for a cluster of your own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
cd "$root"

# One state folder for each checkout, where the user postgres can reach it, which a home folder may not be.
state=/var/lib/retention-operator-demo/$(sha256sum <<<"$root" | cut -c1-12)

# shellcheck source-path=SCRIPTDIR source=ui.sh
source "$here/ui.sh"
# shellcheck source=database.sh
source "$here/database.sh"
# shellcheck source=platform.sh
source "$here/platform.sh"
# shellcheck source=story.sh
source "$here/story.sh"
# shellcheck source=persons.sh
source "$here/persons.sh"
# shellcheck source=evidence.sh
source "$here/evidence.sh"

((EUID == 0)) || die "run me as root: the demo starts PostgreSQL as the user postgres, and a cluster"
mkdir -p "$state"
exec 9>"$state/lock"
flock -n 9 || die "another demo of this checkout is running"

case ${1:-run} in
run) ;;
down)
	if [[ -d $data ]]; then
		pg_bin=$("$root/hack/tools/postgres.sh")
		database_stop
	fi
	rm -rf "$state"
	exit
	;;
*) die "usage: demo.sh [down]" ;;
esac

trap 'printf "\n%s\n" "Stopped. make demo starts again; make demo-down removes everything." >&2; exit 130' INT TERM
started=$SECONDS

cluster_up
heading "Operator and database"
operator_deploy
pg_bin=$("$root/hack/tools/postgres.sh")
namespace_fresh
quietly "Starting PostgreSQL" database_start
quietly "Filling the shop's database" database_fill
story

heading "The end, after $((SECONDS - started)) s"
((failures == 0)) || die "not everything is as it should be: see the $failures lines with NO"
say "Every number of the status was the one that psql counted."
if [[ $KUBECONFIG == "$root/.cluster/kubeconfig" ]]; then
	say "Look around:   export KUBECONFIG=$KUBECONFIG PATH=$root/.cluster:\$PATH"
else
	say "Look around:"
fi
say "               kubectl -n shop get retention"
say "               runuser -u postgres -- psql -h $data -p $(<"$state/port") shop"
say "Once more:     make demo"
say "Remove it all: make demo-down"
