# The on-host supervisor: one request from standard input, one conversation on standard output.
# Sent by the controller with each request and never installed; docs/on-host-protocol.md tells
# what it says and what it promises. It isn't what waits for a step: that is wrapper.sh.
#
# The loader evals this text, with the request behind it on the same standard input. Comment lines
# and empty lines are left out when it is sent. Set before it: wrapper, the text of wrapper.sh.
# shellcheck shell=sh
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
# The request's blobs, set by take_text.
receipt='' holder='' script=''
wrapper=${wrapper-}
# A file that is coming in.
part=''

# --- talking ----------------------------------------------------------------------------------

# Every line to the controller begins with the protocol's name; all else counts as noise.
say() {
	printf 'pcb1 %s\n' "$*"
}

# Ends with a reason, squeezed into one line. Tidies up first: the controller leaves at once.
fail() {
	if [ -n "$part" ]; then rm -f "$part"; fi
	say error "$(printf '%s' "$*" | tr '\n\r' '  ')"
	exit 0
}

# Reads exactly $2 bytes into the variable $1. The mark keeps the newlines at the text's end.
take_text() {
	text=$(head -c "$2" && printf .)
	text=${text%.}
	if [ "${#text}" -ne "$2" ]; then fail 'the request was cut short on its way'; fi
	eval "$1=\$text"
}

# --- the folder -------------------------------------------------------------------------------

make_folder() {
	if ! why=$(mkdir -p "$@" 2>&1); then fail "$why$(not_root)"; fi
}

not_root() {
	if [ "$(id -u)" -ne 0 ]; then printf ' (working as %s, not as root)' "$(id -un)"; fi
}

need_program() {
	if ! command -v "$1" >/dev/null; then fail "$1 is missing (package $2)"; fi
}

check_name() {
	case $1 in
	'' | .* | *[!A-Za-z0-9._-]*) fail "not a name for a folder: $1" ;;
	esac
}

this_boot() {
	cat /proc/sys/kernel/random/boot_id
}

# Tells whether the process in the pid file $1 is there and has $2 on its command line. A number
# alone proves nothing: it may be a zombie's, or belong to somebody else by now.
at_work() {
	{ read -r number <"$1"; } 2>/dev/null || return 1
	grep -qaF -- "$2" "/proc/$number/cmdline" 2>/dev/null
}

# --- start ------------------------------------------------------------------------------------

# Removes the script, which may hold secrets, of a step that nobody watches any more.
sweep() {
	if [ -e "$1/keep" ] || at_work "$1/step-pid" "$1/script"; then return 0; fi
	rm -f "$1/script"
}

# Takes the host's lock on descriptor 9, or tells who has it and ends.
lock_host() {
	if ! why=$({ : >>"$base/lock"; } 2>&1); then fail "$why$(not_root)"; fi
	exec 9<>"$base/lock"
	code=0
	why=$(flock -n -E 75 9 2>&1) || code=$?
	if [ "$code" -eq 75 ]; then
		exec 9>&-
		# The start that was sent twice: the first one holds the lock for this very step.
		if [ -e "$dir/pid" ]; then follow 0; fi
		say locked "$(head -n 1 "$base/holder" 2>/dev/null)"
		exit 0
	fi
	if [ "$code" -ne 0 ]; then fail "the lock can't be taken: $why"; fi
	# A holder's note without its lock: the wrapper was killed, or the power went. The step that it
	# watched may live on without it, and then the host isn't free.
	if ! [ -e "$base/holder" ]; then return 0; fi
	{ read -r note && read -r left; } <"$base/holder" || left=
	if [ -z "$left" ]; then return 0; fi
	sweep "$left"
	if at_work "$left/step-pid" "$left/script"; then
		exec 9>&-
		say locked "$note"
		exit 0
	fi
}

