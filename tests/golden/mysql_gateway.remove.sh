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
OWN_ADDRESS=10.1.59.175
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

# home_of USER HOME: prints USER's home. HOME is what the cluster file says and wins; where that is
# only the usual place, which nobody may have said, the host's own account database knows.
home_of() {
	case $1:$2 in
	"$1:/home/$1" | root:/root) account_home=$(getent passwd -- "$1" | cut -d : -f 6) ;;
	*) account_home='' ;;
	esac
	printf '%s\n' "${account_home:-$2}"
}
PAAS_HOME=$(home_of "$PAAS_USER" "$PAAS_HOME")

# What the release's control files say of each component, and which processes are a component's.

# describe COMPONENT: sets what is known of it. of_runs is the file with its process's id, where it
# writes one that can be trusted; of_ports is what it listens on; of_own is the folder in which nothing
# but its own programs and data lie; of_programs are those of the system that its control file runs;
# of_waits is set where its start waits for a service on another host.
describe() {
	of_config=$PAAS_HOME/vcap/sys/config/$1.yml
	of_runs=$PAAS_HOME/vcap/sys/run/$1.pid
	of_own=$PAAS_HOME/build_dir/target/$1
	of_ports=''
	of_sudo=''
	of_waits=''
	of_programs=''
	case $1 in
	nats) of_ports=4222 ;;
	router) of_ports='80 8082' of_sudo=yes ;;
	postgres)
		of_ports=5432
		of_config=$PAAS_HOME/vcap/sys/data/postgres
		of_own=$of_config
		of_runs=$of_config/postmaster.pid
		;;
	mysql)
		of_ports=3306
		of_config=$PAAS_HOME/vcap/sys/config/my.cnf
		of_own=$PAAS_HOME/vcap/sys/data/mysql
		of_runs=''
		;;
	redis)
		of_ports=5454
		of_config=$PAAS_HOME/vcap/sys/config/redis.cnf
		;;
	uaa) of_ports=8080 ;;
	cloud_controller_ng) of_ports=8181 ;;
	health_manager) of_ports=54321 ;;
	warden) of_sudo=yes ;;
	# It has the configuration of dea_ng, and a list of everything that is called so as its pid file.
	directory_server)
		of_config=''
		of_own=$PAAS_HOME/build_dir/target/dea_ng/go
		of_runs=''
		of_programs='ps'
		;;
	mysql_gateway)
		of_own=$PAAS_HOME/build_dir/target/mysql_service
		of_programs='curl'
		of_waits=yes
		;;
	mysql_node) of_own=$PAAS_HOME/build_dir/target/mysql_service ;;
	esac
}

# files_of COMPONENT: the folders of the release that say how it is started, in either layout.
files_of() {
	for files_folder in "$RELEASE/jobs/$1" "$RELEASE/$1"; do
		if [ -d "$files_folder" ]; then printf '%s\n' "$files_folder"; fi
	done
}

# in_release COMPONENT: whether the release has it.
in_release() {
	[ -n "$(files_of "$1")" ]
}

# numbers_of: the process ids in paths below /proc, each once.
numbers_of() {
	sed -n 's,^/proc/\([0-9]*\)/.*,\1,p' | sort -un
}

# linked_below FOLDER WHAT: the processes whose links WHAT (cwd, exe) lead to FOLDER or below it.
linked_below() {
	linked_to=$(readlink -m -- "$1" | sed 's/[][*?\\]/\\&/g')
	find /proc/[0-9]*/"$2" -maxdepth 0 \( -lname "$linked_to" -o -lname "$linked_to/*" \) 2>/dev/null | numbers_of
}

# in_both FILE FILE: the lines of two sorted lists that are in both.
in_both() {
	awk 'NR == FNR { one[$0]; next } $0 in one' "$1" "$2"
}

