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
