#!/bin/sh
# Notes on a host what any workstation has to know to go on with its cluster: which clusters it
# belongs to, and the secrets that this host keeps. Runs as root, before anything else of a run;
# all is refused where somebody else was here since the host was looked at.
set -eu
umask 077
LC_ALL=C
export LC_ALL
root=${PAAS_ROOT:-/var/lib/paas-cluster-build}
id=a1

# put FILE: replaces it by standard input, whole or not at all.
put() {
	cat >"$1.new"
	sync "$1.new"
	mv "$1.new" "$1"
}

# The ids of the clusters that this host knows, in one line.
known_clusters() {
	for file in "$root"/clusters/*.json; do
		if ! [ -e "$file" ]; then continue; fi
		file=${file##*/}
		printf '%s ' "${file%.json}"
	done
}

# Tells whether the secret $1 is kept here with another value than $2.
is_another() {
	[ -e "$root/secrets/$id/$1" ] && [ "$(head -n 1 "$root/secrets/$id/$1")" != "$2" ]
}

# keep_secret NAME VALUE
keep_secret() {
	if ! [ -e "$root/secrets/$id/$1" ]; then
		printf '%s\n' "$2" | put "$root/secrets/$id/$1"
	fi
}

# forget_secret NAME: the cluster file says it now, and what was made is stale.
forget_secret() {
	rm -f "$root/secrets/$id/$1"
}

mkdir -p "$root/clusters" "$root/secrets/$id"
chmod 0700 "$root" "$root/clusters" "$root/secrets" "$root/secrets/$id"
# Two workstations that come at once: the second one learns of the first.
exec 9>"$root/clusters/.lock"
flock 9
if [ "$(known_clusters)" != '' ]; then
	echo 'another run has noted its cluster here meanwhile'
	exit 3
fi
if is_another token 'a secret of the test'; then
	printf 'it keeps another value of the secret %s meanwhile\n' token
	exit 3
fi
keep_secret token 'a secret of the test'
forget_secret said
printf '%s\n' '{"format":1,"id":"a1","name":"n","members":{}}' | put "$root/clusters/$id.json"