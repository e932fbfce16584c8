#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes sure that Chromium and pdftoppm (to look at printed pages) are there, installing Debian's packages if not, and
# prints Chromium's path. Nothing is started.
set -euo pipefail

find_chromium() {
	command -v chromium || command -v chromium-browser || command -v google-chrome
}

if ! find_chromium >/dev/null || ! command -v pdftoppm >/dev/null; then
	echo "installing Chromium" >&2
	sudo=()
	if ((EUID != 0)); then sudo=(sudo); fi
	export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
	"${sudo[@]}" apt-get update -qq >&2
	# A page looks as it is meant to with a serif and a sans-serif font, and those of Liberation have the usual widths.
	"${sudo[@]}" apt-get install -y -qq --no-install-recommends chromium poppler-utils fonts-liberation </dev/null >&2
fi
find_chromium || { echo "chromium.sh: no Chromium found after the installation" >&2; exit 1; }
