#!/bin/sh
# What every script begins with. Runs as root under the on-host supervisor; standard input is
# closed, and both outputs go to the step's log.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
PAAS_USER=paas
PAAS_HOME=/home/paas
OWN_ADDRESS=10.0.0.7
RELEASE=$PAAS_HOME/paas-release.git
PAAS_ROOT=${PAAS_ROOT:-/var/lib/paas-cluster-build}

log() {
	printf '%s\n' "$*"
}

fail() {
	printf 'error: %s\n' "$*"
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

# paas COMPONENT ACTION: the release's own command.
paas() {
	as_user "$RELEASE/bin/paas" "$@"
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

# refuse_control FILE KEY VALUE: a value of several lines could not be found again as a whole.
refuse_control() {
	case $3 in
	*[[:cntrl:]]*) fail "the value for $2 in $1 holds a line break or control character" ;;
	esac
}

# edit_setting FILE KEY VALUE STYLE: sets a scalar of a YAML file in place, whatever it was before.
# KEY is a path such as database.host. Comments, order and everything else stay as they are.
# STYLE is "plain" for numbers and addresses or "text" for what must stay text ('12').
# What it can't do safely it refuses, and names file and key; never the value, it may be secret.
# A subshell, so that the caller's variables and umask stay its own.
edit_setting() (
	need_file "$1"
	refuse_control "$@"
	case $3 in
	# The file is a template of the release: there, this begins code.
	*'<%'*) fail "the value for $2 in $1 holds <%, which the release would run as code" ;;
	esac
	umask 077
	# Always this name, so that a killed run leaves one at most; never readable by others.
	new=$1.new
	rm -f "$new"
	status=0
	# The value goes in by a pipe: arguments and environments can be read in /proc.
	printf '%s\n' "$3" | SETTING_KEY=$2 SETTING_STYLE=$4 awk '
		function scalar(value) {
			if (ENVIRON["SETTING_STYLE"] == "plain" && value ~ "^[A-Za-z0-9_/][A-Za-z0-9_.:/@-]*$" && value !~ ":$")
				return value
			gsub(quote, quote quote, value)
			return quote value quote
		}
		BEGIN {
			getline setting <"-"
			quote = sprintf("%c", 39)
			quoted = "^(" quote "([^" quote "]|" quote quote ")*" quote "|\"([^\"\\\\]|\\\\.)*\")"
			count = split(ENVIRON["SETTING_KEY"], want, ".")
			depth = 0
			done = 0
			sure = 0
		}
		# Comments and lines of template code may stand at any depth: they end no mapping.
		sure || /^[ ]*(#|<%|$)/ { print; next }
		{
			match($0, /^ */)
			indent = RLENGTH
		}
		# The line after the setting tells whether that was a single value.
		done {
			if (indent > level[depth] || indent == level[depth] && /^ *-( |$)/) exit 4
			sure = 1
			print
			next
		}
		{
			while (depth > 0 && indent <= level[depth]) depth--
			depth++
			level[depth] = indent
			# Not a key: an item of a list, for example. What is below it has no path of keys.
			name[depth] = ""
			rest = substr($0, indent + 1)
			if (!match(rest, /^[A-Za-z_][A-Za-z0-9_-]*:( |$)/)) { print; next }
			key = substr(rest, 1, RLENGTH)
			sub(/: ?$/, "", key)
			name[depth] = key
			found = depth == count
			for (i = 1; i <= count && found; i++) found = name[i] == want[i]
			if (!found) { print; next }
			old = substr(rest, length(key) + 2)
			sub(/^ */, "", old)
			if (match(old, quoted)) old = substr(old, RLENGTH + 1)
			comment = match(old, /(^|[ \t]+)#.*$/) ? substr(old, RSTART) : ""
			sub(/^[ \t]*/, " ", comment)
			if (comment == " ") comment = ""
			printf "%s%s: %s%s\n", substr($0, 1, indent), key, scalar(setting), comment
			done = 1
		}
		END { if (!done) exit 3 }
	' "$1" >"$new" || status=$?
	if [ "$status" -ne 0 ]; then
		rm -f "$new"
		case $status in
		3) fail "$1 has no setting $2" ;;
		4) fail "the setting $2 in $1 is more than a single value" ;;
		esac
		fail "$1 could not be edited (is the disk full?)"
	fi
	put_in_place "$1" "$new"
)

