# The on-host supervisor: one request from standard input, one conversation on standard output.
# Sent by the controller with each request and never installed; docs/on-host-protocol.md tells
# what it says and what it promises. It isn't what waits for a step: that is wrapper.sh.
#
# The loader evals this text, with the request behind it on the same standard input. Comment lines
# and empty lines are left out when it is sent. Set before it: wrapper and blot, the texts of
# wrapper.sh and blot.sh.
# shellcheck shell=sh
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
# The request's blobs, set by take_text.
receipt='' holder='' script='' by='' redact=''
wrapper=${wrapper-} blot=${blot-}
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

# Makes the file $1 of standard input: whole or not at all.
put_text() {
	cat >"$1.$$" && mv "$1.$$" "$1"
}

# Only what can stand in a line, in a file's text and in JSON as it is.
plain_words() {
	printf '%s' "$1" | tr -c 'A-Za-z0-9 ._@:+-' '_'
}

# --- ending a step ----------------------------------------------------------------------------

# Asks for the end of the step in $1, within $2 seconds after a TERM. Its wrapper looks for the file
# once a second and does the rest; where the wrapper was killed, it's done here.
end_step() {
	if [ -e "$1/status" ]; then return 0; fi
	if at_work "$1/pid" "$1/wrapper"; then
		printf '%s cancelled %s\n' "$2" "$(plain_words "$by")" | put_text "$1/stop"
		return 0
	fi
	if ! at_work "$1/step-pid" "$1/script"; then return 0; fi
	read -r leader <"$1/step-pid"
	printf 'cancelled %s\n' "$(plain_words "$by")" | put_text "$1/stopped"
	kill -s TERM -- "-$leader" 2>/dev/null || return 0
	left_s=$2
	while [ "$left_s" -gt 0 ] && at_work "$1/step-pid" "$1/script"; do
		left_s=$((left_s - 1))
		say alive
		sleep 1
	done
	kill -s KILL -- "-$leader" 2>/dev/null || return 0
}

# Lets no further step of the run in the folder $1 start here.
close_run() {
	plain_words "$by" | put_text "$1/cancelled"
}

# --- start ------------------------------------------------------------------------------------

# Removes the script, which may hold secrets, of a step that nobody watches any more, and blots them
# out of its output.
sweep() {
	if at_work "$1/step-pid" "$1/script" || at_work "$1/pid" "$1/wrapper"; then return 0; fi
	if [ -e "$1/redact" ]; then sh "$1/blot" "$1" || :; fi
	if ! [ -e "$1/keep" ]; then rm -f "$1/script"; fi
}

# Tries to take the host's lock on descriptor 9. Else the variable note has what its holder said of
# itself, and left the folder of the holder's step; both may be empty for a moment.
try_lock() {
	note='' left=''
	if ! why=$({ : >>"$base/lock"; } 2>&1); then fail "$why$(not_root)"; fi
	exec 9<>"$base/lock"
	code=0
	why=$(flock -n -E 75 9 2>&1) || code=$?
	if [ "$code" -ne 0 ] && [ "$code" -ne 75 ]; then fail "the lock can't be taken: $why"; fi
	if [ -e "$base/holder" ]; then
		{ read -r note && read -r left; } <"$base/holder" 2>/dev/null || left=''
	fi
	if [ "$code" -eq 75 ]; then
		exec 9>&-
		return 1
	fi
	# A holder's note without its lock: the wrapper was killed, or the power went. The step that it
	# watched may live on without it, and then the host isn't free.
	if [ -z "$left" ]; then return 0; fi
	sweep "$left"
	if at_work "$left/step-pid" "$left/script"; then
		exec 9>&-
		return 1
	fi
}

# Seconds since the machine booted: no clock that somebody sets.
now() {
	cut -d . -f 1 /proc/uptime
}