# Puts everything into place that the wrapper needs. One chain, because `set -e` sleeps in the
# condition that calls it.
write_run() {
	mkdir -p "$dir" &&
		rm -rf "${dir:?}"/* &&
		printf '%s' "$script" >"$dir/script" &&
		printf '%s' "$wrapper" >"$dir/wrapper" &&
		printf '%s' "$receipt" >"$dir/receipt" &&
		this_boot >"$dir/boot-id" &&
		: >"$dir/out" &&
		mkfifo "$dir/ready" &&
		if [ "$keep" = yes ]; then : >"$dir/keep"; fi &&
		printf '%s\n%s\n' "$holder" "$dir" >"$base/holder.new" &&
		mv "$base/holder.new" "$base/holder"
}

# run RUN STEP yes|no SCRIPT-BYTES RECEIPT-BYTES HOLDER-BYTES (yes: the script stays)
run_step() {
	run=$1 step=$2 keep=$3
	# The whole request is read before anything is decided: the controller writes it in one go.
	take_text script "$4"
	take_text receipt "$5"
	take_text holder "$6"
	dir=$base/runs/$run/$step
	need_program flock util-linux
	need_program setsid util-linux
	make_folder "$base" "$base/receipts" "$base/runs/$run"
	# Whatever has a pid was started before. It is followed and never started again.
	if [ -e "$dir/pid" ]; then follow 0; fi
	lock_host
	if [ -e "$dir/pid" ]; then
		exec 9>&-
		follow 0
	fi
	if ! why=$(write_run 2>&1); then
		rm -rf "$dir" "$base/holder.new" "$base/holder"
		fail "the step's files can't be written: $why"
	fi
	# The wrapper inherits the lock. It closes the pipe once its pid is on disk, or dies: `cat` waits
	# for just that. It stays a child of this shell, which so learns of its end at once.
	setsid sh "$dir/wrapper" "$base" "$run" "$step" </dev/null >"$dir/ready" 2>&1 &
	said=$(cat "$dir/ready")
	rm -f "$dir/ready"
	exec 9>&-
	if ! [ -e "$dir/pid" ]; then
		rm -f "$dir/script" "$base/holder"
		fail "the step couldn't be started: $said"
	fi
	follow 0
}

# --- follow -----------------------------------------------------------------------------------

# Says how the step ended, nothing while it runs. Life is looked at before the status: a wrapper
# that is gone now has written what it was ever going to write.
how_it_ended() {
	alive=yes
	at_work "$dir/pid" "$dir/wrapper" || alive=no
	if [ -e "$dir/status" ]; then
		say end "$(cat "$dir/status")"
	elif [ "$(cat "$dir/boot-id" 2>/dev/null)" != "$(this_boot)" ]; then
		say unknown 'the host rebooted while the step ran'
	elif [ "$alive" = no ]; then
		free=$(df -Pk "$base" | awk 'NR == 2 { print $4 }')
		say unknown "what watched the step was killed, or couldn't write down how it ended ($free KiB are free in $base)"
	fi
}

# Sends the output from byte $1 on, waits for more, and ends with how the step ended.
follow() {
	offset=$1
	while :; do
		ended=$(how_it_ended)
		# Looked at after the end: so nothing that the step wrote can be missed.
		size=$(wc -c <"$dir/out")
		more=$((size - offset))
		if [ "$more" -gt 0 ]; then
			say data "$more"
			tail -c "+$((offset + 1))" "$dir/out" 2>/dev/null | head -c "$more"
			offset=$size
		fi
		if [ -n "$ended" ]; then
			sweep "$dir"
			printf '%s\n' "$ended"
			exit 0
		fi
		if [ "$more" -gt 0 ]; then
			# A chatty step shall not keep this loop busy: at most ten frames a second.
			sleep 0.1
		else
			# Sleeps until the first new byte or the wrapper's end. Tells every half minute that
			# it's there; that also ends a follower whose controller has gone.
			read -r number <"$dir/pid"
			timeout 30 tail -c "+$((offset + 1))" -f -s 0.1 --pid="$number" "$dir/out" \
				2>/dev/null | head -c 1 >/dev/null
			say alive
		fi
	done
}

# follow RUN STEP OFFSET
follow_again() {
	dir=$base/runs/$1/$2
	if ! [ -e "$dir/pid" ]; then
		say unknown 'the host knows nothing of this step: it was never started there'
		exit 0
	fi
	follow "$3"
}

# --- put --------------------------------------------------------------------------------------

# put SHA256 BYTES
put() {
	target=$base/artifacts/$1
	make_folder "$base/artifacts"
	if [ -f "$target" ] && [ "$(wc -c <"$target")" -eq "$2" ]; then
		say have
		exit 0
	fi
	# What cut transfers left behind.
	find "$base/artifacts" -name 'incoming.*' -mmin +60 -exec rm -f {} +
	free=$(df -Pk "$base/artifacts" | awk 'NR == 2 { print $4 }')
	if [ "$free" -le "$(($2 / 1024))" ]; then
		fail "the disk is too full for the file: $(($2 / 1024)) KiB to come, $free KiB free in $base"
	fi
	part=$base/artifacts/incoming.$$
	trap 'rm -f "$part"' EXIT
	trap 'exit 1' HUP INT TERM
	say send
	if ! why=$(head -c "$2" 2>&1 >"$part"); then fail "the file can't be written: $why"; fi
	if [ "$(wc -c <"$part")" -ne "$2" ]; then fail 'the file was cut short on its way'; fi
	sum=$(sha256sum <"$part")
	if [ "${sum%% *}" != "$1" ]; then fail "the file came with another digest: ${sum%% *}"; fi
	sync "$part"
	mv "$part" "$target"
	sync "$base/artifacts"
	say stored
}

# --- query ------------------------------------------------------------------------------------

# query NONCE BYTES: what the script prints goes through as it comes. The host doesn't know how much
# that will be, so it ends with a word that the script can't know.
query() {
	take_text script "$2"
	say output
	code=0
	printf '%s' "$script" | sh_from_pipe 2>&1 || code=$?
	printf '\npcb1 %s %d\n' "$1" "$code"
}

# Runs the script on standard input, with nothing on its own standard input.
sh_from_pipe() {
	PAAS_ROOT=$base sh /dev/fd/8 8<&0 </dev/null
}

# --- the request ------------------------------------------------------------------------------

main() {
	# What was said before may have ended without a newline.
	printf '\n'
	IFS=' ' read -r verb base one two three four five six || fail 'no request came'
	case $base in
	/*) ;;
	*) fail "not an absolute path: $base" ;;
	esac
	cd /
	case $verb in
	run | follow)
		check_name "$one"
		check_name "$two"
		;;
	put) check_name "$one" ;;
	esac
	case $verb in
	run) run_step "$one" "$two" "$three" "$four" "$five" "$six" ;;
	follow) follow_again "$one" "$two" "$three" ;;
	put) put "$one" "$two" ;;
	query) query "$one" "$two" ;;
	*) fail "an unknown request: $verb" ;;
	esac
}

# The last line: of a text that was cut short, nothing runs.
main
