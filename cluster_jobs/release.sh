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