# set_setting FILE KEY VALUE: an address, number or URL.
set_setting() {
	edit_setting "$1" "$2" "$3" plain
}

# set_text FILE KEY VALUE: a text, also one that looks like a number.
set_text() {
	edit_setting "$1" "$2" "$3" text
}

# set_assignment FILE NAME VALUE: sets the line NAME=value of a shell script in place; a comment
# behind it stays. A subshell, as edit_setting is.
set_assignment() (
	need_file "$1"
	refuse_control "$@"
	umask 077
	new=$1.new
	rm -f "$new"
	status=0
	printf '%s\n' "$3" | SETTING_KEY=$2 awk '
		function word(value) {
			if (value ~ "^[A-Za-z0-9_.:/@-]+$") return value
			gsub(quote, quote "\\" quote quote, value)
			return quote value quote
		}
		BEGIN {
			getline setting <"-"
			quote = sprintf("%c", 39)
			start = ENVIRON["SETTING_KEY"] "="
			# A word of the shell: quoted, escaped or plain pieces, one after the other.
			old = "^(" quote "[^" quote "]*" quote "|\"([^\"\\\\]|\\\\.)*\"|\\\\.|[^ \t;&|<>()`\"\\\\" quote "])*"
			done = 0
		}
		index($0, start) == 1 {
			done = 1
			rest = substr($0, length(start) + 1)
			match(rest, old)
			rest = substr(rest, RLENGTH + 1)
			# A command behind the word would be lost.
			if (rest !~ /^[ \t]*(#|$)/) exit 4
			print start word(setting) rest
			next
		}
		{ print }
		END { if (!done) exit 3 }
	' "$1" >"$new" || status=$?
	if [ "$status" -ne 0 ]; then
		rm -f "$new"
		case $status in
		3) fail "$1 has no line $2=" ;;
		4) fail "the line $2= in $1 is more than a single value" ;;
		esac
		fail "$1 could not be edited (is the disk full?)"
	fi
	put_in_place "$1" "$new"
)

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

# http_answers PORT PATH: GET gets a 2xx status.
http_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		said=$(timeout 10 bash -c '
			exec 3<>"/dev/tcp/$1/$2" || exit
			printf "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n" "$3" >&3
			cat <&3
		' bash "$address" "$1" "$2" 2>/dev/null | tr -d '\000\r') || :
		if [ -n "$said" ]; then break; fi
	done
	case $said in
	'HTTP/1.'[01]' 2'*) return 0 ;;
	'') log "nothing answers http on port $1" ;;
	*) log "port $1 answers $2 with $(printf '%s\n' "$said" | head -n 1): $(printf '%s\n' "$said" | tail -n 1)" ;;
	esac
	return 1
}

# service_healthy COMPONENT: the release says so.
service_healthy() {
	if said=$(paas "$1" status 2>&1); then return 0; fi
	log "$1: $(printf '%s\n' "$said" | tail -n 1)"
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

# What dpkg says of packages. A wanted package is written as for apt: a name, perhaps with an
# architecture (libc6:i386), perhaps with a version (nginx=1.22.1-9). A bare name also counts as
# installed where an installed package provides it, as mawk provides awk.

package_is_installed() {
	name=${1%%=*}
	# One line for each architecture; a package that has to be reinstalled isn't there.
	found=$(dpkg-query -W -f '${db:Status-Status} ${db:Status-Eflag} ${Version}\n' "$name" 2>/dev/null) || found=''
	case $1 in
	*=*) printf '%s\n' "$found" | grep -qxF "installed ok ${1#*=}" ;;
	*) printf '%s\n' "$found" | grep -q '^installed ok ' || package_is_provided "$1" ;;
	esac
}

package_is_provided() {
	dpkg-query -W -f '${db:Status-Status}\t${Provides}\n' | awk -F '\t' -v name="$1" '
		$1 == "installed" {
			count = split($2, provided, /, */)
			for (i = 1; i <= count; i++) {
				sub(/[ (:].*/, "", provided[i])
				if (provided[i] == name) found = 1
			}
		}
		END { exit !found }
	'
}

# Names the wanted packages that aren't installed, one a line.
missing_packages() {
	for package in "$@"; do
		if ! package_is_installed "$package"; then printf '%s\n' "$package"; fi
	done
}

# Says what there is in place of a wanted package.
instead_of_package() {
	found=$(dpkg-query -W -f '${db:Status-Status} ${Version}\n' "${1%%=*}" 2>/dev/null | head -n 1) || found=''
	case $found in
	'' | not-installed* | config-files*) printf "%s isn't installed" "${1%%=*}" ;;
	'installed '*) printf '%s is %s, and %s is wanted' "${1%%=*}" "${found#* }" "${1#*=}" ;;
	*) printf '%s is %s' "${1%%=*}" "${found%% *}" ;;
	esac
}

