#!/bin/sh
# What every script of an operation on the global control plane begins with. Runs as root.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022

log() {
	printf '%s\n' "$*"
}

fail() {
	printf 'error: %s\n' "$*"
	exit 1
}

# Seconds since the machine booted: no clock that somebody sets.
now() {
	cut -d . -f 1 /proc/uptime
}

# http METHOD HOST PORT PATH: prints the status, and the body in one line behind it. Waits $patience
# seconds.
patience=12
http() {
	# shellcheck disable=SC2016 # bash, not this shell, expands it
	timeout "$patience" bash -c '
		exec 3<>"/dev/tcp/$2/$3" || exit
		printf "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" "$1" "$4" >&3
		cat <&3
	' bash "$@" 2>/dev/null | tr -d '\000\r' | awk '
		NR == 1 { status = $2 }
		body { text = text $0 " " }
		/^$/ { body = 1 }
		END { print (status == "" ? "000" : status), text }
	' || echo 000
}

# says PORT PATH: a GET on this host is answered with 200.
says() {
	case $(http GET 127.0.0.1 "$1" "$2") in
	200*) return 0 ;;
	esac
	return 1
}

# ask_all PATH ADDRESS...: a line for each server of the database in use, with its address and the
# status that its Patroni answers: 000 where nothing takes the call, `mute` where that says nothing.
# All are asked at once, and one that is dark doesn't hold up for long what saves the others.
ask_all() {
	path=$1
	shift
	for address in "$@"; do
		{
			answer=000
			# shellcheck disable=SC2016 # bash, not this shell, expands it
			if timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$address" "$rest" 2>/dev/null; then
				answer=$(http GET "$address" "$rest" "$path")
				case $answer in 000*) answer=mute ;; esac
			fi
			printf '%s %s\n' "$address" "${answer%% *}"
		} &
	done
	wait
}

# primary_among ADDRESS...: the one of these servers that takes writes; nothing where none does.
primary_among() {
	ask_all /primary "$@" | sed -n 's/ 200$//p' | head -n 1
}

# takes_writes ADDRESS: that server has the lead, and PostgreSQL there has replayed everything.
takes_writes() {
	case $(http GET "$1" "$rest" /patroni) in
	200*'"role": "master"'* | 200*'"role": "primary"'*) return 0 ;;
	esac
	return 1
}

# One of $peers takes writes; says which.
# shellcheck disable=SC2086,SC2154 # addresses, a word each, which the script has
has_primary() {
	primary=$(primary_among $peers)
	if [ -z "$primary" ] || ! takes_writes "$primary"; then return 1; fi
	log "$primary is the primary"
}

# await_primary SECONDS: until this server takes writes.
await_primary() {
	begin=$(now)
	until says "$rest" /primary && takes_writes 127.0.0.1; do
		if [ $(($(now) - begin)) -ge "$1" ]; then return 1; fi
		sleep 0.2
	done
}

# zookeeper_says ADDRESS WORD: what a ZooKeeper answers to a word of four letters; nothing where there
# is none.
zookeeper_says() {
	# shellcheck disable=SC2016 # bash, not this shell, expands it
	timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/2181" && printf %s "$2" >&3 && cat <&3' bash "$@" 2>/dev/null | tr -d '\000\r' || :
}

# What this host's ZooKeeper is: leader, follower or standalone; nothing where it serves nobody.
zookeeper_mode() {
	zookeeper_says 127.0.0.1 srvr | sed -n 's/^Mode: //p'
}

# await_zookeeper SECONDS: started until it serves. Its guard may say no until others have taken over
# the list of members, so it's tried again.
await_zookeeper() {
	begin=$(now)
	until [ -n "$(zookeeper_mode)" ]; do
		if [ $(($(now) - begin)) -ge "$1" ]; then
			journalctl -q --no-pager -o cat -n 10 -u paas-zookeeper || :
			fail "ZooKeeper serves nobody after $1 s"
		fi
		systemctl start paas-zookeeper 2>/dev/null || :
		sleep 0.5
	done
	log "ZooKeeper serves as $(zookeeper_mode)"
}

