# Prepares a fresh Debian or Ubuntu machine: packages, passwordless sudo where that is wanted, the
# micro-paas package and the paas release. Runs as root. Running it again changes only what is
# missing, also after it was interrupted anywhere.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
DEBIAN_FRONTEND=noninteractive
export PATH LC_ALL DEBIAN_FRONTEND
umask 022

user={{ user }}
home={{ home }}
keep_sudo={{ keep_sudo }}
micro_paas_sha256={{ micro_paas_sha256 }}
micro_paas_url={{ micro_paas_url }}
release_sha256={{ release_sha256 }}
release_url={{ release_url }}
release_git={{ release_git }}
release_ref={{ release_ref }}
home=$(home_of "$user" "$home")
artifacts=${PAAS_ROOT:-/var/lib/paas-cluster-build}/artifacts
release=$home/paas-release.git
units=${PAAS_UNITS:-/etc/systemd/system}

log() {
	printf '%s\n' "$*"
}

fail() {
	printf 'bootstrap: %s\n' "$*" >&2
	exit 1
}

# Seconds since the machine booted: no clock that somebody sets.
now() {
	cut -d . -f 1 /proc/uptime
}

as_user() {
	runuser -u "$user" -- env HOME="$home" "$@"
}

# --- login user -------------------------------------------------------------------------------

check_user() {
	id -u -- "$user" >/dev/null 2>&1 || fail "the login user $user does not exist"
	[ -d "$home" ] || fail "the home $home of $user does not exist; set vars.paas_home"
}

# The release's own scripts call sudo. A rule is written only where the cluster file allows it.
allow_sudo() {
	if [ "$user" = root ]; then return 0; fi
	if as_user sudo -n true 2>/dev/null; then return 0; fi
	if [ "$keep_sudo" != true ]; then
		fail "$user has no passwordless sudo, which the release needs; set sudo.keep in the cluster file to have it set up"
	fi
	rule=/etc/sudoers.d/90-paas-cluster-build
	# By number: in a name, sudo takes some characters for its own, and capitals for an alias.
	printf '# %s\n#%s ALL=(ALL) NOPASSWD: ALL\n' "$user" "$(id -u -- "$user")" >"$rule.new"
	chmod 0440 "$rule.new"
	visudo -cqf "$rule.new" || fail "the sudo rule for $user is not valid"
	mv "$rule.new" "$rule"
	log "sudo: $user needs no password any more"
}

# --- servers of the system --------------------------------------------------------------------

# mask UNIT: keeps it from ever starting, unless somebody has already said what is to become of it.
mask() {
	if [ -e "$units/$1" ] || [ -L "$units/$1" ]; then return 0; fi
	mkdir -p "$units"
	ln -s /dev/null "$units/$1"
	log "packages: $1 of the system won't start; the release runs a server of its own"
}

# Of a server that the release runs itself, the system's package is wanted for its programs alone: its
# own service would take the port, at once or after a reboot. One that is there already stays as it is.
mask_servers() {
	if [ -z "$release_sha256$release_git" ]; then return 0; fi
	for package in $(missing_packages "$@"); do
		case ${package%%[=:]*} in
		nats-server) mask nats-server.service ;;
		postgresql | postgresql-[0-9] | postgresql-[0-9][0-9]) mask postgresql.service ;;
		mariadb-server | default-mysql-server)
			for unit in mariadb.service mariadb.socket mariadb-extra.socket; do mask "$unit"; done
			;;
		mysql-server | mysql-server-[0-9]*) mask mysql.service ;;
		redis | redis-server) mask redis-server.service ;;
		esac
	done
}

# --- packages of the release ------------------------------------------------------------------

