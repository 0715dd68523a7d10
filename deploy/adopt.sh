# Writes receipts of steps that were found done, without running any. One that is there already stays
# as it is, so that a second time changes nothing. Runs as root.
set -eu
umask 077
LC_ALL=C
export LC_ALL
root=${PAAS_ROOT:-/var/lib/paas-cluster-build}
user={{ user }}
home={{ home }}
home=$(home_of "$user" "$home")
mkdir -p "$root/receipts"
chmod 0700 "$root" "$root/receipts"
# The lock of steps: nothing that runs here at this moment is taken for done.
exec 9>>"$root/lock"
if ! flock -n 9; then
	echo 'another run is at work on this host'
	exit 3
fi

# put FILE: replaces it by standard input, whole or not at all.
put() {
	cat >"$1.new"
	sync "$1.new"
	mv "$1.new" "$1"
}

# adopt STEP RECEIPT: the receipt comes without its end, which only the host knows.
adopt() {
	if [ -e "$root/receipts/$1.json" ]; then
		printf 'there %s\n' "$1"
		return 0
	fi
	clock=$(date +%s)
	printf '%s,"status":0,"started":%s,"finished":%s,"boot_id":"%s"}\n' "$2" "$clock" "$clock" \
		"$(cat /proc/sys/kernel/random/boot_id)" | put "$root/receipts/$1.json"
	printf 'adopted %s\n' "$1"
}

# As the user, who may have put links where these files lie.
as_user() {
	(umask 022 && exec runuser -u "$user" -- "$@")
}

# mark NAME TEXT: what bootstrap goes by. With a text, the package that is there is taken for that one,
# and bootstrap leaves it alone; without, bootstrap puts the cluster file's in its place. Where
# bootstrap has run, or was adopted, it has its mark.
mark() {
	if [ -e "$root/receipts/bootstrap.json" ]; then return 0; fi
	if [ -z "$2" ]; then
		as_user rm -f "$home/build_dir/$1"
		return 0
	fi
	as_user mkdir -p "$home/build_dir"
	printf '%s\n' "$2" | as_user tee "$home/build_dir/$1.new" >/dev/null
	as_user mv "$home/build_dir/$1.new" "$home/build_dir/$1"
}

{% for mark in marks %}mark {{ mark.name }} {{ mark.text }}
{% endfor %}{% for step in steps %}adopt {{ step.name }} {{ step.receipt }}
{% endfor %}
