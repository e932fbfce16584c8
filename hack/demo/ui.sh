# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# ui.sh: how the demo speaks, and how it keeps count of what it expected and did not find.

bold='' dim='' red='' green='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
	bold=$'\e[1;36m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
fi

failures=0
chapters=0

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

# chapter is a heading with a number.
chapter() { heading "$((++chapters)). $*"; }

say() { printf '%s\n' "$*"; }

die() {
	printf '%sdemo: %s%s\n' "$red" "$*" "$plain" >&2
	exit 1
}

# typed prints a command as a person would type it.
typed() {
	local words='' word
	for word in "$@"; do
		if [[ $word == *[!A-Za-z0-9_./:=,@-]* ]]; then word="'$word'"; fi
		words+=" $word"
	done
	printf '%s$%s%s\n' "$dim" "$words" "$plain"
}

# show prints a command as a person would type it, and runs it.
show() {
	typed "$@"
	"$@"
}

# indented runs a command and moves what it prints to the right.
indented() { "$@" | sed 's/^/  /'; }

# quietly says what is done, does it, and prints the command's output only if it fails.
quietly() {
	local what=$1 start=$SECONDS result
	shift
	printf '%s ... ' "$what"
	set +e # a command in a condition would go on after its first error
	(set -e && "$@") >"$state/log" 2>&1 9>&-
	result=$?
	set -e
	if ((result == 0)); then
		printf 'done (%d s)\n' $((SECONDS - start))
	else
		printf '%sfailed%s\n' "$red" "$plain"
		tail -n 40 "$state/log" >&2
		exit 1
	fi
}

# verdict prints ok if two words are the same, NO if not, and keeps count.
verdict() {
	if [[ $1 == "$2" && -n $2 ]]; then
		printf '  %sok%s  ' "$green" "$plain"
	else
		printf '  %sNO%s  ' "$red" "$plain"
		failures=$((failures + 1))
	fi
}

# expect compares what the status says with what psql says, or two looks by psql.
expect() {
	local what=$1 got=$2 want=$3
	verdict "$got" "$want"
	if [[ $got == "$want" ]]; then
		printf '%s: %s\n' "$what" "$got"
	else
		printf '%s: %s, expected %s\n' "$what" "${got:-nothing}" "$want"
	fi
}

# thousands writes a number so that it can be read.
thousands() {
	local n=$1 out=''
	while ((${#n} > 3)); do
		out=,${n: -3}$out
		n=${n:0:-3}
	done
	printf '%s' "$n$out"
}
