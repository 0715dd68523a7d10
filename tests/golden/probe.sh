#!/bin/sh
# shellcheck disable=SC2016 # each check below is a script of its own, handed over as one word
# Looks at a host and prints what it finds, one fact a line: "key value". Changes nothing.
# Runs as root; lib/plan/facts.rs reads the output.
set -eu
LC_ALL=C
export LC_ALL
root=${PAAS_ROOT:-/var/lib/paas-cluster-build}

# Prints the lines of a file that may be missing.
lines_of() {
	if [ -r "$1" ]; then cat "$1"; fi
}

os_release() {
	(
		# shellcheck disable=SC1091
		. /etc/os-release 2>/dev/null || exit 0
		printf 'os_id %s\nos_version %s\nos_name %s\n' \
			"${ID:-}" "${VERSION_ID:-}" "${PRETTY_NAME:-}"
	)
}

# The kernel lists sockets in hex; state 0A is LISTEN. It needs no program that a bare
# machine may lack.
listening_ports() {
	{
		lines_of /proc/net/tcp
		lines_of /proc/net/tcp6
	} | awk '$4 == "0A" { split($2, part, ":"); print part[2] }' | sort -u | while read -r hex; do
		printf 'port %d\n' "0x$hex"
	done
}

# Runs one step's check, only where the step has left a receipt.
check_health() {
	if ! [ -e "$root/receipts/$1.json" ]; then return 0; fi
	if said=$(printf '%s\n' "$2" | timeout 60 sh 2>&1); then
		printf 'healthy %s\n' "$1"
	else
		printf 'unhealthy %s %s\n' "$1" "$(printf '%s\n' "$said" | tail -n 1)"
	fi
}

# Tells whether the process in the file $1 is there and has $2 on its command line.
at_work() {
	{ read -r number <"$1"; } 2>/dev/null || return 1
	grep -qaF -- "$2" "/proc/$number/cmdline" 2>/dev/null
}

# Tells whether a step's instance leads the others, only where the step has left a receipt.
check_leader() {
	if ! [ -e "$root/receipts/$1.json" ]; then return 0; fi
	if printf '%s\n' "$2" | timeout 30 sh >/dev/null 2>&1; then printf 'leader %s\n' "$1"; fi
}

# Who has the host now, and whether a controller follows that step. The lock itself isn't touched:
# whoever starts a step in this moment shall not find it taken.
holder() {
	{ read -r note && read -r left; } 2>/dev/null <"$root/holder" || return 0
	if at_work "$left/pid" "$left/wrapper" || at_work "$left/step-pid" "$left/script"; then
		followed=yes
		if flock -n -x "$left/followed" true 2>/dev/null; then followed=no; fi
		printf 'busy %s %s\n' "$followed" "$note"
	fi
}

os_release
holder
if [ -d /run/systemd/system ]; then echo 'init systemd'; else echo 'init other'; fi
df -Pk /var/lib 2>/dev/null | awk 'NR == 2 { print "disk_free_kib " $4 }'
listening_ports
for file in "$root"/receipts/*.json; do
	if ! [ -e "$file" ]; then continue; fi
	step=${file##*/}
	printf 'receipt %s %s\n' "${step%.json}" "$(tr '\n' ' ' <"$file")"
done
for file in "$root"/secrets/*; do
	if ! [ -f "$file" ]; then continue; fi
	printf 'secret %s %s\n' "${file##*/}" "$(head -n 1 "$file")"
done
check_health bootstrap 'test -x /home/paas/paas-release.git/bin/paas || { echo /home/paas/paas-release.git/bin/paas is missing; exit 1; }
'
check_health mysql_gateway '#!/bin/sh
# What every script begins with. Runs as root under the on-host supervisor; standard input is
# closed, and both outputs go to the step'\''s log.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
PAAS_USER=paas
PAAS_HOME=/home/paas
OWN_ADDRESS=10.1.59.175
RELEASE=$PAAS_HOME/paas-release.git
PAAS_ROOT=${PAAS_ROOT:-/var/lib/paas-cluster-build}

log() {
	printf '\''%s\n'\'' "$*"
}

fail() {
	printf '\''error: %s\n'\'' "$*"
	exit 1
}

# Runs a command as the login user, in its home; it reads what is piped into it.
pipe_as_user() {
	(cd "$PAAS_HOME" && exec runuser -u "$PAAS_USER" -- env HOME="$PAAS_HOME" "$@")
}

# The same for a command that is to read nothing.
as_user() {
	pipe_as_user "$@" </dev/null
}

# paas COMPONENT ACTION: the release'\''s own command.
paas() {
	as_user "$RELEASE/bin/paas" "$@"
}

# put_in_place FILE NEW: FILE gets NEW'\''s content by one rename, keeping owner and mode; an equal
# content leaves FILE untouched.
put_in_place() {
	if cmp -s "$1" "$2"; then
		rm -f "$2"
		return 0
	fi
	chmod --reference="$1" "$2"
	chown --reference="$1" "$2"
	mv "$2" "$1"
	log "changed ${1#"$PAAS_HOME"/}"
}

