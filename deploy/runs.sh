#!/bin/sh
# Prints what a host knows of runs, one step a line: "step RUN STEP STATE FOLLOWED ABOUT", where an
# end that was written down has its time behind it (STATE@SECONDS). Changes nothing. Runs as root;
# lib/plan/host_runs.rs reads the output.
set -eu
LC_ALL=C
export LC_ALL
root=${PAAS_ROOT:-/var/lib/paas-cluster-build}

# Tells whether the process in the file $1 is there and has $2 on its command line.
at_work() {
	{ read -r number <"$1"; } 2>/dev/null || return 1
	grep -qaF -- "$2" "/proc/$number/cmdline" 2>/dev/null
}

for dir in "$root"/runs/*/*/; do
	dir=${dir%/}
	if ! [ -e "$dir/pid" ]; then continue; fi
	followed=no
	if at_work "$dir/pid" "$dir/wrapper" || at_work "$dir/step-pid" "$dir/script"; then
		state=running
		if ! flock -n -x "$dir/followed" true 2>/dev/null; then followed=yes; fi
	elif [ -e "$dir/stopped" ] && [ -e "$dir/status" ]; then
		state=stopped
	elif [ -e "$dir/status" ]; then
		state=$(cat "$dir/status")
	else
		state=unknown
	fi
	if [ "$state" != running ] && [ -e "$dir/status" ]; then
		state=$state@$(stat -c %Y "$dir/status")
	fi
	run=${dir%/*}
	about='{}'
	if [ -e "$dir/about" ]; then about=$(head -n 1 "$dir/about"); fi
	printf 'step %s %s %s %s %s\n' "${run##*/}" "${dir##*/}" "$state" "$followed" "$about"
done
