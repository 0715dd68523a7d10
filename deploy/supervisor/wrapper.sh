#!/bin/sh
# Runs one step to its end and writes down how it ended. Started detached by supervisor.sh with
# the host's lock open on descriptor 9; lies beside the step's script while it works, so that `ps`
# names the run. It neither talks to the controller nor knows whether one is there.
set -eu
umask 077
base=$1 run=$2 step=$3
dir=$base/runs/$run/$step

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
		printf ',"status":%s,"started":%s,"finished":%s,"boot_id":"%s"}\n' \
			"$1" "$started" "$2" "$(cat "$dir/boot-id")"
	} | replace "$base/receipts/$step.json"
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
printf '%s\n' "$!" >"$dir/step-pid"
status=0
wait "$!" || status=$?

if ! [ -e "$dir/keep" ]; then rm -f "$dir/script"; fi
write_receipt "$status" "$(date +%s)"
# The lock goes before the status comes: who reads the status may start the next step at once.
rm -f "$base/holder"
exec 9>&-
rm -f "$dir/receipt" "$dir/wrapper"
printf '%s\n' "$status" | replace "$dir/status"