# Prints the path of the archive with digest $1, fetched from $2 unless it was pushed before.
archive() {
	path=$artifacts/$1
	if [ -e "$path" ]; then
		printf '%s\n' "$path"
		return 0
	fi
	if [ -z "$2" ]; then fail "the archive $1 was not pushed; run again"; fi
	mkdir -p "$artifacts"
	curl -fsSL --retry 3 --connect-timeout 20 -o "$path.new" "$2" || fail "could not fetch $2"
	if ! printf '%s  %s\n' "$1" "$path.new" | sha256sum -c --status; then
		found=$(sha256sum "$path.new" | cut -d ' ' -f 1)
		rm -f "$path.new"
		fail "$2 has SHA-256 $found, but $1 is expected"
	fi
	mv "$path.new" "$path"
	printf '%s\n' "$path"
}

# The micro-paas package goes over what is in the home, next to data that must stay.
unpack_micro_paas() {
	if [ -z "$micro_paas_sha256" ]; then return 0; fi
	mark=$home/build_dir/.micro-paas
	if [ "$(cat "$mark" 2>/dev/null)" = "$micro_paas_sha256" ]; then
		log 'micro-paas: unchanged'
		return 0
	fi
	file=$(archive "$micro_paas_sha256" "$micro_paas_url")
	as_user mkdir -p "$home/build_dir"
	as_user tar -xz --no-same-owner -C "$home" <"$file"
	printf '%s\n' "$micro_paas_sha256" | as_user tee "$mark" >/dev/null
	log 'micro-paas: unpacked'
}

# Makes $release.new from the archive: its top, or the single folder in it, holds bin/paas.
unpack_release() {
	file=$(archive "$release_sha256" "$release_url")
	as_user rm -rf "$release.new"
	as_user mkdir "$release.new"
	as_user tar -xz --no-same-owner -C "$release.new" <"$file"
	if ! [ -e "$release.new/bin/paas" ]; then
		set -- "$release.new"/*/bin/paas
		if ! [ $# -eq 1 ] || ! [ -e "$1" ]; then fail 'the release holds no bin/paas'; fi
		inner=${1%/bin/paas}
		as_user rm -rf "$release.inner"
		as_user mv "$inner" "$release.inner"
		as_user rm -rf "$release.new"
		as_user mv "$release.inner" "$release.new"
	fi
}

clone_release() {
	as_user rm -rf "$release.new"
	as_user git clone -q --no-checkout -- "$release_git" "$release.new"
	as_user git -C "$release.new" checkout -q --detach "$release_ref" -- 2>/dev/null ||
		as_user git -C "$release.new" checkout -q --detach "origin/$release_ref" -- ||
		fail "$release_git has no branch, tag or commit $release_ref"
	[ -e "$release.new/bin/paas" ] || fail "$release_git at $release_ref holds no bin/paas"
}

# A release is made ready beside the old one and takes its place by two renames; between them a
# killed run leaves none, and the next run makes it again.
install_release() {
	if [ -n "$release_git" ]; then
		identity="$release_git $release_ref"
	elif [ -n "$release_sha256" ]; then
		identity=$release_sha256
	else
		return 0
	fi
	mark=$home/build_dir/.paas-release
	if [ -e "$release/bin/paas" ] && [ "$(cat "$mark" 2>/dev/null)" = "$identity" ]; then
		log 'paas-release: unchanged'
		return 0
	fi
	if [ -n "$release_git" ]; then clone_release; else unpack_release; fi
	# A release may bring its own micro-paas; one that the cluster file names wins.
	as_user mkdir -p "$home/build_dir"
	if [ -z "$micro_paas_sha256" ] && [ -d "$release.new/micro-paas" ]; then
		as_user cp -a "$release.new/micro-paas/." "$home/"
	fi
	as_user rm -rf "$release.old"
	if [ -e "$release" ]; then as_user mv "$release" "$release.old"; fi
	as_user mv "$release.new" "$release"
	printf '%s\n' "$identity" | as_user tee "$mark" >/dev/null
	as_user rm -rf "$release.old"
	log 'paas-release: installed'
}

check_user
mask_servers{% for package in packages %} {{ package }}{% endfor %}
install_packages{% for package in packages %} {{ package }}{% endfor %}
allow_sudo
unpack_micro_paas
install_release
log 'ready'
