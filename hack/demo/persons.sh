# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# persons.sh: the second half of the story, about single persons: an erasure, a denial, and a hold.

# The tables that hold data of customers.
personal=(device_events devices invoices accounts)

# customer prints the number of the first customer whose contract runs, who has events, and who meets a condition.
customer() {
	ask "SELECT id FROM accounts a WHERE contract_ended_at IS NULL AND $1
		AND EXISTS (SELECT FROM device_events WHERE device_id IN (a.id, a.id + 20000)) ORDER BY id LIMIT 1"
}

# psql_person reads person.sql into the two maps whose names begin with $1: theirs and rest.
psql_person() {
	local -n theirs=$1_theirs rest=$1_rest
	local table t r
	while IFS='|' read -r table t r; do
		theirs[$table]=$t rest[$table]=$r
	done < <(admin -d shop -At -v id="$2" -f - <"$here/sql/person.sql")
	((${#theirs[@]} == ${#personal[@]})) || die "psql could not count"
}

# subject_secret names a customer in a Secret. Their address in the shop is in small letters.
subject_secret() {
	typed kubectl -n shop create secret generic "$1" --type=dataretention.dev/subject --from-literal=email=…
	kubectl -n shop create secret generic "$1" --type=dataretention.dev/subject --from-literal=email="Customer$2@Example.COM"
}

in_state() { [[ $(status erasure "$1" state) == "$2" ]]; }

enforced() { [[ $(status hold court 'conditions[?(@.type=="Enforced")].status') == True ]]; }

# erased prints a field of what became of a person's records in a table.
erased() { status erasure "$1" "datastores[0].datasets[?(@.name==\"$2\")].$3"; }

# expect_person compares the answer to request $1 with psql, where the tables named after it keep their records.
expect_person() {
	local case=$1 table want
	shift
	for table in "${personal[@]}"; do
		want="$((was_theirs[$table] - is_theirs[$table]))"
		expect "$table: found, and deleted" "$(erased "$case" "$table" found) $(deleted_or_none "$case" "$table")" "${was_theirs[$table]} $want"
		expect "$table: left in the database" "${is_theirs[$table]}" "$([[ " $* " == *" $table "* ]] && echo "${was_theirs[$table]}" || echo 0)"
	done
	expect_others
}

# expect_nothing expects that psql finds everything as it was.
expect_nothing() {
	expect "psql finds the same rows of the customer as before" "${is_theirs[*]}" "${was_theirs[*]}"
	expect_others
}

expect_others() {
	verdict "${is_rest[*]}" "${was_rest[*]}"
	say "everybody else's rows are as they were, every value of them"
}

deleted_or_none() {
	local n
	n=$(erased "$1" "$2" deleted)
	echo "${n:-0}"
}

tell_persons() {
	declare -gA was_theirs was_rest is_theirs is_rest
	tell_erasure
	tell_denial
	tell_hold
}

tell_erasure() {
	local id
	chapter "A person asks to be erased"
	id=$(customer "NOT EXISTS (SELECT FROM invoices WHERE account_id = a.id)")
	psql_person was "$id"
	subject_secret case-1 "$id"
	sed -n '/^spec:/,$s/^/  /p' "$here/manifests/40-erasure.yaml"
	show kubectl apply -f hack/demo/manifests/40-erasure.yaml
	wait_until "the answer" 180 in_state case-1 Answered
	show kubectl -n shop get erasure
	psql_person is "$id"
	say "Only the address was given, spelled in another way. The shop's own number, the devices and their events were found from it:"
	expect_person case-1
	expect "the outcome" "$(status erasure case-1 outcome)" Deleted
	expect "the Secret with the address is gone" "$(kubectl -n shop get secret case-1 --ignore-not-found -o name | wc -l)" 0
}

tell_denial() {
	local id denial
	chapter "A person says no: a request is denied, and the answer says why"
	id=$(customer "id > 5000")
	psql_person was "$id"
	subject_secret case-2 "$id"
	show kubectl apply -f hack/demo/manifests/50-denied.yaml
	wait_until "somebody to be asked" 60 in_state case-2 AwaitingApproval
	denial='{"type":"Denied","status":"True","reason":"LegalClaims","message":"A claim against the customer is pending (GDPR Art. 17(3)(e)).","lastTransitionTime":"'$(date -u +%FT%TZ)'"}'
	show kubectl -n shop patch erasure case-2 --subresource=status --type=json -p "[{\"op\":\"add\",\"path\":\"/status/conditions/-\",\"value\":$denial}]"
	wait_until "the denial" 60 in_state case-2 Denied
	show kubectl -n shop get erasure case-2
	indented status erasure case-2 'conditions[?(@.type=="Denied")].message'
	echo
	psql_person is "$id"
	expect_nothing
}

tell_hold() {
	local id
	chapter "A court wants data kept, and the customer wants it erased"
	id=$(customer "id > 10000 AND EXISTS (SELECT FROM invoices WHERE account_id = a.id)")
	psql_person was "$id"
	subject_secret held-person "$id"
	show kubectl apply -f hack/demo/manifests/60-hold.yaml
	wait_until "the hold to be enforced" 120 enforced
	show kubectl -n shop get hold
	expect "the hold keeps" "$(status hold court records)" $((was_theirs[accounts] + was_theirs[devices] + was_theirs[device_events] + was_theirs[invoices]))
	subject_secret case-3 "$id"
	show kubectl apply -f hack/demo/manifests/70-blocked.yaml
	wait_until "the request to come up against it" 180 in_state case-3 RetainedByHold
	show kubectl -n shop get erasure
	psql_person is "$id"
	expect_nothing
	say "The case is closed. Nobody touches the request again:"
	show kubectl -n shop patch hold court --type=merge -p "$hold_release"
	wait_until "the answer" 180 in_state case-3 Answered
	show kubectl -n shop get erasure
	psql_person is "$id"
	say "All is gone but the invoices, which the law demands. So the outcome is not Deleted, and Succeeded is False:"
	expect_person case-3 invoices
	expect "the outcome" "$(status erasure case-3 outcome)" RetainedByObligation
	indented status erasure case-3 'datastores[0].datasets[?(@.name=="invoices")].legalBasis'
	echo
}