# Takes the host's lock, or says who has it and ends. When it's taken, does as $1 says: refuse,
# wait-SECONDS, or takeover, which ends the other's step.
lock_host() {
	said_so=no
	until=0
	case $1 in
	wait-*) until=$(($(now) + ${1#wait-})) ;;
	# For a step that doesn't die, and for a holder that isn't a step.
	takeover) until=$(($(now) + grace + 30)) ;;
	esac
	while ! try_lock; do
		# The start that was sent twice: the first one holds the lock for this very step.
		if [ -e "$dir/pid" ]; then follow 0 own; fi
		if [ "$(now)" -ge "$until" ]; then
			say locked "$note"
			exit 0
		fi
		if [ "$1" = takeover ] && [ -n "$left" ]; then
			if [ "$said_so" = no ]; then say took "$note"; fi
			said_so=yes
			close_run "${left%/*}"
			end_step "$left" "$grace"
		elif [ "$said_so" = no ] && [ -n "$note" ]; then
			say waiting "$note"
			said_so=yes
		fi
		sleep 0.5
		say alive
	done
}

# Puts everything into place that the wrapper needs. One chain, because `set -e` sleeps in the
# condition that calls it.
write_run() {
	mkdir -p "$dir" &&
		rm -rf "${dir:?}"/* &&
		printf '%s' "$script" >"$dir/script" &&
		printf '%s' "$wrapper" >"$dir/wrapper" &&
		printf '%s' "$receipt" >"$dir/receipt" &&
		printf '%s\n' "$holder" >"$dir/about" &&
		this_boot >"$dir/boot-id" &&
		: >"$dir/out" &&
		: >"$dir/followed" &&
		if [ -n "$redact" ]; then
			printf '%s' "$redact" >"$dir/redact" && printf '%s' "$blot" >"$dir/blot"
		fi &&
		mkfifo "$dir/ready" &&
		if [ "$keep" = yes ]; then : >"$dir/keep"; fi &&
		printf '%s\n%s\n' "$holder" "$dir" >"$base/holder.new" &&
		mv "$base/holder.new" "$base/holder"
}

# Removes the oldest runs beyond the newest fifty; the receipts tell of what they did.
prune_runs() {
	# Names of runs hold no blanks or newlines: check_name has seen each.
	# shellcheck disable=SC2012
	ls -1t "$base/runs" | tail -n +51 | while read -r old; do
		for one_step in "$base/runs/$old"/*/; do
			one_step=${one_step%/}
			if at_work "$one_step/pid" "$one_step/wrapper"; then continue 2; fi
			if at_work "$one_step/step-pid" "$one_step/script"; then continue 2; fi
		done
		rm -rf "${base:?}/runs/$old"
	done
}

# Tells whether the receipt that lies here says the same as the first $1 bytes of the one that came,
# and that the step went well. Then somebody has done it since the controller looked.
done_meanwhile() {
	kept=$base/receipts/$step.json
	if [ "$1" -eq 0 ] || ! [ -e "$kept" ]; then return 1; fi
	if [ "$(head -c "$1" "$kept" | sha256sum)" != "$(printf '%s' "$receipt" | head -c "$1" | sha256sum)" ]; then
		return 1
	fi
	# What the wrapper has added; in a text before it, the quotes would have a backslash each.
	tail -c 400 "$kept" | grep -q ',"status":0,"started":' || return 1
	! tail -c 400 "$kept" | grep -q ',"stopped":"'
}

# The line about the newest step of this name here that has ended; empty without one.
last_holder() {
	# Names of runs hold no blanks or newlines: check_name has seen each.
	# shellcheck disable=SC2012
	newest=$(ls -1td "$base"/runs/*/"$step" 2>/dev/null | head -n 1)
	cat "$newest/about" 2>/dev/null || :
}

# run RUN STEP KEEP ON-LOCK DEADLINE CAP GRACE SETTLED-BY SCRIPT RECEIPT HOLDER BY REDACT
run_step() {
	run=$1 step=$2 keep=$3 on_lock=$4 deadline=$5 cap=$6 grace=$7 settled_by=$8
	shift 8
	# The whole request is read before anything is decided: the controller writes it in one go.
	take_text script "$1"
	take_text receipt "$2"
	take_text holder "$3"
	take_text by "$4"
	take_text redact "$5"
	dir=$base/runs/$run/$step
	need_program flock util-linux
	need_program setsid util-linux
	make_folder "$base" "$base/receipts" "$base/runs/$run"
	# Whatever has a pid was started before. It is followed and never started again.
	if [ -e "$dir/pid" ]; then follow 0 own; fi
	lock_host "$on_lock"
	if [ -e "$dir/pid" ]; then
		exec 9>&-
		follow 0 own
	fi
	if [ -e "$base/runs/$run/cancelled" ]; then
		say refused "$(cat "$base/runs/$run/cancelled")"
		exit 0
	fi
	if done_meanwhile "$settled_by"; then
		say 'done' "$(last_holder)"
		exit 0
	fi
	prune_runs
	if ! why=$(write_run 2>&1); then
		rm -rf "$dir" "$base/holder.new" "$base/holder"
		fail "the step's files can't be written: $why"
	fi
	# The wrapper inherits the lock. It closes the pipe once its pid is on disk, or dies: `cat` waits
	# for just that. It stays a child of this shell, which so learns of its end at once.
	setsid sh "$dir/wrapper" "$base" "$run" "$step" "$deadline" "$cap" "$grace" \
		</dev/null >"$dir/ready" 2>&1 &
	said=$(cat "$dir/ready")
	rm -f "$dir/ready"
	exec 9>&-
	if ! [ -e "$dir/pid" ]; then
		rm -f "$dir/script" "$base/holder"
		fail "the step couldn't be started: $said"
	fi
	follow 0 own
}

# --- follow -----------------------------------------------------------------------------------

# Says how the step ended, nothing while it runs. Life is looked at before the status: a wrapper
# that is gone now has written what it was ever going to write.
how_it_ended() {
	alive=yes
	at_work "$dir/pid" "$dir/wrapper" || alive=no
	if [ -e "$dir/status" ] && [ -e "$dir/stopped" ]; then
		say stopped "$(cat "$dir/status") $(cat "$dir/stopped")"
	elif [ -e "$dir/status" ]; then
		say end "$(cat "$dir/status")"
	elif [ "$(cat "$dir/boot-id" 2>/dev/null)" != "$(this_boot)" ]; then
		say unknown 'host rebooted while the step ran'
	elif [ "$alive" = no ]; then
		free=$(df -Pk "$base" | awk 'NR == 2 { print $4 }')
		say unknown "what watched the step was killed, or couldn't write down how it ended ($free KiB are free in $base)"
	fi
}

# Ends this follower when its controller is gone, which closes the standard input. Without it the
# follower would find out at its next word only, and look like somebody who watches.
watch_input() {
	exec 7<&0
	{
		cat <&7
		kill "$$"
	} >/dev/null 2>&1 8>&- &
	input_watcher=$!
	exec 7<&-
	trap 'kill "$input_watcher" 2>/dev/null || :; rm -f "$dir/piece.$$"' EXIT
}

# Sets from and to: the part of the output that the wrapper has dropped.
where_dropped() {
	from=$size to=0
	if [ -e "$dir/dropped" ]; then read -r from to <"$dir/dropped"; fi
}

# Sends the output from byte $1 on, waits for more, and ends with how the step ended. As `own` it
# counts as the step's controller, as `watch` it only looks on.
follow() {
	offset=$1
	if [ "$2" = own ] && [ -e "$dir/followed" ]; then
		exec 8<"$dir/followed"
		flock -s 8
	fi
	watch_input
	while :; do
		ended=$(how_it_ended)
		# Looked at after the end: so nothing that the step wrote can be missed.
		size=$(wc -c <"$dir/out")
		where_dropped
		if [ "$offset" -ge "$from" ] && [ "$offset" -lt "$to" ]; then
			say dropped "$((to - offset))"
			offset=$to
		fi
		more=$((size - offset))
		if [ "$offset" -lt "$from" ] && [ "$((offset + more))" -gt "$from" ]; then
			more=$((from - offset))
		fi
		if [ "$more" -ge 1048576 ]; then
			# Far behind: what is read may be dropped while it's read. So a piece is taken aside
			# first, and sent if it was still there afterwards.
			more=1048576
			tail -c "+$((offset + 1))" "$dir/out" 2>/dev/null | head -c "$more" >"$dir/piece.$$" || :
			where_dropped
			if [ "$offset" -ge "$from" ] && [ "$offset" -lt "$to" ]; then continue; fi
			more=$(wc -c <"$dir/piece.$$")
			say data "$more"
			cat "$dir/piece.$$"
			rm -f "$dir/piece.$$"
			offset=$((offset + more))
		elif [ "$more" -gt 0 ]; then
			say data "$more"
			tail -c "+$((offset + 1))" "$dir/out" 2>/dev/null | head -c "$more"
			offset=$((offset + more))
		fi
		if [ "$offset" -lt "$size" ]; then continue; fi
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
			# it's there.
			read -r number <"$dir/pid"
			timeout 30 tail -c "+$((offset + 1))" -f -s 0.1 --pid="$number" "$dir/out" \
				2>/dev/null 8>&- | head -c 1 >/dev/null 8>&-
			say alive
		fi
	done
}

# Ends with `unknown` where the step was never started.
need_step() {
	dir=$base/runs/$1/$2
	if ! [ -e "$dir/pid" ]; then
		say unknown 'the host knows nothing of this step: it was never started there'
		exit 0
	fi
}

# follow RUN STEP OFFSET own|watch
follow_again() {
	need_step "$1" "$2"
	follow "$3" "$4"
}

# stop RUN STEP OFFSET GRACE BY: ends the step and follows it to its end.
stop_step() {
	take_text by "$5"
	need_step "$1" "$2"
	end_step "$dir" "$4"
	follow "$3" watch
}

# cancel RUN GRACE BY: ends what runs of the run, and lets nothing more of it start.
cancel_run() {
	take_text by "$3"
	make_folder "$base/runs/$1"
	if ! why=$(close_run "$base/runs/$1" 2>&1); then fail "$why"; fi
	ended=0
	for dir in "$base/runs/$1"/*/; do
		dir=${dir%/}
		if ! [ -e "$dir/pid" ] || [ -e "$dir/status" ]; then continue; fi
		if at_work "$dir/pid" "$dir/wrapper" || at_work "$dir/step-pid" "$dir/script"; then
			ended=$((ended + 1))
			end_step "$dir" "$2"
		fi
	done
	say cancelled "$ended"
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

# --- watch ------------------------------------------------------------------------------------

# watch BYTES: what the script prints is the answer, for as long as the controller listens. The script
# takes this shell's place, so that the end of the standard input ends it.
watch() {
	take_text script "$1"
	watch_input
	trap - EXIT
	say output
	PAAS_ROOT=$base exec sh -c "$script" </dev/null
}

# --- the request ------------------------------------------------------------------------------

main() {
	# What was said before may have ended without a newline.
	printf '\n'
	IFS=' ' read -r verb base words || fail 'no request came'
	case $base in
	/*) ;;
	*) fail "not an absolute path: $base" ;;
	esac
	cd /
	# The words of a request hold no blanks and no patterns: the controller makes them.
	set -f
	# shellcheck disable=SC2086
	set -- $words
	set +f
	case $verb in
	run | follow | stop)
		check_name "$1"
		check_name "$2"
		;;
	put | cancel) check_name "$1" ;;
	esac
	case $verb in
	run) run_step "$@" ;;
	follow) follow_again "$@" ;;
	stop) stop_step "$@" ;;
	cancel) cancel_run "$@" ;;
	put) put "$@" ;;
	query) query "$@" ;;
	watch) watch "$@" ;;
	*) fail "an unknown request: $verb" ;;
	esac
}

# The last line: of a text that was cut short, nothing runs.
main
