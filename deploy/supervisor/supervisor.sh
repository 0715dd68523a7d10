# The on-host supervisor: sent over the connection with each request, run by the loader as root.
# docs/on-host-protocol.md describes what it reads and prints. It leaves a step that survives the
# connection; whoever follows it only reads files.
#
# Set by the sender before this text: wrapper (the text of wrapper.sh).
set -u
umask 077
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

say() {
	printf 'pcb1 %s\n' "$*"
}

die() {
	say "error $*"
	exit 1
}

# Reads exactly so many bytes of the request into the variable `taken`. The dot keeps newlines at
# the end, which $( ) would drop.
take() {
	taken=$(
		head -c "$1"
		printf .
	)
	taken=${taken%.}
}

boot_id() {
	cat /proc/sys/kernel/random/boot_id
}

# Field 22 of stat is when the process started: with it a reused number isn't taken for ours.
start_time() {
	cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null
}

is_alive() {
	[ -n "$1" ] && [ -n "$2" ] && [ "$(start_time "$1")" = "$2" ]
}

# run RUN STEP KEEP SCRIPT_BYTES RECEIPT_BYTES HOLDER_BYTES: starts a step and follows it. One
# that was started before under the same names is only followed.
run_step() {
	dir=$root/runs/$1/$2
	keep=$3
	take "$4"
	script=$taken
	take "$5"
	receipt=$taken
	take "$6"
	holder=$taken
	mkdir -p "$dir" "$root/receipts" || die "cannot make $dir"
	command -v flock >/dev/null || die 'flock is missing on the host (package util-linux)'
	exec 9>>"$root/lock" || die "cannot open $root/lock"
	if ! flock -n 9; then
		exec 9>&-
		if [ -e "$dir/pid" ] && ! [ -e "$dir/status" ]; then
			follow "$dir" 0
		else
			say "locked $(head -n 1 "$root/lock")"
		fi
		return
	fi
	if [ -e "$dir/pid" ]; then
		exec 9>&-
		follow "$dir" 0
		return
	fi
	printf '%s\n' "$holder" >"$root/lock"
	if ! { printf '%s' "$script" >"$dir/script" && printf '%s' "$receipt" >"$dir/receipt" &&
		boot_id >"$dir/boot-id" && : >"$dir/out"; }; then
		die "cannot write to $dir (is the disk full or read-only?)"
	fi
	PAAS_ROOT=$root
	export PAAS_ROOT
	# Its own session: neither the end of this connection nor its signals reach it.
	setsid sh -c "$wrapper" wrapper "$dir" "$root/receipts/$2.json" "$keep" </dev/null >/dev/null 2>&1 &
	pid=$!
	exec 9>&-
	follow_process "$dir" 0 "$pid" "$(start_time "$pid")"
}

# follow DIR OFFSET: reads on a step that was started before.
follow() {
	pid=''
	started=''
	if [ -e "$1/pid" ]; then read -r pid started <"$1/pid"; fi
	follow_process "$1" "$2" "$pid" "$started"
}

# Prints what the step printed from an offset on, as frames, then how it ended. It never polls for
# output: tail wakes on the first new byte, and looks after the wrapper meanwhile.
follow_process() {
	dir=$1 offset=$2 pid=$3 started=$4
	while :; do
		# In this order: once there's a status, nothing is added to the output any more.
		ended=no
		if [ -e "$dir/status" ]; then ended=yes; fi
		alive=no
		if is_alive "$pid" "$started"; then alive=yes; fi
		size=$(stat -c %s "$dir/out" 2>/dev/null) || size=0
		if [ "$size" -gt "$offset" ]; then
			say "data $((size - offset))"
			tail -c "+$((offset + 1))" "$dir/out" | head -c "$((size - offset))"
			offset=$size
		fi
		if [ "$ended" = yes ]; then
			say "end $(cat "$dir/status")"
			return
		fi
		if [ "$alive" = no ]; then
			if [ -e "$dir/status" ]; then continue; fi
			if [ "$(boot_id)" != "$(cat "$dir/boot-id" 2>/dev/null)" ]; then
				say 'unknown the host was restarted while the step ran'
			else
				say 'unknown its supervisor on the host was killed; the step may still be running'
			fi
			return
		fi
		tail -c "+$((offset + 1))" -f -s 0.1 --pid="$pid" "$dir/out" 2>/dev/null | head -c 1 >/dev/null
	done
}

# query NONCE BYTES: runs a read-only script; what it prints goes through as it comes, and the
# trailer with the nonce, which the script cannot know, ends it.
query() {
	take "$2"
	say output
	sh /dev/fd/3 3<<-END </dev/null 2>&1
		$taken
	END
	printf '\npcb1 %s %d\n' "$1" "$?"
}

# put SHA256 BYTES: takes a file in, unless it's there.
put() {
	path=$root/artifacts/$1
	if [ -e "$path" ]; then
		say have
		return
	fi
	mkdir -p "$root/artifacts" || die "cannot make $root/artifacts"
	new=$path.$$
	trap 'rm -f "$new"' EXIT
	say send
	head -c "$2" >"$new" || die "cannot write $new (is the disk full or read-only?)"
	printf '%s  %s\n' "$1" "$new" | sha256sum -c --status 2>/dev/null ||
		die 'the file arrived damaged or not whole'
	mv "$new" "$path" || die "cannot write $path"
	say stored
}

IFS=' ' read -r verb root rest || die 'no request came'
# The arguments hold neither spaces nor patterns: the sender allows letters, digits and "._-".
# shellcheck disable=SC2086
set -- $rest
case $verb in
run) run_step "$@" ;;
follow) follow "$root/runs/$1/$2" "$3" ;;
query) query "$@" ;;
put) put "$@" ;;
*) die "the request $verb is not known" ;;
esac