# processes_of COMPONENT: its processes, whoever started them and whatever its pid file says. One is a
# component's if it
#   writes its output to the component's logs, as everything does that the release starts, or
#   was given the component's configuration and runs in a folder of the release, or
#   listens on one of the component's ports and runs in the component's own folder.
# An editor or a pager with the same file open is none of these.
processes_of() (
	describe "$1"
	lists=$(mktemp -d)
	trap 'rm -rf "$lists"' EXIT
	log_name=$(readlink -m -- "$PAAS_HOME/vcap/sys/log/$1" | sed 's/[][*?\\]/\\&/g')
	find /proc/[0-9]*/fd/1 /proc/[0-9]*/fd/2 -maxdepth 0 \
		\( -lname "$log_name.stdout.log" -o -lname "$log_name.stderr.log" \) 2>/dev/null | numbers_of >"$lists/logs"
	for place in build_dir/target paas-release.git vcap/sys/data; do
		linked_below "$PAAS_HOME/$place" cwd
		linked_below "$PAAS_HOME/$place" exe
	done | sort -un >"$lists/ours"
	if [ -n "$of_config" ]; then
		# By standard input, or it would find itself.
		# shellcheck disable=SC2062 # these are the files
		printf '%s\n' "$of_config" | grep -lsF -f - /proc/[0-9]*/cmdline | numbers_of >"$lists/given" || :
		in_both "$lists/ours" "$lists/given" >"$lists/configured"
	fi
	linked_below "$of_own" cwd >"$lists/own"
	linked_below "$of_own" exe >>"$lists/own"
	for port in $of_ports; do listeners "$port"; done >"$lists/listening"
	in_both "$lists/own" "$lists/listening" >"$lists/serving"
	cat "$lists/logs" "$lists/configured" "$lists/serving" 2>/dev/null | sort -un | not_mine "$1"
)

# not_mine COMPONENT: leaves out what only reads or starts: this step itself, and for dea_ng what is
# directory_server's.
not_mine() {
	while read -r found; do
		case $found in
		"$$" | 1) continue ;;
		esac
		if [ "$1" = dea_ng ] && runs_program "$found" runner; then continue; fi
		printf '%s\n' "$found"
	done
}

# runs_program PID NAME: whether its first word is this program.
runs_program() {
	[ "$(tr '\000' '\n' 2>/dev/null <"/proc/$1/cmdline" | head -n 1 | sed 's,.*/,,')" = "$2" ]
}

# listeners PORT: the processes that listen on it, at whatever address.
listeners() {
	sockets=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf '%04X' "$1")" '
		$4 == "0A" && $2 ~ ":" port "$" { print $10 }')
	for socket in $sockets; do
		find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\\[$socket\\]" 2>/dev/null
	done | numbers_of
}

# command_of PID: its program and the paths that it was given, for people; any other word may be a
# password.
command_of() {
	tr '\000' '\n' 2>/dev/null <"/proc/$1/cmdline" |
		awk 'NR == 1 || /^\// { printf "%s%s", NR == 1 ? "" : " ", $0 }' | tr -cd '[:print:]' | cut -c -200
}

# Driving a release. Its command can't be believed: it exits with 0 whatever happened, doesn't read a
# changed configuration when the service runs, doesn't wait until it's ready, takes a stale pid file
# for a running service, and starts nothing after a reboot. All of that is done here, by a unit of
# systemd for each component, which runs the command.
RELEASE=$PAAS_HOME/paas-release.git
UNITS=${PAAS_UNITS:-/etc/systemd/system}

unit_of() {
	printf 'paas-cluster-%s.service\n' "$1"
}

# paas COMPONENT ACTION: what the release's command of that name promises.
paas() {
	case $2 in
	start) start_component "$1" ;;
	stop) stop_component "$1" ;;
	restart) stop_component "$1" && start_component "$1" ;;
	*) fail "paas $1 $2: there is no such action" ;;
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

# component_runs COMPONENT: prints why it doesn't run, and fails; or succeeds silently.
component_runs() {
	describe "$1"
	if ! systemctl is-active --quiet "$(unit_of "$1")"; then
		printf 'it is not running\n'
		return 1
	fi
	if [ -z "$of_runs" ]; then return 0; fi
	running=$(head -n 1 "$of_runs" 2>/dev/null | tr -cd 0-9) || running=''
	if [ -z "$running" ]; then
		printf 'it has not written %s yet\n' "$of_runs"
	elif ! [ -e "/proc/$running" ]; then
		printf 'the process %s of %s is gone\n' "$running" "$of_runs"
	else
		return 0
	fi
	return 1
}

# identity_of COMPONENT: what a start of it reads: its files, and how it is started.
identity_of() {
	also=''
	if [ "$1" = directory_server ]; then also=$(files_of dea_ng); fi
	{
		cat "$UNITS/$(unit_of "$1")"
		{
			files_of "$1"
			printf '%s\n' "$also" "$RELEASE/lib" "$RELEASE/bin/paas"
		} | while read -r path; do
			if [ -e "$path" ]; then find "$path" -type f -exec sha256sum {} +; fi
		done | sort
	} | sha256sum
}

