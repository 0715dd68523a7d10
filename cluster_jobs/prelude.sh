#!/bin/sh
# What every script begins with. Runs as root under the on-host supervisor; standard input is
# closed, and both outputs go to the step's log.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
PAAS_USER={{ paas_user }}
PAAS_HOME={{ paas_home }}
OWN_ADDRESS={{ own_address }}
PAAS_ROOT=${PAAS_ROOT:-/var/lib/paas-cluster-build}

log() {
	printf '%s\n' "$*"
}

fail() {
	printf 'error: %s\n' "$*"
	exit 1
}

# Seconds since the machine booted: no clock that somebody sets, so waits are measured by it.
now() {
	cut -d . -f 1 /proc/uptime
}

# Runs a command as the login user, in its home; it reads what is piped into it.
pipe_as_user() {
	(cd "$PAAS_HOME" && exec runuser -u "$PAAS_USER" -- env HOME="$PAAS_HOME" "$@")
}

# The same for a command that is to read nothing.
as_user() {
	pipe_as_user "$@" </dev/null
}

# put_in_place FILE NEW: FILE gets NEW's content by one rename, keeping owner and mode; an equal
# content leaves FILE untouched. A FILE that isn't there yet gets NEW's own owner and mode.
put_in_place() {
	if ! [ -f "$2" ]; then fail "put_in_place $1 $2: $2 isn't there"; fi
	if [ -d "$1" ]; then fail "put_in_place $1 $2: $1 is a folder"; fi
	if cmp -s "$1" "$2"; then
		rm -f "$2"
		return 0
	fi
	if [ -e "$1" ]; then
		chmod --reference="$1" "$2"
		chown --reference="$1" "$2"
	elif ! [ -d "$(dirname "$1")" ]; then
		fail "put_in_place $1 $2: the folder of $1 isn't there; make it first"
	fi
	mv "$2" "$1"
	log "changed ${1#"$PAAS_HOME"/}"
}

# put_new FILE STALE [MODE [GROUP]]: FILE.new becomes FILE, and STALE is noted if that is news; a file
# that isn't there yet gets MODE and GROUP. What is noted in /run is not forgotten if this run is
# killed before the restart; a boot, which forgets it, restarts everything anyway.
put_new() {
	if ! [ -e "$1" ]; then install -m "${3:-0644}" -g "${4:-root}" /dev/null "$1"; fi
	if ! cmp -s "$1" "$1.new"; then : >"$2"; fi
	put_in_place "$1" "$1.new"
}

# need_file FILE: tells early and plainly when a release doesn't fit.
need_file() {
	if ! [ -f "$1" ]; then fail "$1 is missing; does the release fit, and was the machine bootstrapped?"; fi
}

# need_package NAME: tells early and plainly that a package isn't there, and what to do.
need_package() {
	if package_is_installed "$1"; then return 0; fi
	# What bootstrap was last asked to install here, perhaps with an architecture or a version.
	listed=$(grep -o '"packages":{"value":\[[^]]*\]}' "$PAAS_ROOT/receipts/bootstrap.json" 2>/dev/null | head -n 1) || listed=''
	case $listed in
	*"\"$1\""* | *"\"$1="* | *"\"$1:"*)
		fail "$(instead_of_package "$1"): bootstrap installed it, and it was removed since; run \`bootstrap\`, which installs it again"
		;;
	*) fail "$(instead_of_package "$1"); add it to \`packages\` in the cluster file" ;;
	esac
}

# protect FILE: a file that holds a password is the login user's alone.
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
		printf '%s\n' "$2" >"$PAAS_ROOT/secrets/$1.new"
		mv "$PAAS_ROOT/secrets/$1.new" "$PAAS_ROOT/secrets/$1"
	)
}

# A bare machine has neither curl nor nc; bash, which Debian always has, can open connections.
# A service may listen on the host's own address, on the loopback address, or on all.
tcp_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		if timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$address" "$1" 2>/dev/null; then
			return 0
		fi
	done
	log "nothing answers on port $1"
	return 1
}

# http_answers PORT PATH [HEADER [DIGITS]]: GET gets a status that begins with one of the DIGITS, 2
# unless said otherwise. What is asked goes through a pipe: a header may hold a password.
http_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		said=$(
			{
				printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n' "$2"
				if [ -n "${3:-}" ]; then printf '%s\r\n' "$3"; fi
				printf '\r\n'
			} | timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit; cat >&3; cat <&3' \
				bash "$address" "$1" 2>/dev/null | tr -d '\000\r'
		) || :
		if [ -n "$said" ]; then break; fi
	done
	case $said in
	'HTTP/1.'[01]' '["${4:-2}"]*) return 0 ;;
	'') log "nothing answers http on port $1" ;;
	*) log "port $1 answers $2 with $(printf '%s\n' "$said" | head -n 1): $(printf '%s\n' "$said" | tail -n 1)" ;;
	esac
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
