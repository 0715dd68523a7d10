#!/bin/sh
# shellcheck disable=SC2016 # each check below is a script of its own, handed over as one word
# Looks at a host and prints what it finds, one fact a line: "key value". Changes nothing.
# Runs as root; lib/plan/facts.rs reads the output.
set -eu
LC_ALL=C
export LC_ALL
root=${PAAS_ROOT:-/var/lib/paas-cluster-build}

# Prints the lines of a file that may be missing.
lines_of() {
	if [ -r "$1" ]; then cat "$1"; fi
}

os_release() {
	(
		# shellcheck disable=SC1091
		. /etc/os-release 2>/dev/null || exit 0
		printf 'os_id %s\nos_version %s\nos_name %s\n' \
			"${ID:-}" "${VERSION_ID:-}" "${PRETTY_NAME:-}"
	)
}

# The kernel lists sockets in hex; state 0A is LISTEN. It needs no program that a bare
# machine may lack.
listening_ports() {
	{
		lines_of /proc/net/tcp
		lines_of /proc/net/tcp6
	} | awk '$4 == "0A" { split($2, part, ":"); print part[2] }' | sort -u | while read -r hex; do
		printf 'port %d\n' "0x$hex"
	done
}

# A file system that hangs, such as a mount whose server is gone, holds up who asks for its size.
free_space() {
	code=0
	said=$(timeout -s KILL 20 df -Pk /var/lib 2>/dev/null) || code=$?
	case $code in
	0) printf '%s\n' "$said" | awk 'NR == 2 { print "disk_free_kib " $4 }' ;;
	124 | 137) echo 'disk_hangs 20' ;;
	esac
}

# Runs one step's check, only where the step has left a receipt. Checks run at once: the line that
# one prints is short enough to stay whole.
check_health() {
	if ! [ -e "$root/receipts/$1.json" ]; then return 0; fi
	if said=$(printf '%s\n' "$2" | timeout -k 5 60 sh 2>&1); then
		printf 'healthy %s\n' "$1"
	else
		printf 'unhealthy %s %s\n' "$1" "$(printf '%s\n' "$said" | tail -n 1 | cut -c 1-2000)"
	fi
}

# Tells whether the process in the file $1 is there and has $2 on its command line.
at_work() {
	{ read -r number <"$1"; } 2>/dev/null || return 1
	grep -qaF -- "$2" "/proc/$number/cmdline" 2>/dev/null
}

# Tells whether a step's instance leads the others, only where the step has left a receipt.
check_leader() {
	if ! [ -e "$root/receipts/$1.json" ]; then return 0; fi
	if printf '%s\n' "$2" | timeout -k 5 30 sh >/dev/null 2>&1; then printf 'leader %s\n' "$1"; fi
}

# Who has the host now, and whether a controller follows that step. The lock itself isn't touched:
# whoever starts a step in this moment shall not find it taken.
holder() {
	{ read -r note && read -r left; } 2>/dev/null <"$root/holder" || return 0
	if at_work "$left/pid" "$left/wrapper" || at_work "$left/step-pid" "$left/script"; then
		followed=yes
		if flock -n -x "$left/followed" true 2>/dev/null; then followed=no; fi
		printf 'busy %s %s\n' "$followed" "$note"
	fi
}

os_release
holder
if [ -d /run/systemd/system ]; then echo 'init systemd'; else echo 'init other'; fi
free_space
listening_ports
for file in "$root"/receipts/*.json; do
	if ! [ -e "$file" ]; then continue; fi
	step=${file##*/}
	printf 'receipt %s %s\n' "${step%.json}" "$(tr '\n' ' ' <"$file")"
done
for file in "$root"/secrets/*; do
	if ! [ -f "$file" ]; then continue; fi
	printf 'secret %s %s\n' "${file##*/}" "$(head -n 1 "$file")"
done
{% for check in checks %}check_health {{ check.step }} {{ check.script }} &
{% endfor %}{% for leader in leaders %}check_leader {{ leader.step }} {{ leader.script }} &
{% endfor %}wait
# Last, so that the time that the checks took doesn't look like a wrong clock.
date '+clock %s'
