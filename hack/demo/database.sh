# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# database.sh: a PostgreSQL of the demo's own. Its data is in $state/data; it listens on the loopback address and on the
# one by which Pods reach this machine, takes TLS and scram passwords only, and lets in one role, to one database.

data=$state/data

# as_postgres runs a command as the user postgres, who may not be able to see the current folder. The server that it may
# start must not keep the demo's lock.
as_postgres() { (cd / && exec runuser -u postgres -- "$@" 9>&-); }

# admin runs psql as the superuser, over the socket, which nobody else can reach.
admin() { as_postgres "$pg_bin/psql" -h "$data" -p "$(<"$state/port")" -X -q -v ON_ERROR_STOP=1 "$@"; }

# ask prints the answer to a query in the shop's database, with '|' between fields.
ask() { admin -d shop -A -t -c "$1"; }

database_running() { [[ -f $data/postmaster.pid ]] && as_postgres "$pg_bin/pg_ctl" -D "$data" status >/dev/null 2>&1; }

# database_answers tells whether the server runs and listens where Pods at this host's address look for it.
database_answers() {
	database_running && [[ -f $state/host && $(<"$state/host") == "$host" ]] &&
		"$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$(<"$state/port")" && "$pg_bin/pg_isready" -q -h "$host" -p "$(<"$state/port")"
}

database_stop() {
	if database_running; then as_postgres "$pg_bin/pg_ctl" -D "$data" -m fast -w stop >/dev/null; fi
}

database_init() {
	if [[ -f $data/PG_VERSION && $pg_bin == */$(<"$data/PG_VERSION")/bin ]]; then return; fi
	database_stop
	rm -rf "$data"
	install -d -o postgres -g postgres -m 700 "$data"
	as_postgres "$pg_bin/initdb" -D "$data" -U postgres -A peer -E UTF8 --locale=C.UTF-8
	cat >"$data/pg_hba.conf" <<-'EOF'
		local   all  postgres        peer
		hostssl shop retention  all  scram-sha-256
	EOF
}

# database_start starts the server unless it is up, on a port that is free on both addresses.
database_start() {
	local try
	database_init
	if database_answers; then return; fi
	database_stop
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=shop-db" \
		-addext "subjectAltName=IP:127.0.0.1,IP:$host" -keyout "$data/server.key" -out "$state/ca.crt"
	cp "$state/ca.crt" "$data/server.crt"
	chown postgres:postgres "$data/server.key" "$data/server.crt"
	chmod 600 "$data/server.key"
	echo "$host" >"$state/host"
	for try in 1 2 3 4 5 6 7 8; do
		echo $((20000 + RANDOM % 10000)) >"$state/port"
		as_postgres "$pg_bin/pg_ctl" -D "$data" -w -l "$data/log" -o "-c listen_addresses=127.0.0.1,$host -c port=$(<"$state/port") \
			-c unix_socket_directories=$data -c ssl=on -c password_encryption=scram-sha-256 -c timezone=UTC" start || true
		if database_answers; then return; fi
		echo "port $(<"$state/port") did not do; try $try"
		database_stop
	done
	tail -n 20 "$data/log"
	return 1
}

# database_fill makes the database shop anew. Its rows are made once a day, into a template.
database_fill() {
	local day template strategy=''
	day=$(date -u +%F)
	template=template_${day//-/}_$(sha256sum "$here"/sql/{schema,data,grants}.sql | sha256sum | cut -c1-8)
	if [[ ! -s $state/password ]]; then (umask 077 && openssl rand -hex 24 | tr -d '\n' >"$state/password"); fi
	admin -f - <"$here/sql/roles.sql"
	admin -f - <<<"ALTER ROLE retention PASSWORD '$(<"$state/password")'"
	if [[ $(admin -At -c "SELECT count(*) FROM pg_database WHERE datname = '$template'") == 0 ]]; then
		# What an earlier day left, or a demo that was stopped here.
		admin -At -c "SELECT format('DROP DATABASE %I;', datname) FROM pg_database WHERE datname LIKE 'template\_%' OR datname = 'unfinished'" | admin -f -
		admin -c 'CREATE DATABASE unfinished'
		cat "$here"/sql/{schema,data,grants}.sql | admin -d unfinished -v day="$day" -1 -f -
		admin -d unfinished -c 'VACUUM ANALYZE'
		admin -c "ALTER DATABASE unfinished RENAME TO $template"
	fi
	if (($(admin -At -c 'SHOW server_version_num') >= 150000)); then strategy='STRATEGY file_copy'; fi
	admin -c 'DROP DATABASE IF EXISTS shop WITH (FORCE)'
	admin -c "CREATE DATABASE shop TEMPLATE $template $strategy"
}
