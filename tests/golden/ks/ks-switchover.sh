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

# Hands the primary over to a synchronous standby of the same cluster: no acknowledged write is lost.
use global
leader=global1a-pgserver0
candidate=global2a-pgserver0

# Looked at again here: it may have changed since the plan was made. A standby that just came back is
# made synchronous by Patroni within a few seconds.
begin=$(now)
while true; do
	members=$(patronictl -c "$config" list -f tsv | cut -f 2,4 | tail -n +2)
	if printf '%s\n' "$members" | grep -q "^$candidate	Leader"; then
		log "$candidate is the primary already"
		exit 0
	fi
	if ! printf '%s\n' "$members" | grep -q "^$leader	Leader"; then
		fail "$leader isn't the primary any more; look with ks check-pg, then plan again"
	fi
	if printf '%s\n' "$members" | grep -q "^$candidate	Sync Standby"; then break; fi
	if [ $(($(now) - begin)) -ge 30 ]; then
		fail "$candidate isn't a synchronous standby; a switch could lose writes"
	fi
	sleep 1
done
# Patroni 4 doesn't know the option's old name, and 2 knows no other.
option=--master
if patronictl switchover --help | grep -q -e --leader; then option=--leader; fi
patronictl -c "$config" switchover "$database" "$option" "$leader" --candidate "$candidate" --force
# patronictl ends with 0 also where Patroni refused.
begin=$(now)
until patronictl -c "$config" list -f tsv | cut -f 2,4 | grep -q "^$candidate	Leader"; do
	if [ $(($(now) - begin)) -ge 60 ]; then fail "$candidate did not become the primary"; fi
	sleep 0.5
done