# need_packages WANTED…: ends with 1 and a line that names all that is missing.
need_packages() {
	missing=$(missing_packages "$@")
	if [ -z "$missing" ]; then return 0; fi
	said=''
	for package in $missing; do said="$said${said:+; }$(instead_of_package "$package")"; done
	printf '%s; bootstrap installs it\n' "$said"
	exit 1
}

# Looks once whether everything answers; prints the first thing that doesn't.
check_health() {
	:
	unit_active redis-server || return 1
	tcp_answers 6379 || return 1
	command_succeeds 'redis-cli ping | grep -q PONG' || return 1
}

# How far the journal was when the step began, and how long the logs were, in their order.
journal_began=''
logs_began=''

# Begins to watch the step: where it fails, whatever line it is, its services' own words are shown.
watch_step() {
	journal_began=$(journalctl -q -n 0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p') || journal_began=''
	note_log /var/log/redis/redis-server.log
	trap 'tell_failure $?' EXIT
}

# Sets file to the path of a log, which may be relative to the login user's home, and size to its
# length.
find_log() {
	file=$1
	case $file in
	/*) ;;
	*) file=$PAAS_HOME/$file ;;
	esac
	size=$(wc -c 2>/dev/null <"$file") || size=0
}

note_log() {
	find_log "$1"
	logs_began="$logs_began$size "
}

# The controller shows what stands behind this line apart from the step's own last words.
tell_failure() {
	if [ "$1" -eq 0 ]; then return 0; fi
	set +e
	echo '=== what its services say'
	show_log /var/log/redis/redis-server.log
	show_journal redis-server
	exit "$1"
}

# Shows the end of what a log has got since the step began; of one that has got nothing, its end.
show_log() {
	began=${logs_began%% *}
	logs_began=${logs_began#* }
	find_log "$1"
	if [ "$size" -eq 0 ]; then return 0; fi
	if [ "$size" -gt "${began:-0}" ]; then
		log "--- $file, since the step began"
		tail -c "+$((began + 1))" "$file" | some_lines 20
	elif [ "$size" -lt "$began" ]; then
		log "--- $file, which was begun anew"
		some_lines 20 <"$file"
	else
		log "--- the end of $file, which has got nothing since the step began"
		some_lines 5 <"$file"
	fi
}

show_journal() {
	said=$(journalctl -q --no-pager -o short-iso -n 20 -u "$1" ${journal_began:+"--after-cursor=$journal_began"} 2>/dev/null)
	if [ -z "$said" ]; then return 0; fi
	log "--- the journal of $1, since the step began"
	printf '%s\n' "$said" | some_lines 20
}

# The last lines, $1 at most, none too long.
some_lines() {
	tail -n "$1" | tr -d '\000' | cut -c -400
}

# Waits until check_health is content. There is no event to wait for when a port opens, so it
# looks again, less and less often.
wait_healthy() {
	limit=30
	begin=$(date +%s)
	pause=0.2
	until said=$(check_health); do
		if [ $(($(date +%s) - begin)) -ge "$limit" ]; then
			fail "not healthy after $limit s: $said"
		fi
		sleep "$pause"
		pause=1
	done
	log healthy
}

watch_step

# Debian's Redis listens on the loopback address only until it's told otherwise. What we set is in a
# file of its own, which the packaged configuration includes.
main=/etc/redis/redis.conf
ours=/etc/redis/cluster.conf
listen=10.0.0.7
memory=32
need_package redis-server

if ! grep -qxF "include $ours" "$main"; then printf 'include %s\n' "$ours" >>"$main"; fi
install -m 0640 -o redis -g redis /dev/null "$ours.new"
printf '%s\n' "bind 127.0.0.1 $listen" 'protected-mode no' "maxmemory ${memory}mb" >"$ours.new"
put_in_place "$ours" "$ours.new"

# This runs only where something is new or ill, so a restart costs nothing; and the one that a
# killed run didn't come to is made up for.
systemctl enable --quiet redis-server
systemctl restart redis-server

wait_healthy
