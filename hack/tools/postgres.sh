#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes sure that PostgreSQL's server binaries are there, installing Debian's package if not, and prints their folder.
# No server is started and none that runs is touched.
set -euo pipefail

find_bin() {
	local dir
	for dir in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) "$(dirname "$(command -v postgres || echo /none/)")"; do
		if [[ -x $dir/postgres && -x $dir/initdb && -x $dir/psql ]]; then
			echo "$dir"
			return
		fi
	done
	return 1
}

if ! find_bin >/dev/null; then
	echo "installing PostgreSQL" >&2
	sudo=()
	if ((EUID != 0)); then sudo=(sudo); fi
	export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
	# Debian's package would create a database and start it; the tests start their own.
	if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
		"${sudo[@]}" mkdir -p /etc/postgresql-common
		echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
	fi
	"${sudo[@]}" apt-get update -qq >&2
	"${sudo[@]}" apt-get install -y -qq --no-install-recommends postgresql </dev/null >&2
fi
find_bin || { echo "postgres.sh: no PostgreSQL server found after the installation" >&2; exit 1; }
