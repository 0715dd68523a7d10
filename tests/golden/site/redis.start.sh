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
# The usual place is a guess, for where vars.paas_home says nothing: the account database knows.
if [ "$PAAS_HOME" = "/home/$PAAS_USER" ]; then
	account_home=$(getent passwd -- "$PAAS_USER" | cut -d : -f 6)
	PAAS_HOME=${account_home:-$PAAS_HOME}
fi
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

# Driving a release whose command can't be believed. One with jobs/<component>/control.rb exits with 0
# whatever happened, doesn't read a changed configuration when the service runs, doesn't wait until
# it's ready, and starts nothing after a reboot. All of that is done here, by a unit of systemd that
# runs the command. A release of the other kind does it itself.
RELEASE=$PAAS_HOME/paas-release.git
UNITS=${PAAS_UNITS:-/etc/systemd/system}

is_plain() {
	[ -e "$RELEASE/jobs/$1/control.rb" ]
}

unit_of() {
	printf 'paas-cluster-%s.service\n' "$1"
}

run_paas() {
	as_user env PATH="$PAAS_HOME/build_dir/target/ruby/bin:$PATH" "$RELEASE/bin/paas" "$@"
}

# paas COMPONENT ACTION: the release's own command, and what it leaves undone.
paas() {
	if ! is_plain "$1"; then
		run_paas "$@"
		return
	fi
	case $2 in
	start) start_plain "$1" ;;
	stop) stop_plain "$1" ;;
	restart) stop_plain "$1" && start_plain "$1" ;;
	*) run_paas "$@" ;;
	esac
}

# failed_commands FILE: the commands that the release printed in blue and then, in red, as failed. Two
# fail in good order: a pid file that isn't there can't be removed, and what is waited for by curl
# isn't there yet.
failed_commands() {
	awk '
		index($0, "\033[49;34;1m---> run [") {
			command = $0
			sub(/^.*---> run \[/, "", command)
			sub(/\](\033\[0m)?\r?$/, "", command)
			next
		}
		index($0, "\033[49;31;1m") && command !~ /^ *rm .*\.pid$/ && command !~ /^ *curl / {
			line = $0
			gsub(/\033\[[0-9;]*m/, "", line)
			print command ": " line
		}
	' "$1"
}

# plain_runs COMPONENT: prints why it doesn't run, and fails; or succeeds silently.
plain_runs() {
	answer=$(mktemp)
	status=0
	run_paas "$1" status >"$answer" 2>&1 || status=$?
	said=$(sed 's/\x1b\[[0-9;]*m//g' "$answer" | tail -n 1)
	failed=$(failed_commands "$answer")
	rm -f "$answer"
	if [ "$status" -eq 0 ] && [ -z "$failed" ]; then
		case $said in
		*'[false]'*) said='it is not running' ;;
		*) return 0 ;;
		esac
	fi
	printf '%s\n' "${failed:-$said}"
	return 1
}

# plain_identity COMPONENT: what a start of it reads: its files, and how it is started.
plain_identity() {
	{
		cat "$UNITS/$(unit_of "$1")"
		find "$RELEASE/jobs/$1" "$RELEASE/lib" "$RELEASE/bin/paas" -type f -exec sha256sum {} + | sort
	} | sha256sum
}

write_unit() {
	unit=$UNITS/$(unit_of "$1")
	cat >"$unit.new" <<-END
		# Written by paas-cluster-build; \`remove\` takes it away.
		[Unit]
		Description=$1 of the release in $RELEASE
		Wants=network-online.target
		After=network-online.target

		[Service]
		# The command ends when it has put the service into the background; the unit is active for as
		# long as something of it runs.
		Type=forking
		GuessMainPID=no
		User=$PAAS_USER
		Environment=HOME=$PAAS_HOME USER=$PAAS_USER
		Environment=PATH=$PAAS_HOME/build_dir/target/ruby/bin:$PATH
		WorkingDirectory=$PAAS_HOME
		ExecStart=$RELEASE/bin/paas $1 start
		ExecStop=$RELEASE/bin/paas $1 stop
		StandardOutput=append:$PAAS_HOME/vcap/sys/log/$1.start.log
		StandardError=inherit
		# It may wait for a service on another host.
		TimeoutStartSec=infinity
		TimeoutStopSec=60

		[Install]
		WantedBy=multi-user.target
	END
	if cmp -s "$unit" "$unit.new"; then
		rm -f "$unit.new"
	else
		mv "$unit.new" "$unit"
		systemctl daemon-reload
	fi
	systemctl enable --quiet "$(unit_of "$1")"
}