# shellcheck disable=SC2034 # not every script needs all of it
# use DATABASE: sets what belongs to the global or the recovery database.
use() {
	database=$1
	case $database in
	global) port=5432 rest=8008 ;;
	recovery) port=5433 rest=8009 ;;
	*) fail "there is no database $database" ;;
	esac
	unit=pg-$database
	config=/etc/patroni/$database.yml
	home=/var/lib/postgresql/paas-$database
}

# sql: runs what it reads as the administrator, on this host's server of the database in use. It
# never waits for a standby.
sql() {
	PGOPTIONS='-c synchronous_commit=local -c statement_timeout=30s' \
		timeout "${sql_patience:-60}" runuser -u postgres -- psql -wqAtX -v ON_ERROR_STOP=1 \
		-h /var/run/postgresql -p "$port" -U postgres "$@"
}

# pg_bin [FOLDER]: where the programs for a data directory are, this host's own unless told. Those of
# another release can't read it; without data, the newest are as good as any.
pg_bin() {
	version=$(cat "${1:-$home/data}/PG_VERSION" 2>/dev/null || :)
	if [ -n "$version" ]; then
		printf '/usr/lib/postgresql/%s/bin\n' "$version"
	else
		find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1
	fi
}

# control NAME [FOLDER]: what a data directory, this host's own unless told, says of itself; nothing
# where there is none.
control() {
	"$(pg_bin "${2:-}")/pg_controldata" "${2:-$home/data}" 2>/dev/null | sed -n "s/^$1: *//p"
}

# The name of the server of the database in use.
own_name() {
	sed -n 's/^ "name": "\(.*\)",$/\1/p' "$config"
}

# Looks at what a host has of the global control plane; changes nothing. One fact a line, for
# lib/ks/facts.rs.
databases='global recovery'
proxy=true
pgpool=true
zookeeper=true
memcached=true
# An entry that leads to a dark room doesn't answer; nor does a server whose disk hangs.
patience=5
# shellcheck disable=SC2034 # sql reads it
sql_patience=5

look_at_database() {
	name=$1
	use "$name"
	printf 'unit %s %s\n' "$name" "$(systemctl is-active "$unit" 2>/dev/null || :)"
	control=$("$(pg_bin)/pg_controldata" "$home/data" 2>/dev/null || :)
	printf 'control %s %s\n' "$name" "$(printf '%s\n' "$control" | sed -n "s/^Latest checkpoint's TimeLineID: *//p")"
	printf 'system %s %s\n' "$name" "$(printf '%s\n' "$control" | sed -n 's/^Database system identifier: *//p')"
	printf 'closed %s %s %s\n' "$name" "$(printf '%s\n' "$control" | sed -n 's/^Latest checkpoint location: *//p')" \
		"$(printf '%s\n' "$control" | sed -n 's/^Database cluster state: *//p')"
	printf 'node %s %s\n' "$name" "$(http GET 127.0.0.1 "$rest" /patroni)"
	printf 'config %s %s\n' "$name" "$(http GET 127.0.0.1 "$rest" /config)"
	printf 'sync %s %s\n' "$name" "$(printf 'show synchronous_standby_names' | sql postgres 2>/dev/null | head -n 1)"
	printf 'received %s %s\n' "$name" "$(printf "select status || ' ' || received_tli || ' ' || sender_host from pg_stat_wal_receiver" | sql postgres 2>/dev/null | head -n 1)"
	printf 'replayed %s %s\n' "$name" "$(printf 'select extract(epoch from pg_last_xact_replay_timestamp())::bigint' | sql postgres 2>/dev/null | head -n 1)"
	printf 'zones %s %s\n' "$name" "$(printf "select string_agg(substr(datname, 6), ' ') from pg_database where starts_with(datname, 'zone_')" | sql postgres 2>/dev/null | head -n 1)"
	printf 'why %s %s\n' "$name" "$(journalctl -q --no-pager -o cat -n 20 -u "$unit" 2>/dev/null | grep '^room-guard: not started' | tail -n 1)"
	for aside in "$home"/data.aside-* "$home"/data.kept-*; do
		if [ -e "$aside" ]; then printf 'aside %s %s\n' "$name" "${aside##*/}"; fi
	done
	for kept in "$home"/wal.before-*; do
		case $kept in *.half) continue ;; esac
		if [ -s "$kept/given-up" ]; then
			printf 'given-up %s %s %s\n' "$name" "$(cat "$kept/given-up")" "${kept##*/}"
		elif [ -d "$kept" ] && ! [ -e "$kept/given-up" ]; then
			printf 'uncounted %s %s\n' "$name" "${kept##*/}"
		fi
	done
}