# put_new FILE STALE [MODE [GROUP]]: FILE.new becomes FILE, and STALE is noted if that is news; a file
# that isn'\''t there yet gets MODE and GROUP. What is noted in /run is not forgotten if this run is
# killed before the restart; a boot, which forgets it, restarts everything anyway.
put_new() {
	if ! [ -e "$1" ]; then install -m "${3:-0644}" -g "${4:-root}" /dev/null "$1"; fi
	if ! cmp -s "$1" "$1.new"; then : >"$2"; fi
	put_in_place "$1" "$1.new"
}

# need_file FILE: tells early and plainly when a release doesn'\''t fit.
need_file() {
	if ! [ -f "$1" ]; then fail "$1 is missing; does the release fit, and was the machine bootstrapped?"; fi
}

# protect FILE: a file that holds a password is the login user'\''s alone.
protect() {
	need_file "$1"
	chmod 0600 "$1"
	chown "$PAAS_USER" "$1"
}

# keep_secret NAME VALUE: kept on this host, so that any workstation can go on with the cluster.
keep_secret() {
	(
		umask 077
		mkdir -p "$PAAS_ROOT/secrets"
		chmod 0700 "$PAAS_ROOT/secrets"
		printf '\''%s\n'\'' "$2" >"$PAAS_ROOT/secrets/$1.new"
		mv "$PAAS_ROOT/secrets/$1.new" "$PAAS_ROOT/secrets/$1"
	)
}

# A bare machine has neither curl nor nc; bash, which Debian always has, can open connections.
# A service may listen on the host'\''s own address, on the loopback address, or on all.
tcp_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		if timeout 5 bash -c '\''exec 3<>"/dev/tcp/$1/$2"'\'' bash "$address" "$1" 2>/dev/null; then
			return 0
		fi
	done
	log "nothing answers on port $1"
	return 1
}

# http_answers PORT PATH: GET gets a 2xx status.
http_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		said=$(timeout 10 bash -c '\''
			exec 3<>"/dev/tcp/$1/$2" || exit
			printf "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n" "$3" >&3
			cat <&3
		'\'' bash "$address" "$1" "$2" 2>/dev/null | tr -d '\''\000\r'\'') || :
		if [ -n "$said" ]; then break; fi
	done
	case $said in
	'\''HTTP/1.'\''[01]'\'' 2'\''*) return 0 ;;
	'\'''\'') log "nothing answers http on port $1" ;;
	*) log "port $1 answers $2 with $(printf '\''%s\n'\'' "$said" | head -n 1): $(printf '\''%s\n'\'' "$said" | tail -n 1)" ;;
	esac
	return 1
}

# service_healthy COMPONENT: the release says so.
service_healthy() {
	if said=$(paas "$1" status 2>&1); then return 0; fi
	log "$1: $(printf '\''%s\n'\'' "$said" | tail -n 1)"
	return 1
}

unit_active() {
	if systemctl is-active --quiet "$1"; then return 0; fi
	log "the unit $1 is $(systemctl is-active "$1" || :)"
	return 1
}

command_succeeds() {
	if timeout 30 sh -c "$1" >/dev/null 2>&1; then return 0; fi
	log "the check failed: $1"
	return 1
}

# Looks once whether everything answers; prints the first thing that doesn'\''t.
check_health() {
	:
	service_healthy mysql_gateway || return 1
	http_answers 8085 /health || return 1
}

# What the service itself says of its trouble.
show_logs() {
	:
	show_log build_dir/log/mysql_gateway.log
}

