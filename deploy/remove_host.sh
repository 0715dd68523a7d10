# Takes away what init.sh brought: the release and its units, what was pushed for it, and the host's
# memory of it. Packages, the login user and the components' data stay.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

user={{ user }}
home={{ home }}
home=$(home_of "$user" "$home")
root=${PAAS_ROOT:-/var/lib/paas-cluster-build}

log() {
	printf '%s\n' "$*"
}

for file in "$root"/receipts/*.json; do
	name=${file##*/}
	if [ -e "$file" ] && [ "$name" != bootstrap.json ]; then
		log "error: ${name%.json} is still installed here; remove it first"
		exit 1
	fi
done

# The release's own units, which it makes when a component is first started.
for unit in /etc/systemd/system/paas-*.service; do
	if ! [ -e "$unit" ]; then continue; fi
	systemctl disable --quiet --now "${unit##*/}"
	rm -f "$unit"
	log "removed the unit ${unit##*/}"
done
systemctl daemon-reload

rm -rf "$home/paas-release.git" "$home/paas-release.git.new" "$root/artifacts"
rm -f /etc/sudoers.d/90-paas-cluster-build "$root/receipts/bootstrap.json"
log "removed the release; packages, the login user and what is in $home/build_dir stay"
