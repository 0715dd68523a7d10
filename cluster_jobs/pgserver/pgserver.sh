# PostgreSQL under Patroni, which starts it, replicates it and elects the primary by ZooKeeper. Where
# a person switches between two rooms, a guard looks at the other room before it may start.
database={{ database }}
port={{ port }}
rest={{ rest_port }}
settings={{ settings }}
guard={{ guard }}
guard_program={{ guard_program }}
link_port={{ link_port }}
first_room={{ first_room }}
superuser_password={{ ks_superuser_password }}
replication_password={{ ks_replication_password }}
rest_password={{ ks_rest_password }}
password={{ ks_password }}
monitor_password={{ ks_monitor_password }}
unit=pg-$database
config=/etc/patroni/$database.yml

# Debian would make a cluster of its own beside ours.
install_packages postgresql-common
install -d /etc/postgresql-common/createcluster.d
printf 'create_main_cluster = false\n' >/etc/postgresql-common/createcluster.d/paas.conf
install_packages{% for package in packages %} {{ package }}{% endfor %}
# The system's newer release may have brought a newer PostgreSQL beside the one that wrote the data,
# which only that one can read.
version=$(cat "/var/lib/postgresql/paas-$database/data/PG_VERSION" 2>/dev/null || :)
if [ -n "$version" ]; then
	bin=/usr/lib/postgresql/$version/bin
	if ! [ -x "$bin/postgres" ]; then
		fail "the data of $database here is of PostgreSQL $version, which isn't installed any more: install postgresql-$version, or upgrade the data by pg_upgrade"
	fi
else
	bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
	if [ -z "$bin" ]; then fail 'no PostgreSQL is installed'; fi
fi

# Of each part by itself; what postgres must read belongs to its group.
stale=/run/paas-$unit.stale

install -d -m 0755 /etc/patroni /usr/local/lib/paas-global-ks
# The passwords go in by a pipe, and into a file that only root and postgres can read.
(
	umask 077
	printf '%s\n' "$superuser_password" "$replication_password" "$rest_password" "$settings" |
		python3 -c '
import json, sys
lines = sys.stdin.read().split("\n", 3)
known = {"@superuser": lines[0], "@replication": lines[1], "@rest": lines[2], "@bin": sys.argv[1]}
def fill(node):
    if isinstance(node, dict):
        return {key: fill(value) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value) for value in node]
    return known.get(node, node) if isinstance(node, str) else node
json.dump(fill(json.loads(lines[3])), sys.stdout, indent=1)
print()
' "$bin" >"$config.new"
)
put_new "$config" "$stale-config" 0640 postgres
install -d -o postgres -g postgres -m 0700 "/var/lib/postgresql/paas-$database"

guard_line=
if [ -n "$guard" ]; then
	printf '%s\n' "$guard" >"/etc/patroni/$database.guard.new"
	put_new "/etc/patroni/$database.guard" "$stale-guard" 0640 postgres
	printf '%s\n' "$guard_program" >/usr/local/lib/paas-global-ks/room-guard.new
	put_new /usr/local/lib/paas-global-ks/room-guard "$stale-guard" 0755 postgres
	guard_line="ExecStartPre=+/usr/local/lib/paas-global-ks/room-guard $database"

	# The way to the other room's primary, whichever of its servers that is.
	{
		printf '%s\n' global '	maxconn 64' defaults '	mode tcp' '	timeout connect 3s' \
			'	timeout client 30m' '	timeout server 30m' '	timeout check 2s' \
			'listen other-room' "	bind 127.0.0.1:$link_port" '	option httpchk OPTIONS /primary' \
			'	http-check expect status 200' \
			'	default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions'
{% for node in others %}		printf '	server %s %s:%s check port %s\n' {{ node.name }} {{ node.address }} "$port" "$rest"
{% endfor %}	} >"/etc/patroni/$database.link.cfg.new"
	put_new "/etc/patroni/$database.link.cfg" "$stale-link" 0644 postgres
	{
		printf '%s\n' '[Unit]' "Description=the way to the other room's $database database" \
			After=network-online.target '[Service]' DynamicUser=yes \
			"ExecStart=/usr/sbin/haproxy -W -db -f /etc/patroni/$database.link.cfg" \
			Restart=always RestartSec=1 '[Install]' WantedBy=multi-user.target
	} >"/etc/systemd/system/pg-link-$database.service.new"
	put_new "/etc/systemd/system/pg-link-$database.service" "$stale-link" 0644 postgres
fi
# A Patroni that is gone must leave no PostgreSQL behind that nobody watches: hence "mixed". A
# guard may say no for long, and the boot's target mustn't wait for that: hence no default dependencies,
# but each by name.
{
	printf '%s\n' '[Unit]' "Description=PostgreSQL under Patroni: $database" \
		DefaultDependencies=no Requires=sysinit.target Conflicts=shutdown.target Before=shutdown.target \
		'After=sysinit.target basic.target network-online.target paas-zookeeper.service' Wants=network-online.target \
		StartLimitIntervalSec=0 '[Service]' User=postgres Group=postgres
	# The guard may have gigabytes of log to keep.
	if [ -n "$guard_line" ]; then printf '%s\n' "$guard_line" TimeoutStartSec=900; fi
	printf '%s\n' "ExecStart=/usr/bin/patroni $config" \
		"ExecReload=/bin/kill -s HUP \$MAINPID" KillMode=mixed TimeoutStopSec=60 \
		Restart=always RestartSec=3 OOMScoreAdjust=-500 '[Install]' WantedBy=multi-user.target
} >"/etc/systemd/system/$unit.service.new"
put_new "/etc/systemd/system/$unit.service" "$stale-unit" 0644 postgres
systemctl daemon-reload
if [ -n "$guard" ]; then
	systemctl enable --quiet "pg-link-$database"
	if [ -e "$stale-link" ] || ! systemctl is-active --quiet "pg-link-$database"; then
		systemctl restart "pg-link-$database"
		rm -f "$stale-link"
	fi
