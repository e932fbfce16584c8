# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# story.sh: what the demo shows, and what it expects. Every number of a status is held against one that psql counted.

policies=(cookies telemetry ip-addresses closed-accounts invoices)
# The policy that is responsible for each table, in the order of counts.sql.
tables=(devices accounts device_events cookie_consent invoices access_log)
declare -A policy_of=([devices]=closed-accounts [accounts]=closed-accounts [device_events]=telemetry
	[cookie_consent]=cookies [invoices]=invoices [access_log]=ip-addresses)

# status prints one field of a policy's status, or of a Datastore's.
status() { kubectl -n shop get "$1" "$2" -o jsonpath="{.status.$3}"; }

# of_dataset prints one field of what a policy's last run did in a table.
of_dataset() { status retpol "${policy_of[$1]}" "lastRun.datastores[0].datasets[?(@.name==\"$1\")].$2"; }

# psql_counts reads counts.sql into the three maps whose names begin with $1: records, past and kept.
psql_counts() {
	local -n records=$1_records past=$1_past kept=$1_kept
	local table r p k
	while IFS='|' read -r table r p k; do
		records[$table]=$r past[$table]=$p kept[$table]=$k
	done < <(admin -d shop -At -f - <"$here/sql/counts.sql")
	((${#records[@]} == ${#tables[@]})) || die "psql could not count"
}

partitions() { ask "SELECT count(*) FROM pg_partition_tree('device_events') WHERE isleaf"; }

# wait_until polls until a command succeeds.
wait_until() {
	local what=$1 deadline=$((SECONDS + $2)) start=$SECONDS
	shift 2
	printf 'Waiting for %s ... ' "$what"
	until "$@"; do
		if ((SECONDS > deadline)); then
			printf '%snothing after %d s%s\n' "$red" $((SECONDS - start)) "$plain"
			kubectl -n shop get retention,jobs,pods >&2
			kubectl -n shop get events --sort-by=.lastTimestamp | tail -n 20 >&2
			exit 1
		fi
		sleep 0.5
	done
	printf '%d s\n' $((SECONDS - start))
}

# ended tells whether every policy has handled the request and has no run under way.
ended() {
	local name handled active
	while read -r name handled active; do
		[[ $handled == "$request" && -z $active ]] || return 1
	done < <(kubectl -n shop get retpol -o \
		jsonpath='{range .items[*]}{.metadata.name} {.status.lastHandledRequest} {.status.activeRun.name}{"\n"}{end}')
}

# run_all asks every policy for a run now, and waits until all have ended.
run_all() {
	request=$(date -u +%FT%TZ) # any new value is a request
	show kubectl -n shop annotate retpol --all --overwrite "dataretention.dev/requested-at=$request" | awk 'NR == 1'
	wait_until "the purge Jobs" 300 ended
}

# probed tells whether the Datastore was looked at on request, and is found to be in order.
probed() { [[ $(status dstore shop-db lastHandledRequest) == "$request" && -z $(status dstore shop-db activeProbe) ]] && ready; }

ready() { [[ $(status dstore shop-db 'conditions[?(@.type=="Ready")].status') == True ]]; }

approved() { [[ $(status retpol telemetry lastRun.outcome) != AwaitingApproval && -z $(status retpol telemetry activeRun.name) ]]; }

story() {
	declare -gA before_records before_past before_kept now_records now_past now_kept after_records after_past after_kept
	tell_datastore
	tell_counts
	tell_simulate
	tell_enforce
	tell_guardrail
	tell_proof
	tell_again
	tell_persons
	tell_evidence
}

tell_datastore() {
	chapter "The Datastore: what is stored, where, and how it is connected"
	quietly "Namespace with the restricted Pod Security Standard" kubectl apply -f "$here/manifests/10-namespace.yaml"
	quietly "Secret with the connection, of a role that may do what the policies need and no more" connection_secret
	show kubectl apply -f "hack/demo/manifests/20-datastore.yaml"
	wait_until "the probe" 120 ready
	show kubectl -n shop get dstore
	say "What the probe found in the database:"
	kubectl -n shop get dstore shop-db -o jsonpath='{range .status.conditions[*]}{.type}|{.status}|{.message}{"\n"}{end}' |
		awk -F'|' '{ printf "  %-17s %-6s %s\n", $1, $2, $3 }'
	kubectl -n shop get dstore shop-db -o \
		jsonpath='{range .status.datasets[*]}{.name}|{.records}|{.oldestRecordTime}|{.timestampIndexed}|{.findings}{"\n"}{end}' |
		awk -F'|' 'BEGIN { printf "  %-17s %10s  %-21s %-8s %s\n", "dataset", "about", "oldest", "indexed", "findings" }
			{ printf "  %-17s %10s  %-21s %-8s %s\n", $1, $2, $3, $4, $5 }'
}

connection_secret() {
	kubectl -n shop create secret generic shop-db --dry-run=client -o yaml \
		--from-literal=host="$host" --from-literal=port="$(<"$state/port")" --from-literal=database=shop \
		--from-literal=username=retention --from-file=password="$state/password" \
		--from-literal=sslmode=verify-full --from-file=ca.crt="$state/ca.crt" | kubectl apply -f -
}

tell_counts() {
	local table
	chapter "What psql counts"
	psql_counts before
	printf '  %-16s %12s %14s\n' table rows 'past period'
	for table in "${tables[@]}"; do
		printf '  %-16s %12s %14s\n' "$table" "$(thousands "${before_records[$table]}")" "$(thousands "${before_past[$table]}")"
	done
	partitions_before=$(partitions)
	say "device_events has $partitions_before partitions. In access_log, addresses have a period, and their rows stay."
}

tell_simulate() {
	local table
	chapter "Five policies with mode: Simulate: what would go?"
	say "The first of them:"
	sed -n '/^spec:/,/^---/p' "$here/manifests/30-policies.yaml" | sed '/^---/,$d; s/^/  /'
	show kubectl apply -f hack/demo/manifests/30-policies.yaml
	run_all
	show kubectl -n shop get retpol
	say "Compliant is False: there are records past their deadline. What the status says is due, and what psql says:"
	for table in "${tables[@]}"; do
		expect "$table" "$(of_dataset "$table" matched)" "${before_past[$table]}"
	done
	psql_counts now
	unchanged now before
}

# unchanged compares two looks by psql: rows, rows past their period, and the fingerprints of the others.
unchanged() {
	local -n one_records=$1_records one_past=$1_past one_kept=$1_kept two_records=$2_records two_past=$2_past two_kept=$2_kept
	expect "psql finds the same rows as before" "${one_records[*]}" "${two_records[*]}"
	verdict "${one_past[*]} ${one_kept[*]}" "${two_past[*]} ${two_kept[*]}"
	say "and the same values in them"
}

tell_enforce() {
	chapter "mode: Enforce"
	show kubectl -n shop patch retpol "${policies[@]}" --type=merge -p '{"spec":{"mode":"Enforce"}}'
	run_all
	show kubectl -n shop get retpol
}

tell_guardrail() {
	local digest
	chapter "The guardrail: more than half of a table at once needs a person's approval"
	expect "the run of telemetry has stopped" "$(status retpol telemetry lastRun.outcome)" AwaitingApproval
	expect "psql still counts all events" "$(ask 'SELECT count(*) FROM device_events')" "${before_records[device_events]}"
	indented status retpol telemetry 'conditions[?(@.type=="AwaitingApproval")].message'
	echo
	digest=$(status retpol telemetry 'lastRun.datastores[0].planDigest')
	show kubectl -n shop annotate retpol telemetry --overwrite "dataretention.dev/approved-plan=$digest"
	wait_until "the approved run" 180 approved
}

tell_proof() {
	local table changed gone
	chapter "The proof"
	ask 'ANALYZE' # as autovacuum does in its own time: the Datastore's number of records is the database's estimate
	request=$(date -u +%FT%TZ)
	show kubectl -n shop annotate dstore shop-db --overwrite "dataretention.dev/requested-at=$request"
	wait_until "another probe" 120 probed
	show kubectl -n shop get retpol,dstore
	psql_counts after
	say "What psql counted before and after, what the status says was deleted or anonymized, what past its period is left,"
	say "and whether every value of the rows that had to stay is as it was:"
	printf '      %-15s %10s %10s %10s %10s %6s  %s\n' table before after gone status left rest
	for table in "${tables[@]}"; do
		gone=$((before_records[$table] - after_records[$table]))
		changed=$(of_dataset "$table" deleted)
		if [[ $table == access_log ]]; then # here no row goes, and addresses are anonymized
			verdict "$changed$(of_dataset "$table" anonymized) ${after_past[$table]} $gone ${after_kept[$table]}" \
				"${before_past[$table]} 0 0 ${before_kept[$table]}"
			changed=$(of_dataset "$table" anonymized)
		else
			verdict "$changed $gone ${after_past[$table]} ${after_kept[$table]}" "$gone ${before_past[$table]} 0 ${before_kept[$table]}"
		fi
		printf '%-15s %10s %10s %10s %10s %6s  %s\n' "$table" "$(thousands "${before_records[$table]}")" \
			"$(thousands "${after_records[$table]}")" "$(thousands "$gone")" "$(thousands "${changed:-0}")" \
			"${after_past[$table]}" "$(if [[ ${after_kept[$table]} == "${before_kept[$table]}" ]]; then echo same; else echo CHANGED; fi)"
	done
	expect "device_events: partitions dropped whole" "$(of_dataset device_events droppedPartitions)" $((partitions_before - $(partitions)))
	expect "invoices: older than three years, kept because the law says seven" "$(of_dataset invoices retained)" \
		"$(ask "SELECT count(*) FROM invoices WHERE invoice_date + interval '3 years' <= now()")"
	expect "cookie_consent: without a date, kept and counted" "$(of_dataset cookie_consent undated)" \
		"$(ask 'SELECT count(*) FROM cookie_consent WHERE given_at IS NULL')"
	expect "cookie_consent: with a placeholder for a date, kept and counted" "$(of_dataset cookie_consent invalid)" \
		"$(ask "SELECT count(*) FROM cookie_consent WHERE given_at <= '1970-01-01' OR given_at >= '9999-12-31'")"
	say "Nobody can say that what has no date is in time, so that Compliant of cookies is Unknown:"
	indented status retpol cookies 'conditions[?(@.type=="Compliant")].message'
	echo
	typed kubectl -n shop describe retpol telemetry
	kubectl -n shop describe retpol telemetry | sed -n '/^  Last Run:/,/^      Excluded:/p' | sed '$d'
	show kubectl -n shop events --for retpol/telemetry
}

tell_again() {
	local name changed
	chapter "A second run finds nothing to do"
	run_all
	for name in "${policies[@]}"; do
		changed=deleted
		if [[ $name == ip-addresses ]]; then changed=anonymized; fi
		expect "$name: outcome, due, $changed, remaining" "$(last_run "$name" outcome matched $changed remaining)" "Succeeded 0 0 0"
	done
	psql_counts now
	unchanged now after
}

# last_run prints fields of a policy's last run.
last_run() {
	local field words=()
	for field in "${@:2}"; do words+=("$(status retpol "$1" "lastRun.$field")"); done
	echo "${words[*]}"
}
