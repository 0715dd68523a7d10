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

# Has this server follow the primary: started, then, where it doesn't get on by itself, copied anew.
# What it had is kept aside until the copy is proved.
use global
primary=10.8.5.12
peers='10.8.4.11 10.8.4.12'
room_has_own_cluster=true
given_up=true

# Without a source nothing can be copied, and what is here may be the best that's left.
begin=$(now)
until [ -n "$(primary_among "$primary")" ]; do
	if [ $(($(now) - begin)) -ge 20 ]; then
		fail "this host can't reach the primary at $primary; nothing was changed"
	fi
	sleep 1
done
if says "$rest" /primary; then fail 'this server is a primary itself; it has to be stopped first'; fi
about=$(http GET "$primary" "$rest" /patroni)
timeline=$(printf '%s\n' "$about" | sed -n 's/.*"timeline": *\([0-9]*\).*/\1/p')
identifier=$(printf '%s\n' "$about" | sed -n 's/.*"database_system_identifier": *"\([0-9]*\)".*/\1/p')
if [ -z "$timeline" ]; then fail "the primary at $primary doesn't say on which timeline it is"; fi

# It receives from its source at this moment, on the primary's timeline.
follows() {
	said=$(printf "select status || ' ' || received_tli from pg_stat_wal_receiver" | sql postgres 2>/dev/null) || return 1
	[ "$said" = "streaming $timeline" ]
}

# gets_on: more is replayed than ever since the wait began, or more is on the disk. One that starts
# again and again changes, too, but gets nowhere.
gets_on() {
	replayed=$(printf "select pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint" | sql postgres 2>/dev/null || :)
	size=$(du -sk "$home" 2>/dev/null | cut -f 1)
	[ "${replayed:-0}" -gt "$most_replayed" ] || [ "${size:-0}" -gt "$most_size" ] || return 1
	if [ "${replayed:-0}" -gt "$most_replayed" ]; then most_replayed=$replayed; fi
	if [ "${size:-0}" -gt "$most_size" ]; then most_size=$size; fi
}

# Neither shows in that how far it is: a rewind, and recovery after a crash, of which only the name of
# the segment changes. They get ten minutes.
is_recovering() {
	before=$segment
	segment=$(pgrep -u postgres -a -f 'startup recovering' | cut -d ' ' -f 2- || :)
	if [ $(($(now) - since)) -ge 600 ]; then return 1; fi
	[ "$segment" != "$before" ] || pgrep -u postgres -f pg_rewind >/dev/null
}

# wait_following SECONDS: gives up when it hasn't got on for so long.
wait_following() {
	since=$(now)
	begin=$since
	most_replayed=0
	most_size=0
	segment=
	until follows; do
		if gets_on || is_recovering; then
			begin=$(now)
		elif [ $(($(now) - begin)) -ge "$1" ]; then
			return 1
		fi
		sleep 1
	done
}

# A server of this room, which are the peers, leads it.
# shellcheck disable=SC2086 # addresses, a word each
room_is_led() {
	for role in /primary /standby-leader; do
		if ask_all "$role" $peers | grep -q ' 200$'; then return 0; fi
	done
	return 1
}

# Nobody else in the room leads, so the copy comes from the other room: Patroni makes it only where
# it believes the cluster to be new. Never in a cluster that goes across the rooms.
forget_initialized() {
	if [ "$room_has_own_cluster" != true ]; then return 0; fi
	if room_is_led; then return 0; fi
	python3 - "$config" "$database" <<-'END'
		import json, logging, sys
		from kazoo.client import KazooClient
		logging.disable(logging.CRITICAL)
		with open(sys.argv[1]) as file:
		    settings = json.load(file)
		client = KazooClient(hosts=",".join(settings["zookeeper"]["hosts"]), timeout=10)
		client.start(timeout=15)
		service = f"/service/{sys.argv[2]}"
		if client.exists(service + "/initialize"):
		    client.delete(service + "/initialize")
		client.stop()
	END
}