fi

# reaches ADDRESS: Patroni answers there.
reaches() {
	# shellcheck disable=SC2016 # bash, not this shell, expands it
	timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$rest" 2>/dev/null
}

# A restart of the room's only primary needs the guard's word, which it can't give while the other
# room is dark.
may_restart() {
	if [ -z "$guard" ] || ! http_answers "$rest" /primary >/dev/null; then return 0; fi
{% for node in others %}	if reaches {{ node.address }}; then return 0; fi
{% endfor %}	return 1
}

# An operation that stopped it means it: ks recover-pg starts it again.
if systemctl cat -- "$unit" >/dev/null 2>&1 && [ -e "/var/lib/postgresql/paas-$database/data/PG_VERSION" ] &&
	! systemctl is-enabled --quiet "$unit" && ! systemctl is-active --quiet "$unit" && ! [ -e "$stale-unit" ]; then
	fail "an operation stopped $unit; ks recover-pg --db $database has it follow again"
fi
systemctl enable --quiet "$unit"
# Patroni takes over most of its configuration without a restart, PostgreSQL's with it.
if systemctl is-active --quiet "$unit" && ! [ -e "$stale-unit" ]; then
	if [ -e "$stale-config" ]; then systemctl reload "$unit"; fi
elif systemctl is-active --quiet "$unit" && ! may_restart; then
	fail "the other room is dark, so $unit could not start again; nothing was restarted"
else
	# The guard may say no: then systemd tries again, and the wait below tells what it said.
	systemctl restart "$unit" || systemctl start --no-block "$unit"
fi
# The guard is read at each start by itself.
rm -f "$stale-unit" "$stale-config" "$stale-guard"
keep_secret ks_superuser_password "$superuser_password"
keep_secret ks_replication_password "$replication_password"
keep_secret ks_rest_password "$rest_password"
keep_secret ks_password "$password"
keep_secret ks_monitor_password "$monitor_password"

# sql DATABASE: runs what it reads as the administrator. Nothing here waits for a standby: there may
# be none yet.
sql() {
	(
		KS_PASSWORD=$password
		KS_MONITOR=$monitor_password
		PGOPTIONS='-c synchronous_commit=local'
		export KS_PASSWORD KS_MONITOR PGOPTIONS
		runuser -u postgres -- psql -wqAtX -v ON_ERROR_STOP=1 -v name="$database" -v room="$first_room" \
			-h /var/run/postgresql -p "$port" -U postgres -d "$1"
	)
}

# It leads, or it follows somebody: not merely running, as a server does for a moment before it is
# made the primary.
has_role() {
	http_answers "$rest" /primary >/dev/null || http_answers "$rest" /standby-leader >/dev/null ||
		[ "$(printf "select status from pg_stat_wal_receiver" | sql postgres 2>/dev/null)" = streaming ]
}

# A standby copies the whole database first, and can't before there is a primary.
begin=$(now)
until has_role; do
	if [ $(($(now) - begin)) -ge 600 ]; then
		fail "the $database database doesn't run after 600 s"
	fi
	sleep 1
done

if http_answers "$rest" /primary >/dev/null; then
	sql postgres <<-'END'
		\set password `printf %s "$KS_PASSWORD"`
		\set monitor `printf %s "$KS_MONITOR"`
		set log_statement = 'none';
		set log_min_duration_statement = -1;
		set log_min_error_statement = 'panic';
		select 'create role ks login' where not exists (select from pg_roles where rolname = 'ks') \gexec
		select 'create role pgpool login' where not exists (select from pg_roles where rolname = 'pgpool') \gexec
		alter role ks password :'password';
		alter role pgpool password :'monitor';
		grant pg_monitor to pgpool;
		select format('create database %I owner ks', :'name') where not exists (
			select from pg_database where datname = :'name') \gexec
	END
	# Which room serves, where only one does; the services make what else they need.
	if [ "$database" = global ]; then
		sql "$database" <<-'END'
			set role ks;
			set client_min_messages = warning;
			create table if not exists ks_settings (name text primary key, value text not null);
			insert into ks_settings values ('ks_master_zone', :'room') on conflict do nothing;
		END
	fi
	log "the $database database is ready, and this is its primary"
fi
{% for extra in extra_databases %}
if http_answers "$rest" /primary >/dev/null; then
	extra={{ extra }}
	sql postgres <<-END
		select 'create database $extra owner ks' where not exists (
			select from pg_database where datname = '$extra') \gexec
	END
fi
{% endfor %}