show_log() {
	file=$1
	case $file in
	/*) ;;
	*) file=$PAAS_HOME/$file ;;
	esac
	if [ -s "$file" ]; then
		log "--- the end of $file"
		tail -n 30 "$file"
	fi
}

# Waits until check_health is content. There is no event to wait for when a port opens, so it
# looks again, less and less often.
wait_healthy() {
	limit=90
	begin=$(date +%s)
	pause=0.2
	until said=$(check_health); do
		if [ $(($(date +%s) - begin)) -ge "$limit" ]; then
			show_logs
			fail "not healthy after $limit s: $said"
		fi
		sleep "$pause"
		pause=1
	done
	log healthy
}

check_health
'
check_health mysql_node '#!/bin/sh
# What every script begins with. Runs as root under the on-host supervisor; standard input is
# closed, and both outputs go to the step'\''s log.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
PAAS_USER=paas
PAAS_HOME=/home/paas
OWN_ADDRESS=10.1.59.175
RELEASE=$PAAS_HOME/paas-release.git
PAAS_ROOT=${PAAS_ROOT:-/var/lib/paas-cluster-build}

log() {
	printf '\''%s\n'\'' "$*"
}

fail() {
	printf '\''error: %s\n'\'' "$*"
	exit 1
}

# Runs a command as the login user, in its home; it reads what is piped into it.
pipe_as_user() {
	(cd "$PAAS_HOME" && exec runuser -u "$PAAS_USER" -- env HOME="$PAAS_HOME" "$@")
}

# The same for a command that is to read nothing.
as_user() {
	pipe_as_user "$@" </dev/null
}

# paas COMPONENT ACTION: the release'\''s own command.
paas() {
	as_user "$RELEASE/bin/paas" "$@"
}

# put_in_place FILE NEW: FILE gets NEW'\''s content by one rename, keeping owner and mode; an equal
# content leaves FILE untouched.
put_in_place() {
	if cmp -s "$1" "$2"; then
		rm -f "$2"
		return 0
	fi
	chmod --reference="$1" "$2"
	chown --reference="$1" "$2"
	mv "$2" "$1"
	log "changed ${1#"$PAAS_HOME"/}"
}

# put_new FILE STALE [MODE [GROUP]]: FILE.new becomes FILE, and STALE is noted if that is news; a file
# that isn'\''t there yet gets MODE and GROUP. What is noted in /run is not forgotten if this run is
# killed before the restart; a boot, which forgets it, restarts everything anyway.
put_new() {
	if ! [ -e "$1" ]; then install -m "${3:-0644}" -g "${4:-root}" /dev/null "$1"; fi
	if ! cmp -s "$1" "$1.new"; then : >"$2"; fi
	put_in_place "$1" "$1.new"
}

# need_file FILE: tells early and plainly when a release doesn'\''t fit.
need_file() {
	if ! [ -f "$1" ]; then fail "$1 is missing; does the release fit, and was the machine bootstrapped?"; fi
}

# protect FILE: a file that holds a password is the login user'\''s alone.
protect() {
	need_file "$1"
	chmod 0600 "$1"
	chown "$PAAS_USER" "$1"
}

# keep_secret NAME VALUE: kept on this host, so that any workstation can go on with the cluster.
keep_secret() {
	(
		umask 077
		mkdir -p "$PAAS_ROOT/secrets"
		chmod 0700 "$PAAS_ROOT/secrets"
		printf '\''%s\n'\'' "$2" >"$PAAS_ROOT/secrets/$1.new"
		mv "$PAAS_ROOT/secrets/$1.new" "$PAAS_ROOT/secrets/$1"
	)
}

# A bare machine has neither curl nor nc; bash, which Debian always has, can open connections.
# A service may listen on the host'\''s own address, on the loopback address, or on all.
tcp_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		if timeout 5 bash -c '\''exec 3<>"/dev/tcp/$1/$2"'\'' bash "$address" "$1" 2>/dev/null; then
			return 0
		fi
	done
	log "nothing answers on port $1"
	return 1
}

# http_answers PORT PATH: GET gets a 2xx status.
http_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		said=$(timeout 10 bash -c '\''
			exec 3<>"/dev/tcp/$1/$2" || exit
			printf "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n" "$3" >&3
			cat <&3
		'\'' bash "$address" "$1" "$2" 2>/dev/null | tr -d '\''\000\r'\'') || :
		if [ -n "$said" ]; then break; fi
	done
	case $said in
	'\''HTTP/1.'\''[01]'\'' 2'\''*) return 0 ;;
	'\'''\'') log "nothing answers http on port $1" ;;
	*) log "port $1 answers $2 with $(printf '\''%s\n'\'' "$said" | head -n 1): $(printf '\''%s\n'\'' "$said" | tail -n 1)" ;;
	esac
	return 1
}

# service_healthy COMPONENT: the release says so.
service_healthy() {
	if said=$(paas "$1" status 2>&1); then return 0; fi
	log "$1: $(printf '\''%s\n'\'' "$said" | tail -n 1)"
	return 1
}

unit_active() {
	if systemctl is-active --quiet "$1"; then return 0; fi
	log "the unit $1 is $(systemctl is-active "$1" || :)"
	return 1
}

command_succeeds() {
	if timeout 30 sh -c "$1" >/dev/null 2>&1; then return 0; fi
	log "the check failed: $1"
	return 1
}

# Looks once whether everything answers; prints the first thing that doesn'\''t.
check_health() {
	:
	service_healthy mysql_node || return 1
	http_answers 8086 /health || return 1
}

# What the service itself says of its trouble.
show_logs() {
	:
	show_log build_dir/log/mysql_node.log
}

show_log() {
	file=$1
	case $file in
	/*) ;;
	*) file=$PAAS_HOME/$file ;;
	esac
	if [ -s "$file" ]; then
		log "--- the end of $file"
		tail -n 30 "$file"
	fi
}

# Waits until check_health is content. There is no event to wait for when a port opens, so it
# looks again, less and less often.
wait_healthy() {
	limit=90
	begin=$(date +%s)
	pause=0.2
	until said=$(check_health); do
		if [ $(($(date +%s) - begin)) -ge "$limit" ]; then
			show_logs
			fail "not healthy after $limit s: $said"
		fi
		sleep "$pause"
		pause=1
	done
	log healthy
}

check_health
'
# Last, so that the time that the checks took doesn't look like a wrong clock.
date '+clock %s'