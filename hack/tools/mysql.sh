#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes sure that the binaries of a MySQL server are there (MariaDB's), installing Debian's package if not, and prints the
# folder of the server's. No server is started and none that runs is touched.
set -euo pipefail

find_bin() {
	local dir
	for dir in /usr/sbin "$(dirname "$(command -v mariadbd || echo /none/)")"; do
		if [[ -x $dir/mariadbd ]] && command -v mariadb-install-db >/dev/null; then
			echo "$dir"
			return
		fi
	done
	return 1
}

if ! find_bin >/dev/null; then
	echo "installing MariaDB" >&2
	sudo=()
	if ((EUID != 0)); then sudo=(sudo); fi
	export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
	# Debian's package would start a server; the tests start their own.
	if [[ ! -e /usr/sbin/policy-rc.d ]]; then
		printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee /usr/sbin/policy-rc.d >/dev/null
		"${sudo[@]}" chmod 755 /usr/sbin/policy-rc.d
		trap '"${sudo[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	"${sudo[@]}" apt-get update -qq >&2
	"${sudo[@]}" apt-get install -y -qq --no-install-recommends mariadb-server </dev/null >&2
fi
find_bin || { echo "mysql.sh: no MariaDB server found after the installation" >&2; exit 1; }