write_unit() {
	describe "$1"
	unit=$UNITS/$(unit_of "$1")
	{
		cat <<-END
			# Written by paas-cluster-build; \`remove\` takes it away.
			[Unit]
			Description=$1 of the release in $RELEASE
			Wants=network-online.target
			After=network-online.target $(units_before "$1")
			# What it needs may be on a host that comes up later.
			StartLimitIntervalSec=0

			[Service]
			# The command ends when it has put the service into the background; the unit is active for as
			# long as something of it runs.
			Type=forking
			GuessMainPID=no
			Restart=always
			RestartSec=10
			User=$PAAS_USER
			Environment=HOME=$PAAS_HOME USER=$PAAS_USER
			Environment=PATH=$PAAS_HOME/build_dir/target/ruby/bin:$PATH
			WorkingDirectory=$PAAS_HOME
		END
		# PostgreSQL and mysqld look after their own; of the others a pid file from before a reboot may
		# name another process, and the command would take that for the service.
		case $1 in
		postgres | mysql) ;;
		*) printf 'ExecStartPre=-/bin/rm -f %s\n' "$PAAS_HOME/vcap/sys/run/$1.pid" ;;
		esac
		# After a reboot, too, nothing is to look like a first run.
		case $1 in
		uaa | cloud_controller_ng)
			printf 'ExecStartPre=/bin/mkdir -p %s\n' "$PAAS_HOME/vcap/sys/config"
			printf 'ExecStartPre=/bin/touch %s\n' "$of_config"
			;;
		esac
		cat <<-END
			ExecStart=$RELEASE/bin/paas $1 start
			ExecStop=-$RELEASE/bin/paas $1 stop
			StandardOutput=append:$PAAS_HOME/vcap/sys/log/$1.start.log
			StandardError=inherit
			TimeoutStopSec=60
		END
		if [ -n "$of_waits" ]; then
			cat <<-END
				# It waits for a service on another host. The boot of this one is not to wait for as long;
				# the start is tried again.
				TimeoutStartSec=60
			END
		else
			cat <<-END
				# The first one makes a database, and is never to be ended in the middle of that.
				TimeoutStartSec=infinity
			END
		fi
		cat <<-END

			[Install]
			WantedBy=multi-user.target
		END
	} >"$unit.new"
	if cmp -s "$unit" "$unit.new"; then
		rm -f "$unit.new"
	else
		mv "$unit.new" "$unit"
		systemctl daemon-reload
	fi
	systemctl enable --quiet "$(unit_of "$1")"
}

# units_before COMPONENT: the units that start before it where they are on the same host.
units_before() {
	case $1 in
	uaa | cloud_controller_ng) before='postgres nats' ;;
	dea_ng) before='nats warden' ;;
	directory_server) before=dea_ng ;;
	mysql_gateway) before='nats redis' ;;
	mysql_node) before='nats mysql' ;;
	router | health_manager) before=nats ;;
	*) before='' ;;
	esac
	for other in $before; do printf '%s ' "$(unit_of "$other")"; done
}

# Where there is no rendered configuration, the release believes that it never ran: then it drops the
# database of uaa or of the cloud controller on this host and gives its role another password, and
# makes mysql's database anew where there is one. It's the postgres job that makes the former.
never_the_first_run() {
	describe "$1"
	case $1 in
	uaa | cloud_controller_ng) ;;
	mysql)
		if ! [ -d "$of_own/mysql" ]; then
			# A first run that ended before it made anything would be taken for a whole one.
			as_user rm -f "$of_config"
			return 0
		fi
		;;
	*) return 0 ;;
	esac
	if [ -e "$of_config" ]; then return 0; fi
	as_user mkdir -p "${of_config%/*}"
	as_user touch "$of_config"
	log "$1: kept from dropping its database, as the release does at what it takes for its first run; to begin with an empty one, drop it yourself"
}