# Patroni asks ZooKeeper for it, and waits some seconds where that doesn't answer.
look_at_members() {
	use "$1"
	printf 'cluster %s %s\n' "$1" "$(http GET 127.0.0.1 "$rest" /cluster)"
}

look_at_zookeeper() {
	mode=$(zookeeper_mode)
	printf 'zookeeper %s\n' "${mode:-none}"
	# Its whole list is kept aside while it goes on alone.
	list=/etc/zookeeper/paas/zoo.cfg
	if [ -e "$list.whole" ]; then
		if cmp -s "$list" "$list.whole"; then echo rejoining; else echo alone; fi
	fi
	if [ -z "$mode" ]; then
		printf 'zookeeper-why %s\n' "$(journalctl -q --no-pager -o cat -n 20 -u paas-zookeeper 2>/dev/null | grep '^zookeeper-guard: not started' | tail -n 1)"
	fi
}

look_at_proxy() {
	printf 'entry %s\n' "$(cat /var/lib/paas-global-ks/master-room 2>/dev/null || :)"
	printf 'haproxy %s\n' "$(systemctl is-active haproxy || :)"
	fronts
	printf 'health %s\n' "$(http GET 127.0.0.1 7777 /health)"
}

# What haproxy leads to, as itself sees it: `front api-front UP`.
fronts() {
	# shellcheck disable=SC2016 # perl, not this shell, expands it
	timeout 5 perl -MIO::Socket::UNIX -e '
		my $haproxy = IO::Socket::UNIX->new(Peer => "/run/haproxy/admin.sock") or exit;
		print $haproxy "show stat\n";
		print while <$haproxy>;
	' 2>/dev/null | awk -F , '$2 == "BACKEND" { print "front", $1, $18 }' || :
}

look_at_pgpool() {
	password=$(sed -n 's/^pgpool:TEXT//p' /etc/pgpool2/pool_passwd 2>/dev/null || :)
	if command -v psql >/dev/null; then
		said=$(PGPASSWORD=$password PGCONNECT_TIMEOUT=3 timeout 5 psql -wqAtX -h 127.0.0.1 -p 9999 -U pgpool -d global \
			-c "select host(inet_server_addr()) || ' ' || pg_is_in_recovery()" 2>&1 | head -n 1) || :
	else
		said=$(systemctl is-active pgpool2 || :)
	fi
	printf 'pgpool %s\n' "$said"
}

look_at_memcached() {
	# shellcheck disable=SC2016 # bash, not this shell, expands it
	value=$(timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/11211 && printf "get ks_master_zone\r\nquit\r\n" >&3 && cat <&3' 2>/dev/null | tr -d '\r' | sed -n 2p)
	if [ "$value" = END ]; then value=; fi
	printf 'cached %s\n' "$value"
}

# All at once: in a disaster each of them may have to wait until it gives up. A full disk is no
# hindrance, and what hangs on a disk is left behind after a while: nothing can end it.
answers=$(mktemp -d -p /run)
trap 'rm -rf "$answers"' EXIT
asked=
# ask NAME COMMAND...: its answer is a file that has its name once it's whole.
ask() {
	answer=$answers/$1
	shift
	asked="$asked $answer"
	{
		"$@" >"$answer.half" || :
		mv "$answer.half" "$answer"
	} </dev/null >/dev/null 2>&1 &
}
for name in $databases; do
	ask "$name" look_at_database "$name"
	ask "$name-members" look_at_members "$name"
done
if [ "$zookeeper" = true ]; then ask zookeeper look_at_zookeeper; fi
if [ "$proxy" = true ]; then ask proxy look_at_proxy; fi
if [ "$pgpool" = true ]; then ask pgpool look_at_pgpool; fi
if [ "$memcached" = true ]; then ask memcached look_at_memcached; fi
begin=$(now)
for answer in $asked; do
	until [ -e "$answer" ] || [ $(($(now) - begin)) -ge 25 ]; do sleep 0.05; done
	cat "$answer" 2>/dev/null || cat "$answer.half"
done
