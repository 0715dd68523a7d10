#!/bin/sh
# Writes receipts of steps that were found done, without running any. One that is there already stays
# as it is, so that a second time changes nothing. Runs as root.
set -eu
umask 077
LC_ALL=C
export LC_ALL
root=${PAAS_ROOT:-/var/lib/paas-cluster-build}
mkdir -p "$root/receipts"
chmod 0700 "$root" "$root/receipts"
# The lock of steps: nothing that runs here at this moment is taken for done.
exec 9>>"$root/lock"
if ! flock -n 9; then
	echo 'another run is at work on this host'
	exit 3
fi

# adopt STEP RECEIPT: the receipt comes without its end, which only the host knows.
adopt() {
	if [ -e "$root/receipts/$1.json" ]; then
		printf 'there %s\n' "$1"
		return 0
	fi
	clock=$(date +%s)
	printf '%s,"status":0,"started":%s,"finished":%s,"boot_id":"%s"}\n' "$2" "$clock" "$clock" \
		"$(cat /proc/sys/kernel/random/boot_id)" >"$root/receipts/$1.json.new"
	sync "$root/receipts/$1.json.new"
	mv "$root/receipts/$1.json.new" "$root/receipts/$1.json"
	printf 'adopted %s\n' "$1"
}

{% for step in steps %}adopt {{ step.name }} {{ step.receipt }}
{% endfor %}