# start_component COMPONENT: has it running with the settings as they are now.
start_component() {
	if ! [ -x "$RELEASE/bin/paas" ]; then fail "$RELEASE/bin/paas is missing; was the machine bootstrapped?"; fi
	if ! in_release "$1"; then fail "the release has no $1; looked for $RELEASE/jobs/$1 and $RELEASE/$1"; fi
	never_the_first_run "$1"
	as_user mkdir -p "$PAAS_HOME/vcap/sys/log"
	write_unit "$1"
	wanted=$(identity_of "$1")
	started=$PAAS_ROOT/started/$1
	# A configuration that is gone or empty is rendered again by a start.
	if component_runs "$1" >/dev/null && [ "$(cat "$started" 2>/dev/null || :)" = "$wanted" ] &&
		{ [ -z "$of_config" ] || [ -s "$of_config" ]; }; then
		log "$1: runs with the present settings"
		return 0
	fi
	halt_component "$1"
	need_sudo "$1"
	need_programs "$1"
	need_free_ports "$1"
	mkdir -p "$PAAS_ROOT/started"
	output=$PAAS_HOME/vcap/sys/log/$1.start.log
	as_user rm -f "$output"
	# It may wait for ever for what never comes.
	longest=300
	if [ -n "$of_waits" ]; then longest=60; fi
	if ! timeout 300 systemctl start "$(unit_of "$1")"; then
		show_start "$output"
		fail "bin/paas $1 start failed, or took longer than $longest s"
	fi
	show_start "$output"
	if ! [ -e "$output" ]; then return 0; fi
	failed=$(failed_commands "$output")
	if [ -n "$failed" ]; then fail "bin/paas $1 start: a command in it failed: $failed"; fi
	# It may hold passwords; being rendered again, it keeps its mode.
	describe "$1"
	if [ -f "$of_config" ]; then chmod o-rwx "$of_config"; fi
	# Only now: what ends before this is started once more.
	printf '%s\n' "$wanted" >"$started"
}

show_start() {
	if [ -e "$1" ]; then sed 's/\x1b\[[0-9;]*m//g' "$1" | tail -n 30; fi
}

# need_sudo COMPONENT: the release starts some with sudo, in the background, where nobody can answer.
need_sudo() {
	describe "$1"
	if [ -z "$of_sudo" ] || as_user sudo -n true 2>/dev/null; then return 0; fi
	fail "the release starts $1 with sudo, which asks $PAAS_USER for a password; let $PAAS_USER use sudo without one (NOPASSWD) on this host"
}

# need_programs COMPONENT: its control file would wait for ever for a program that isn't there.
need_programs() {
	describe "$1"
	for program in $of_programs; do
		if ! command -v "$program" >/dev/null; then
			fail "the release starts $1 with the program $program, which this host hasn't; add its package to \`packages\` in the cluster file"
		fi
	done
}

# need_free_ports COMPONENT: says who has a port that it is going to listen on.
need_free_ports() {
	describe "$1"
	for port in $of_ports; do
		for holder in $(listeners "$port"); do
			fail "port $port, which $1 listens on, is taken by process $holder ($(command_of "$holder")), which is no process of $1; end it, or move it to another port"
		done
	done
}

# halt_component COMPONENT: ends what runs of it, whoever started it.
halt_component() {
	rm -f "$PAAS_ROOT/started/$1"
	systemctl stop "$(unit_of "$1")" 2>/dev/null || :
	left=$(processes_of "$1")
	if [ -z "$left" ]; then return 0; fi
	log "$1: ending what was started without its unit:"
	for pid in $left; do log "  process $pid: $(command_of "$pid")"; done
	# It is how PostgreSQL is told not to wait for those who are connected.
	signal=TERM
	if [ "$1" = postgres ]; then signal=INT; fi
	begun=$(now)
	while [ -n "$left" ]; do
		if [ $(($(now) - begun)) -ge 60 ]; then fail "$1 still runs, 60 s after it was told to end: process $(printf '%s\n' "$left" | tr '\n' ' ')"; fi
		if [ $(($(now) - begun)) -ge 20 ] && [ "$1" != postgres ]; then signal=KILL; fi
		# shellcheck disable=SC2086 # a list of numbers
		kill -s "$signal" $left 2>/dev/null || :
		sleep 0.5
		left=$(processes_of "$1")
	done
}

# stop_component COMPONENT: stops it, also for the time after a reboot.
stop_component() {
	if systemctl cat -- "$(unit_of "$1")" >/dev/null 2>&1; then systemctl disable --quiet "$(unit_of "$1")"; fi
	halt_component "$1"
	log "$1: stopped"
}