# Where there is no rendered configuration, the release believes that it never ran: then it drops the
# database of uaa or of the cloud controller on this host, and gives its role another password. It's
# the postgres job that makes both.
never_the_first_run() {
	case $1 in
	uaa | cloud_controller_ng)
		mark=$PAAS_HOME/vcap/sys/config/$1.yml
		if [ -e "$mark" ]; then return 0; fi
		as_user mkdir -p "$PAAS_HOME/vcap/sys/config"
		as_user touch "$mark"
		log "$1: kept from dropping its database, as the release does at what it takes for its first run"
		;;
	esac
}

# start_plain COMPONENT: has it running with the settings as they are now.
start_plain() {
	never_the_first_run "$1"
	as_user mkdir -p "$PAAS_HOME/vcap/sys/log"
	write_unit "$1"
	wanted=$(plain_identity "$1")
	started=$PAAS_ROOT/started/$1
	if systemctl is-active --quiet "$(unit_of "$1")" && plain_runs "$1" >/dev/null &&
		[ "$(cat "$started" 2>/dev/null || :)" = "$wanted" ]; then
		log "$1: runs with the present settings"
		return 0
	fi
	halt_plain "$1"
	mkdir -p "$PAAS_ROOT/started"
	output=$PAAS_HOME/vcap/sys/log/$1.start.log
	as_user rm -f "$output"
	# It may wait for ever for what never comes.
	if ! timeout 300 systemctl start "$(unit_of "$1")"; then
		show_start "$output"
		fail "bin/paas $1 start failed"
	fi
	show_start "$output"
	failed=$(failed_commands "$output")
	if [ -n "$failed" ]; then fail "bin/paas $1 start: a command in it failed: $failed"; fi
	# Only now: what ends before this is started once more.
	printf '%s\n' "$wanted" >"$started"
}

show_start() {
	if [ -e "$1" ]; then sed 's/\x1b\[[0-9;]*m//g' "$1" | tail -n 30; fi
}

# Ends what runs, whoever started it.
halt_plain() {
	rm -f "$PAAS_ROOT/started/$1"
	systemctl stop "$(unit_of "$1")" 2>/dev/null || :
	if plain_runs "$1" >/dev/null; then
		timeout 60 runuser -u "$PAAS_USER" -- env HOME="$PAAS_HOME" \
			PATH="$PAAS_HOME/build_dir/target/ruby/bin:$PATH" "$RELEASE/bin/paas" "$1" stop </dev/null >/dev/null 2>&1 || :
	fi
	begun=$(now)
	while plain_runs "$1" >/dev/null; do
		if [ $(($(now) - begun)) -ge 30 ]; then fail "$1 still runs after bin/paas $1 stop"; fi
		sleep 0.5
	done
}

# Stops it, also for the time after a reboot.
stop_plain() {
	if systemctl cat -- "$(unit_of "$1")" >/dev/null 2>&1; then systemctl disable --quiet "$(unit_of "$1")"; fi
	halt_plain "$1"
	log "$1: stopped"
}

# drop_unit COMPONENT: takes its unit away, where there is one.
drop_unit() {
	if ! [ -e "$UNITS/$(unit_of "$1")" ]; then return 0; fi
	systemctl disable --quiet "$(unit_of "$1")"
	systemctl stop "$(unit_of "$1")"
	rm -f "$UNITS/$(unit_of "$1")"
	systemctl daemon-reload
}

# stop_service COMPONENT: stops it for good; a release that is gone already is no error.
stop_service() {
	if [ -x "$RELEASE/bin/paas" ]; then paas "$1" stop; fi
	drop_unit "$1"
}

# service_healthy COMPONENT: the release says so, as far as it can be believed.
service_healthy() {
	if is_plain "$1"; then
		if said=$(plain_runs "$1"); then return 0; fi
	elif said=$(run_paas "$1" status 2>&1); then
		return 0
	fi
	log "$1: $(printf '%s\n' "$said" | tail -n 1)"
	return 1
}

# is_dead COMPONENT: nothing of it is left that could still become ready.
is_dead() {
	is_plain "$1" || return 1
	case $(systemctl is-active "$(unit_of "$1")" || :) in
	inactive | failed) return 0 ;;
	esac
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

# Tells what is over and won't come up any more.
find_dead() {
	:
	return 1
}

# Waits until check_health is content. There is no event to wait for when a port opens, so it
# looks again, less and less often.
wait_healthy() {
	limit=30
	begin=$(now)
	pause=0.2
	until said=$(check_health); do
		if [ $(($(now) - begin)) -ge "$limit" ]; then
			fail "not healthy after $limit s: $said"
		fi
		if dead=$(find_dead); then
			fail "$dead ended soon after its start: $said"
		fi
		sleep "$pause"
		pause=1
	done
	log healthy
}

watch_step

systemctl start redis-server

wait_healthy