# What is here may be what nobody else has. The plan has looked as well; this is the last moment.
may_be_replaced() {
	own=$(control 'Database system identifier')
	if [ -n "$own" ] && [ -n "$identifier" ] && [ "$own" != "$identifier" ]; then
		fail "what is here is another database ($own) than the primary's ($identifier); nothing was changed"
	fi
	own=$(control "Latest checkpoint's TimeLineID")
	if [ "${own:-0}" -gt "$timeline" ] && [ "$given_up" != true ]; then
		fail "what is here was on timeline $own, later than the primary ($timeline); nothing was changed: look again"
	fi
}

# has_own FOLDER: its server was a primary on a timeline that the primary of today doesn't know, or
# of another database.
has_own() {
	if [ "$(control 'Database system identifier' "$1")" != "$identifier" ]; then return 0; fi
	case $(control 'Database cluster state' "$1") in *recovery) return 1 ;; esac
	led=$(control "Latest checkpoint's TimeLineID" "$1")
	[ "${led:-0}" -ge "$timeline" ]
}

copy_anew() {
	may_be_replaced
	systemctl stop "$unit"
	# A copy that broke off is nothing to keep: this file comes last. Nor is a third one: the first may
	# have what nobody else has, and the disk isn't endless.
	if [ -e "$home/data/global/pg_control" ] && [ "$(find "$home" -maxdepth 1 -name 'data.aside-*' | wc -l)" -lt 2 ]; then
		aside=$home/data.aside-$(date -u +%Y%m%dT%H%M%SZ)
		mv "$home/data" "$aside"
		log "kept aside: $aside"
	else
		rm -rf "$home/data"
	fi
	forget_initialized
	systemctl start "$unit"
	if ! wait_following 300; then
		journalctl -q --no-pager -n 20 -u "$unit" || :
		fail "it doesn't get on; its old data is still there"
	fi
}

# count_given_up LOG: how many transactions a log has that the primary's history doesn't: what this
# room committed after the other one was promoted.
count_given_up() {
	own=$(find "$1" -maxdepth 1 -type f -name '????????????????????????' | sort | tail -n 1)
	if [ -z "$own" ]; then return 0; fi
	own=$(basename "$own" | cut -c 1-8)
	parted=$(awk -v own="$((0x$own))" '$1 == own { print $2 }' \
		"$(printf '%s/data/pg_wal/%08X.history' "$home" "$timeline")" 2>/dev/null || :)
	if [ -z "$parted" ]; then return 0; fi
	bin=$(pg_bin)
	# It ends where the log breaks off, with an error.
	"$bin/pg_waldump" -p "$1" -t "$((0x$own))" -s "$parted" -r Transaction 2>/dev/null | grep -c 'desc: COMMIT' || :
}

systemctl enable --quiet "$unit"
systemctl start "$unit" || systemctl start --no-block "$unit"
if ! wait_following 60; then
	log 'it does not catch up by itself: it is copied anew'
	copy_anew
fi
# It streams before its room's ZooKeeper knows that it leads the room; another one that started in
# this moment would take itself for the leader, and the way to the other room is for one.
if [ "$room_has_own_cluster" = true ]; then
	begin=$(now)
	until room_is_led; do
		if [ $(($(now) - begin)) -ge 60 ]; then fail "it follows, but no server of its room leads the room after 60 s"; fi
		sleep 0.5
	done
fi
log "follows on timeline $timeline"
for old in "$home"/wal.before-*; do
	case $old in *.half) continue ;; esac
	if [ -d "$old" ] && ! [ -e "$old/given-up" ]; then
		count_given_up "$old" >"$old/given-up.new"
		mv "$old/given-up.new" "$old/given-up"
		if [ -s "$old/given-up" ]; then log "given up: $(cat "$old/given-up") transactions, kept in $old"; fi
	fi
done
for old in "$home"/data.aside-*; do
	if [ -e "$old" ]; then
		if has_own "$old"; then
			mv "$old" "$home/data.kept-${old##*.aside-}"
			log "kept in data.kept-${old##*.aside-}: it has what the primary never had"
			continue
		fi
		count=$(count_given_up "$old/pg_wal")
		if [ -n "$count" ]; then log "given up: $count transactions"; fi
		rm -rf "$old"
		log "removed ${old##*/}: the copy is proved"
	fi
done