# stop_service COMPONENT: stops it for good; a release that is gone already is no error.
stop_service() {
	stop_component "$1"
	if ! [ -e "$UNITS/$(unit_of "$1")" ]; then return 0; fi
	rm -f "$UNITS/$(unit_of "$1")"
	systemctl daemon-reload
}

# service_healthy COMPONENT: it runs, and its process is known.
service_healthy() {
	if said=$(component_runs "$1"); then return 0; fi
	log "$1: $said"
	return 1
}

# is_dead COMPONENT: it ended, though its unit may be about to try again.
is_dead() {
	case $(systemctl show --property=ActiveState --property=SubState --property=NRestarts -- "$(unit_of "$1")" || :) in
	*ActiveState=inactive* | *ActiveState=failed* | *SubState=auto-restart*) return 0 ;;
	*NRestarts=0* | '') return 1 ;;
	*NRestarts=*) return 0 ;;
	esac
	return 1
}

# rendered_value COMPONENT BLOCK KEY…: the first of these keys in a block of the configuration that
# the component was started with.
rendered_value() {
	rendered=$PAAS_HOME/vcap/sys/config/$1.yml
	block=$2
	shift 2
	for key in "$@"; do
		awk -v block="$block" -v key="$key" '
			/^[^ #]/ { inside = index($0, block ":") == 1; next }
			inside && $1 == key ":" {
				sub(/^[^:]*:[ \t]*/, "")
				sub(/[ \t]+#.*$/, "")
				sub(/[ \t\r]+$/, "")
				if ($0 ~ /^\047.*\047$/) { $0 = substr($0, 2, length($0) - 2); gsub(/\047\047/, "\047") }
				else if ($0 ~ /^".*"$/) $0 = substr($0, 2, length($0) - 2)
				print
				exit
			}
		' "$rendered" 2>/dev/null
	done | head -n 1
}

# status_answers COMPONENT PORT: its status page answers to the user and password that it has there.
status_answers() {
	login=$(rendered_value "$1" status user):$(rendered_value "$1" status pass password)
	authorization=$(printf %s "$login" | base64 -w 0)
	http_answers "$2" /healthz "Authorization: Basic $authorization"
}

# Editing files that the tool did not make, without changing more of them than is meant.

# refuse_value FILE STYLE KEY VALUE: a value of several lines could not be found again as a whole. A
# template's value goes through ERB; what is set in a script stays as it is.
refuse_value() {
	case $4 in
	*[[:cntrl:]]*) fail "the value for $3 in $1 holds a line break or control character" ;;
	esac
	if [ "$2" = assignment ]; then return 0; fi
	case $4 in
	*'<%'*) fail "the value for $3 in $1 holds <%, which the release would run as code" ;;
	esac
}

