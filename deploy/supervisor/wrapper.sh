#!/bin/sh
# Runs one step to its end and writes down how it ended. Started detached by supervisor.sh with
# the host's lock open on descriptor 9; lies beside the step's script while it works, so that `ps`
# names the run. It neither talks to the controller nor knows whether one is there.
set -eu
umask 077
base=$1 run=$2 step=$3
# Seconds until the step is ended, 0 for never; bytes of output that are kept; seconds between TERM
# and KILL.
deadline=$4 cap=$5 grace=$6
dir=$base/runs/$run/$step
# How much of the output's beginning is always kept.
head=1048576

# Replaces the file $1 by standard input: whole or not at all, also when the power goes.
replace() {
	cat >"$1.new"
	sync "$1.new"
	mv "$1.new" "$1"
	sync "${1%/*}"
}

# Writes the receipt: what the controller sent, and what only the host knows. A step that is sent
# without one (a restart, for example) leaves the old one as it is.
write_receipt() {
	if ! [ -s "$dir/receipt" ]; then return 0; fi
	{
		cat "$dir/receipt"
		if [ -e "$dir/stopped" ]; then printf ',"stopped":"%s"' "$(cat "$dir/stopped")"; fi
		printf ',"status":%s,"started":%s,"finished":%s,"boot_id":"%s"}\n' \
			"$1" "$started" "$2" "$(cat "$dir/boot-id")"
	} | replace "$base/receipts/$step.json"
}

# Ends the step, because of $2…: TERM for all its processes, and KILL after $1 seconds.
end_step() {
	left=$1
	shift
	# Before the signal: what the step dies of has to be known.
	printf '%s\n' "$*" | replace "$dir/stopped"
	kill -s TERM -- "-$leader" 2>/dev/null || return 0
	while [ "$left" -gt 0 ] && kill -s 0 -- "-$leader" 2>/dev/null; do
		left=$((left - 1))
		sleep 1
	done
	kill -s KILL -- "-$leader" 2>/dev/null || :
}

# Gives the disk back what lies between the beginning and the newest half of what is kept. What
# remains stays at its place in the file, so that who follows needn't know; the file `dropped` says
# what is gone, before it goes.
drop_output() {
	to=$(($1 - cap / 2))
	printf '%s %s\n' "$head" "$to" >"$dir/dropped.new"
	mv "$dir/dropped.new" "$dir/dropped"
	fallocate -p -o "$head" -l "$((to - head))" "$dir/out"
}

# Looks once a second whether the step has to be ended or prints too much.
guard() {
	dropped=$head
	# By the kernel's own clock: a date that is set meanwhile neither ends the step nor spares it.
	IFS='. ' read -r began _ </proc/uptime
	while sleep 1 && kill -0 "$leader" 2>/dev/null; do
		if [ -e "$dir/stop" ]; then
			# shellcheck disable=SC2046 # words: the seconds, then the reason
			end_step $(cat "$dir/stop")
			return 0
		fi
		IFS='. ' read -r now _ </proc/uptime
		if [ "$deadline" -gt 0 ] && [ "$((now - began))" -ge "$deadline" ]; then
			end_step "$grace" deadline "$deadline"
			return 0
		fi
		size=$(wc -c <"$dir/out")
		if [ "$((size - dropped))" -gt "$cap" ]; then
			if drop_output "$size"; then
				dropped=$to
			else
				end_step "$grace" output "$cap"
				return 0
			fi
		fi
	done
}

started=$(date +%s)
# From here on the host is no longer what the old receipt says. Status -1 stands until the end is
# known, and for ever if it never is.
write_receipt -1 0
# From here on the step counts as started.
printf '%s\n' "$$" | replace "$dir/pid"
# Closes what supervisor.sh waits for. What goes wrong below is told in the step's output.
exec >>"$dir/out" 2>&1
# A machine that goes down ends every process; this one stays for a moment to tell how the step
# took it.
trap '' HUP INT TERM

# The step has a session of its own, so that it can be ended as a whole, and no lock: a daemon
# that it starts would hold it for ever.
(
	trap - HUP INT TERM
	umask 022
	cd /
	PAAS_ROOT=$base PAAS_RUN=$run PAAS_STEP=$step
	export PAAS_ROOT PAAS_RUN PAAS_STEP
	exec setsid sh "$dir/script" </dev/null 9>&-
) &
leader=$!
printf '%s\n' "$leader" >"$dir/step-pid"
# A function's own redirection would keep a copy of the lock open.
(
	exec 9>&-
	guard
) </dev/null &
guard=$!
status=0
wait "$leader" || status=$?
# The step's own processes may still be ending: a guard that is at it isn't disturbed.
if [ -e "$dir/stopped" ]; then wait "$guard" || :; else kill -KILL "$guard" 2>/dev/null || :; fi

if ! [ -e "$dir/keep" ]; then rm -f "$dir/script"; fi
# What can't be blotted out (a full disk) stays to be done by whoever comes next.
if [ -e "$dir/redact" ]; then sh "$dir/blot" "$dir" || :; fi
write_receipt "$status" "$(date +%s)"
# The lock goes before the status comes: who reads the status may start the next step at once.
rm -f "$base/holder"
exec 9>&-
rm -f "$dir/receipt" "$dir/wrapper"
printf '%s\n' "$status" | replace "$dir/status"
