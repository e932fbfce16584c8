# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# evidence.sh: the last part of the story: the proof, without the cluster that it came from.

# plugin_install puts the operator's binary on the PATH under the name by which kubectl finds it.
plugin_install() {
	make -C "$root" build
	mkdir -p "$state/bin"
	ln -sf "$root/bin/retention-operator" "$state/bin/kubectl-retention"
}

# offline runs the plugin where there is no cluster, and nothing else either.
offline() {
	typed kubectl retention "$@"
	(cd "$proof" && env -i "$state/bin/kubectl-retention" "$@")
}

# exit_code prints how a command ends.
exit_code() {
	local code=0
	"$@" >/dev/null 2>&1 || code=$?
	echo "$code"
}

# forge changes the payload of a bundle by a sed script, and nothing else.
forge() {
	local payload
	payload=$(sed -n 's/.*"payload": *"\([^"]*\)".*/\1/p' "$1")
	sed "s|$payload|$(base64 -d <<<"$payload" | sed "$3" | base64 -w0)|" "$1" >"$2"
}

tell_evidence() {
	local digest
	chapter "The proof, without the cluster"
	quietly "kubectl plugin" plugin_install
	export PATH=$state/bin:$PATH
	proof=$state/proof
	rm -rf "$proof" && mkdir -p "$proof"
	show kubectl retention status -n shop
	say "Why is an invoice of four years still there?"
	show kubectl retention explain shop-db invoices --age P4Y -n shop
	say "The status of the run refers to a signed statement. This is all that it takes to check it: a file, and the public keys."
	typed kubectl retention evidence keys '>' keys.pem
	kubectl retention evidence keys >"$proof/keys.pem"
	show kubectl retention evidence get telemetry --datastore shop-db -n shop --run "$(approved_run)" --file "$proof/telemetry.json"
	offline verify telemetry.json --keys keys.pem
	digest=$(sed -n 's/.*"payload": *"\([^"]*\)".*/\1/p' "$proof/telemetry.json" | base64 -d | sha256sum | cut -d' ' -f1)
	say "Its digest is that of the bytes which were signed: sha256:$digest"
	say "Somebody who deletes one record less, and claims the same, is found out:"
	forge "$proof/telemetry.json" "$proof/forged.json" 's/"deleted":[0-9]*/"deleted":1/'
	offline verify forged.json --keys keys.pem || true
	expect "exit code of a genuine bundle, and of a forged one" \
		"$(cd "$proof" && exit_code offline verify telemetry.json --keys keys.pem) $(cd "$proof" && exit_code offline verify forged.json --keys keys.pem)" "0 1"
	say "The policy goes, and its proof stays:"
	show kubectl -n shop delete retpol telemetry
	show kubectl retention evidence export "$proof/ledger"
	offline verify ledger --keys keys.pem --require-witness
	expect "exit code for the ledger from its first entry to its last" "$(cd "$proof" && exit_code offline verify ledger --keys keys.pem --require-witness)" 0
	show kubectl retention report -n shop --keys "$proof/keys.pem" --file "$proof/report.html"
	say "For a browser, and for paper: $proof/report.html"
}

# approved_run is the name of the run of telemetry that deleted.
approved_run() { kubectl -n shop get retpol telemetry -o jsonpath='{.status.history[?(@.trigger=="Approval")].name}'; }