# edit_file FILE: sets in FILE what standard input says, all of it or nothing, by one rename. Every
# other byte stays: comments, order, tags, spaces, the ends of lines. Standard input has lines of
# words with a tab between them, since arguments and environments can be read in /proc:
#   need WHAT | may WHAT     a setting that FILE must have, or may lack
#   way                      begins one way to set it; the first one is taken whose keys FILE has
#   edit STYLE KEY VALUE     one edit of that way, KEY a path such as database.host
# A STYLE is one of these:
#   plain       a number or address
#   text        what must stay text ('12')
#   url         a URL; one without a path or a port keeps those of the URL that it replaces
#   added       a text that is added behind the way's edit before, where FILE hasn't the key
#   head        an item of a list, put at its head where the list hasn't it
#   given       the key is there; nothing is set
#   assignment  the line KEY=value of a shell script
#   within      KEY is text*text; the address in the place of * in the one line that holds it
# What it can't do safely it refuses, and names file and key; never the value, it may be secret.
# A subshell, so that the caller's variables and umask stay its own.
edit_file() (
	need_file "$1"
	umask 077
	# Always this name, so that a killed run leaves one at most; never readable by others.
	new=$1.new
	rm -f "$new"
	status=0
	problems=$(UNENDED=$(tail -c 1 "$1") awk '
		BEGIN {
			quote = sprintf("%c", 39)
			while ((getline order <"-") > 0) {
				count = split(order, word, "\t")
				if (word[1] == "way") { way = ++ways[settings]; continue }
				if (word[1] != "edit") { what[++settings] = word[2]; needed[settings] = word[1] == "need"; continue }
				number = ++edits[settings, way]
				style[settings, way, number] = word[2]
				key[settings, way, number] = word[3]
				value[settings, way, number] = word[4]
			}
		}
		{
			ending[NR] = sub(/\r$/, "") ? "\r" : ""
			line[NR] = $0
		}
		# Where the value at the beginning of a text ends; a tag of the release belongs to it as a
		# whole. Negative if it goes on in the next line.
		function value_end(text,   at, open, close_at, c) {
			if (text ~ /^#/) return 0
			open = substr(text, 1, 1)
			if (open != "\"" && open != quote) open = ""
			for (at = open == "" ? 1 : 2; at <= length(text); at++) {
				c = substr(text, at, 1)
				if (substr(text, at, 2) == "<%") {
					close_at = index(substr(text, at), "%>")
					if (!close_at) return -1
					at += close_at
				} else if (open == "") {
					if (substr(text, at) ~ /^[ \t]+(#|$)/) return at - 1
				} else if (open == "\"" && c == "\\") at++
				else if (c == open) {
					if (open == quote && substr(text, at + 1, 1) == quote) at++
					else return at
				}
			}
			return open == "" ? length(text) : -1
		}
		function scalar(text, as) {
			if (as != "text" && text ~ "^[A-Za-z0-9_/][A-Za-z0-9_.:/@-]*$" && text !~ ":$") return text
			gsub(quote, quote quote, text)
			return quote text quote
		}
		function unquoted(text,   open) {
			open = substr(text, 1, 1)
			if (open != "\"" && open != quote) return text
			return substr(text, 2, length(text) - 2)
		}
		function shell_word(text) {
			if (text ~ "^[A-Za-z0-9_.:/@-]+$") return text
			gsub(quote, quote "\\" quote quote, text)
			return quote text quote
		}
		# Every key with its path, its line, and the shape of what it has. Comments and lines of
		# template code may stand at any depth: they end no mapping.
		function read_keys(   i, indent, rest, name, written, path, depth, last) {
			for (i = 1; i <= NR; i++) {
				if (line[i] ~ /^[ ]*(#|<%|$)/) continue
				match(line[i], /^ */)
				indent = RLENGTH
				rest = substr(line[i], indent + 1)
				if (last) look_below(last, level[depth], indent, rest)
				last = ""
				while (depth > 0 && indent <= level[depth]) depth--
				level[++depth] = indent
				# Not a key: an item of a list, for example. What is below it has no path of keys.
				path_at[depth] = ""
				if (!match(rest, /^([A-Za-z_][A-Za-z0-9_-]*|"[A-Za-z0-9_.-]+"):([ \t]|$)/)) continue
				name = substr(rest, 1, RLENGTH)
				sub(/:[ \t]?$/, "", name)
				written = length(name)
				gsub(/"/, "", name)
				if (depth > 1 && path_at[depth - 1] == "") continue
				path = depth > 1 ? path_at[depth - 1] "." name : name
				path_at[depth] = path
				times[path]++
				where[path] = i
				start[path] = indent + written + 1
				read_value(path, substr(rest, written + 2))
				last = path
			}
		}
		# Where there is none, the spaces behind the first one belong to the comment or to nothing.
		function read_value(path, text,   ends, spaces) {
			match(text, /^[ \t]*/)
			spaces = RLENGTH
			if (text ~ /^[ \t]+(#|$)/) spaces = 1
			before[path] = substr(text, 1, spaces)
			text = substr(text, spaces + 1)
			ends = text ~ /^[ \t]/ ? 0 : value_end(text)
			shape[path] = ends < 0 || text ~ /^[|>&*!\[{]/ ? "more" : ends == 0 ? "empty" : "scalar"
			if (ends < 0) ends = length(text)
			old[path] = substr(text, 1, ends)
			after[path] = substr(text, ends + 1)
		}
		function look_below(path, own, indent, rest) {
			if (rest ~ /^-( |$)/ && indent >= own && shape[path] == "empty") shape[path] = "list"
			else if (indent > own || indent == own && rest ~ /^-( |$)/) shape[path] = "more"
			else return
			below[path] = indent
		}
		# The line that holds both halves of a pattern with an address between them; 0 for none.
		function line_within(pattern,   star, head, tail, i, rest, at, end, found) {
			star = index(pattern, "*")
			head = substr(pattern, 1, star - 1)
			tail = substr(pattern, star + 1)
			hits = 0
			for (i = 1; i <= NR; i++) {
				if (line[i] ~ /^[ \t]*#/) continue
				rest = line[i]
				at = 0
				while (found = index(rest, head)) {
					at += found + length(head) - 1
					rest = substr(rest, found + length(head))
					end = index(rest, tail)
					if (!end || substr(rest, 1, end - 1) !~ /^[][A-Za-z0-9._:-]+$/) continue
					hits++
					hit_line = i
					hit_from = at
					hit_to = at + end
				}
			}
			return hits ? hit_line : 0
		}
		function line_assigned(name,   i, rest) {
			hits = 0
			for (i = 1; i <= NR; i++) {
				if (index(line[i], name "=") != 1) continue
				hits++
				hit_line = i
				rest = substr(line[i], length(name) + 2)
				# A word of the shell: quoted, escaped or plain pieces, one after the other.
				match(rest, "^(" quote "[^" quote "]*" quote "|\"([^\"\\\\]|\\\\.)*\"|\\\\.|[^ \t;&|<>()`\"\\\\" quote "])*")
				hit_rest = substr(rest, RLENGTH + 1)
			}
			return hits ? hit_line : 0
		}
		# Whether an edit can be made: 1, 0 if what it names is missing, or else what is wrong.
		function fits(as, path,   anchor) {
			if (as == "assignment" || as == "within") {
				if (!(as == "within" ? line_within(path) : line_assigned(path))) return 0
				if (hits > 1) return "stands in " FILENAME " " hits " times; once is expected"
				# A command behind the word would be lost.
				if (as == "assignment" && hit_rest !~ /^[ \t]*(#|$)/) return "in " FILENAME " is more than a single value"
				return 1
			}
			if (!(path in where)) return as == "added"
			if (as == "given") return 1
			if (times[path] > 1) return "stands in " FILENAME " " times[path] " times; once is expected"
			if (as == "head") return shape[path] == "list" ? 1 : "in " FILENAME " is no list of lines"
			if (shape[path] == "scalar" || shape[path] == "empty") return 1
			return "in " FILENAME " is more than a single value"
		}
		function named(as, path) {
			if (as == "assignment") return "a line " path "="
			return as == "within" ? "a line with " path : path
		}
		# Chooses the first way that fits; otherwise says what was looked for.
		function choose(s,   w, e, fit, good, looked, part, wrong) {
			for (w = 1; w <= ways[s]; w++) {
				good = 1
				part = ""
				for (e = 1; e <= edits[s, w]; e++) {
					fit = fits(style[s, w, e], key[s, w, e])
					if (fit != 1) good = 0
					if (fit != 1 && fit != 0) wrong = wrong (wrong ? "\n" : "") "the setting " key[s, w, e] " " fit
					if (style[s, w, e] != "added") part = part (part ? " with " : "") named(style[s, w, e], key[s, w, e])
				}
				if (good) { chosen[s] = w; return }
				looked = looked (looked ? ", or " : "") part
			}
			if (wrong == "" && !needed[s]) return
			if (wrong == "" && what[s] == "") wrong = FILENAME " has " (looked ~ /^a line/ ? "no" substr(looked, 2) : "no setting " looked)
			if (wrong == "") wrong = FILENAME " has no setting for " what[s] "; looked for " looked
			print wrong >"/dev/stderr"
			failed = 1
		}
		function refuse(path, why) {
			print "the setting " path " in " FILENAME " " why >"/dev/stderr"
			failed = 1
		}
		# A URL without a path or a port keeps those of the one that it replaces. A tag is one character
		# here.
		function merged(path, url,   text, port, kept, authority) {
			text = unquoted(old[path])
			if (url ~ "://[^/]*/" || text !~ "^[a-z][a-z0-9+:]*://") return url
			gsub(/<%[^%]*%>/, "\001", text)
			sub("^[a-z][a-z0-9+:]*://", "", text)
			match(text, "^[^/?#]*")
			authority = substr(text, 1, RLENGTH)
			kept = substr(text, RLENGTH + 1)
			if (match(authority, /:[0-9\001]*$/) && url !~ /:[0-9]+$/) port = substr(authority, RSTART)
			if (kept port ~ /\001/) refuse(path, "has a tag in its URL behind the host, which can not be kept")
			return url port kept
		}
		function replace(path, text) {
			line[where[path]] = substr(line[where[path]], 1, start[path]) (before[path] == "" ? " " : before[path]) text (old[path] == "" && after[path] ~ /^#/ ? " " : "") after[path]
		}
		# Puts an item at the head of a list unless it is in it.
		function put_at_head(path, text,   i, item, first) {
			for (i = where[path] + 1; i <= NR; i++) {
				if (line[i] ~ /^[ ]*(#|<%|$)/) continue
				match(line[i], /^ */)
				if (RLENGTH < below[path] || RLENGTH == below[path] && line[i] !~ /^ *-( |$)/) break
				if (!first) first = i
				if (RLENGTH > below[path]) continue
				item = line[i]
				sub(/^ *-[ ]*/, "", item)
				if (unquoted(substr(item, 1, value_end(item))) == text) return
			}
			match(line[first], /^ *- */)
			inserted[first - 1] = inserted[first - 1] substr(line[first], 1, RLENGTH) scalar(text, "plain") ending[first] "\n"
		}
		function change(as, path, new, anchor,   indent, rest) {
			if (as == "plain" || as == "text") replace(path, scalar(new, as))
			if (as == "url") replace(path, scalar(merged(path, new), "plain"))
			if (as == "head") put_at_head(path, new)
			if (as == "added" && path in where) replace(path, scalar(new, "text"))
			else if (as == "added") {
				match(line[anchor], /^ */)
				indent = substr(line[anchor], 1, RLENGTH)
				sub(/^.*\./, "", path)
				inserted[anchor] = inserted[anchor] indent path ": " scalar(new, "text") ending[anchor] "\n"
			}
			if (as == "assignment") {
				line_assigned(path)
				line[hit_line] = path "=" shell_word(new) hit_rest
			}
			if (as == "within") {
				line_within(path)
				if (new !~ /^[][A-Za-z0-9._:-]+$/) refuse(path, "is to be more than letters, digits and [].:_-, which its line can hold")
				line[hit_line] = substr(line[hit_line], 1, hit_from) new substr(line[hit_line], hit_to)
			}
		}
		function change_all(s, w,   e, anchor) {
			for (e = 1; e <= edits[s, w]; e++) {
				change(style[s, w, e], key[s, w, e], value[s, w, e], anchor)
				if (key[s, w, e] in where) anchor = where[key[s, w, e]]
			}
		}
		END {
			read_keys()
			for (s = 1; s <= settings; s++) choose(s)
			if (!failed) for (s = 1; s <= settings; s++) if (chosen[s]) change_all(s, chosen[s])
			if (failed) exit 3
			for (i = 0; i <= NR; i++) {
				text = i ? line[i] ending[i] "\n" inserted[i] : inserted[0]
				if (i == NR && ENVIRON["UNENDED"] != "") sub(/\n$/, "", text)
				printf "%s", text
			}
		}
	' "$1" 2>&1 >"$new") || status=$?
	if [ "$status" -ne 0 ]; then
		rm -f "$new"
		if [ "$status" -eq 3 ]; then fail "$problems"; fi
		fail "$1 could not be edited (is the disk full?)"
	fi
	put_in_place "$1" "$new"
)

# edit_setting FILE KEY VALUE STYLE: one setting, one way.
edit_setting() {
	refuse_value "$1" "$4" "$2" "$3"
	printf '%s\t%s\t%s\t%s\n' need '' '' '' way '' '' '' edit "$4" "$2" "$3" | edit_file "$1"
}

# set_setting FILE KEY VALUE: an address, number or URL of a YAML file, whatever it was before; KEY is
# a path such as database.host.
set_setting() {
	edit_setting "$1" "$2" "$3" plain
}

# set_text FILE KEY VALUE: a text, also one that looks like a number.
set_text() {
	edit_setting "$1" "$2" "$3" text
}

# set_assignment FILE NAME VALUE: the line NAME=value of a shell script; a comment behind it stays.
set_assignment() {
	edit_setting "$1" "$2" "$3" assignment
}

# The way back: stops the component and keeps it from starting with the machine. Its data, the
# packages and the release stay, and what an earlier try has done is no error.
disable_unit() {
	if systemctl cat -- "$1" >/dev/null 2>&1; then
		systemctl disable --quiet --now "$1"
		log "disabled $1"
	fi
}

stop_service mysql_gateway
stop_service redis

# Last: from here on the host remembers nothing of it.
rm -f "$PAAS_ROOT/receipts/$PAAS_STEP.json"
log 'removed; its data stays'
