#!/bin/sh
# home_of USER HOME: prints USER's home. HOME is what the cluster file says and wins; where that is
# only the usual place, which nobody may have said, the host's own account database knows.
home_of() {
	case $1:$2 in
	"$1:/home/$1" | root:/root) account_home=$(getent passwd -- "$1" | cut -d : -f 6) ;;
	*) account_home='' ;;
	esac
	printf '%s\n' "${account_home:-$2}"
}

# What dpkg says of packages. A wanted package is written as for apt: a name, perhaps with an
# architecture (libc6:i386), perhaps with a version (nginx=1.22.1-9). A bare name also counts as
# installed where an installed package provides it, as mawk provides awk.

package_is_installed() {
	name=${1%%=*}
	# One line for each architecture; a package that has to be reinstalled isn't there.
	found=$(dpkg-query -W -f '${db:Status-Status} ${db:Status-Eflag} ${Version}\n' "$name" 2>/dev/null) || found=''
	case $1 in
	*=*) printf '%s\n' "$found" | grep -qxF "installed ok ${1#*=}" ;;
	*) printf '%s\n' "$found" | grep -q '^installed ok ' || package_is_provided "$1" ;;
	esac
}

package_is_provided() {
	dpkg-query -W -f '${db:Status-Status}\t${Provides}\n' | awk -F '\t' -v name="$1" '
		$1 == "installed" {
			count = split($2, provided, /, */)
			for (i = 1; i <= count; i++) {
				sub(/[ (:].*/, "", provided[i])
				if (provided[i] == name) found = 1
			}
		}
		END { exit !found }
	'
}

# Names the wanted packages that aren't installed, one a line.
missing_packages() {
	for package in "$@"; do
		if ! package_is_installed "$package"; then printf '%s\n' "$package"; fi
	done
}

# Says what there is in place of a wanted package.
instead_of_package() {
	found=$(dpkg-query -W -f '${db:Status-Status} ${Version}\n' "${1%%=*}" 2>/dev/null | head -n 1) || found=''
	case $found in
	'' | not-installed* | config-files*) printf "%s isn't installed" "${1%%=*}" ;;
	'installed '*) printf '%s is %s, and %s is wanted' "${1%%=*}" "${found#* }" "${1#*=}" ;;
	*) printf '%s is %s' "${1%%=*}" "${found%% *}" ;;
	esac
}

# need_packages WANTED…: ends with 1 and a line that names all that is missing.
need_packages() {
	missing=$(missing_packages "$@")
	if [ -z "$missing" ]; then return 0; fi
	said=''
	for package in $missing; do said="$said${said:+; }$(instead_of_package "$package")"; done
	printf '%s; bootstrap installs it\n' "$said"
	exit 1
}

# Installing Debian's packages, whatever an earlier try has left. Needs installed.sh, and the
# caller's log, fail and now.

# What apt or dpkg said last.
package_words=/run/paas-cluster-build.packages

# Runs apt or dpkg so that nobody is asked anything, and shows and keeps what it says. A
# configuration file that was changed here stays as it is, and no service is restarted behind our
# back.
quietly() {
	rm -f "$package_words.failed"
	{
		env DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none UCF_FORCE_CONFFOLD=1 \
			NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 "$@" </dev/null 2>&1 ||
			: >"$package_words.failed"
	} | tee "$package_words"
	! [ -e "$package_words.failed" ]
}

# apt waits by itself for another program that holds dpkg's lock (the first boot's automatic
# upgrade, for example), but not for the lock of the package lists.
apt() {
	quietly apt-get -q -y -o DPkg::Lock::Timeout=900 -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Tells whether apt or dpkg gave up because another program is at work.
met_a_lock() {
	grep -qE 'Could not get lock|lock was locked by' "$package_words"
}

# Runs a command of apt or dpkg that doesn't wait by itself for another program's lock. A lock is
# the kernel's, so one that a dead program has left is none.
in_turn() {
	began=$(now)
	until "$@"; do
		if ! met_a_lock; then return 1; fi
		if [ $(($(now) - began)) -ge 900 ]; then fail 'another program has the packages locked for a quarter of an hour'; fi
		log 'waiting for the program that has the lock'
		sleep 2
	done
}

# What apt could not fetch, for the message if a package then can't be had.
lists_problem=''

update_lists() {
	if ! in_turn apt update; then
		# A power loss may have left half of a list, which apt keeps and can't read.
		if ! lists_are_damaged; then lists_failed; fi
		rm -rf /var/lib/apt/lists/*
		in_turn apt update || lists_failed
	fi
	lists_problem=$(grep -E '^[WE]:.*[Ff]ailed' "$package_words" | tail -n 1)
}

lists_are_damaged() {
	grep -qE 'could not be parsed|Unable to parse|Encountered a section|MergeList|Splitting up' "$package_words"
}

lists_failed() {
	fail "the package lists could not be updated; is the package mirror reachable? $(grep '^E:' "$package_words" | tail -n 1)"
}

# The lists are good when they're there and were fetched within a day; their own times are the
# mirror's, the folder's is ours.
lists_are_fresh() {
	[ -n "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ] &&
		[ -n "$(find /var/lib/apt/lists -maxdepth 0 -mtime -1)" ]
}

# --- after an interruption --------------------------------------------------------------------

# Prints the packages that are neither installed nor not installed, one a line: what is wanted of
# it, whether it has to be reinstalled, how far it is, its name.
broken_packages() {
	dpkg-query -W -f '${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status} ${binary:Package}\n' |
		awk '$2 != "ok" || $3 ~ /^(half-|unpacked|triggers-)/'
}

# dpkg writes into its journal before its status file; what is there at its end was interrupted.
dpkg_was_interrupted() {
	[ -n "$(find /var/lib/dpkg/updates -name '[0-9]*' 2>/dev/null | head -n 1)" ] ||
		[ -n "$(broken_packages)" ]
}

configure_all() {
	in_turn quietly dpkg --force-confdef --force-confold --configure -a
}

# Unpacks a half-unpacked package again. Where no archive of it can be had it goes: what needs it
# installs it again.
reinstall_package() {
	if apt --no-install-recommends --reinstall install "$1"; then return 0; fi
	in_turn quietly dpkg --force-remove-reinstreq --remove "$1"
}

# Finishes what dpkg had begun when it was killed. What can't be finished is told, and is an error
# only where a wanted package needs it.
heal_packages() {
	if ! dpkg_was_interrupted; then return 0; fi
	log 'finishing an interrupted installation'
	configure_all || log 'not everything could be configured yet'
	half=$(broken_packages | awk '$2 != "ok" || $3 == "half-installed" { print $1, $4 }')
	if [ -n "$half" ]; then
		if ! lists_are_fresh; then update_lists; fi
		for package in $(printf '%s\n' "$half" | awk '$1 == "install" || $1 == "hold" { print $2 }'); do
			reinstall_package "$package" || log "$package could not be reinstalled"
		done
		for package in $(printf '%s\n' "$half" | awk '$1 != "install" && $1 != "hold" { print $2 }'); do
			in_turn quietly dpkg --force-remove-reinstreq --remove "$package" || log "$package could not be removed"
		done
	fi
	if dpkg_was_interrupted; then
		# What they depend on may be missing.
		apt --no-remove -f install || :
		configure_all || :
	fi
	broken=$(broken_packages | awk '{ print $4 " (" $3 ")" }' | tr '\n' ' ')
	if [ -n "$broken" ]; then log "still not whole: $broken"; fi
}

# --- installing -------------------------------------------------------------------------------

# Why a wanted package can't be had, as far as apt's lists tell.
why_not_installed() {
	versions=$(apt-cache madison "${1%%=*}" 2>/dev/null | awk '{ print $3 }' | sort -u | tr '\n' ' ')
	# What provides it, where it is but a name.
	providers=$(apt-cache showpkg "${1%%=*}" 2>/dev/null | awk '
		found { print $1 }
		/^Reverse Provides:/ { found = 1 }
	' | sort -u | tr '\n' ' ')
	case $1 in
	*=*)
		if [ -n "$versions" ]; then
			case " $versions" in
			*" ${1#*=} "*) ;;
			*) printf '; of %s there is: %s' "${1%%=*}" "${versions% }" ;;
			esac
			return 0
		fi
		;;
	esac
	if [ -z "$versions" ] && [ -n "$providers" ]; then
		printf '; several packages provide %s, name one of them: %s' "$1" "${providers% }"
	elif [ -z "$versions" ]; then
		printf "; the host's package lists don't have %s" "${1%%=*}"
		case $1 in
		*:*) printf ' (dpkg --add-architecture makes another architecture known)' ;;
		esac
	fi
}

# install_packages WANTED…
install_packages() {
	heal_packages
	missing=$(missing_packages "$@")
	if [ -z "$missing" ]; then
		rm -f "$package_words"*
		log 'packages: all there'
		return 0
	fi
	# shellcheck disable=SC2086 # one word for each package; they hold neither blanks nor patterns
	set -- $missing
	log "packages: installing $*"
	if ! lists_are_fresh; then update_lists; fi
	# A version that the cluster file names may be older than the one that is there.
	if ! apt --no-install-recommends --allow-downgrades install "$@"; then
		# Lists that are newer on the mirror make a package's file vanish, and a power loss may have
		# left half of a list or of a package: then once more, with everything new.
		log 'trying again with new package lists'
		if lists_are_damaged; then rm -rf /var/lib/apt/lists/*; fi
		quietly apt-get clean || :
		update_lists
		heal_packages
		apt --no-install-recommends --allow-downgrades install "$@" || :
	fi
	missing=$(missing_packages "$@")
	rm -f "$package_words"*
	if [ -n "$missing" ]; then
		why=$(for package in $missing; do why_not_installed "$package"; done)
		if [ -n "$lists_problem" ]; then why="$why; the package lists could not be updated: $lists_problem"; fi
		fail "could not install: $(printf '%s' "$missing" | tr '\n' ' ')$why"
	fi
}

# --- the site's own ---------------------------------------------------------------------------

# use_site_repository URL: apt knows the site's own packages from then on. The repository lies in the
# site's own network; its Release file has a signature where the site made one, and
# /etc/apt/trusted.gpg.d then holds the key.
use_site_repository() {
	list=/etc/apt/sources.list.d/pitrix.list
	printf 'deb [trusted=yes] %s ./\n' "$1" >"$list.new"
	chmod 0644 "$list.new"
	mv "$list.new" "$list"
	begin=$(now)
	until said=$(apt -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 update 2>&1) &&
		! printf '%s\n' "$said" | grep -qE '^(W|E|Err)'; do
		if [ $(($(now) - begin)) -ge 60 ]; then
			printf '%s\n' "$said" | tail -n 5
			fail "the site's repository $1 can't be read"
		fi
		sleep 2
	done
}

# Prepares a fresh Debian or Ubuntu machine: packages, passwordless sudo where that is wanted, the
# micro-paas package and the paas release. Runs as root. Running it again changes only what is
# missing, also after it was interrupted anywhere.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
DEBIAN_FRONTEND=noninteractive
export PATH LC_ALL DEBIAN_FRONTEND
umask 022

user=paas
home=/home/paas
keep_sudo=false
micro_paas_sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
micro_paas_url=https://releases.example/micro-paas.tar.gz
release_sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
release_url=https://releases.example/paas-release.tar.gz
release_git=''
release_ref=''
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
mask_servers ca-certificates curl mariadb-client mariadb-server-core python3 python3-yaml redis-server ruby
install_packages ca-certificates curl mariadb-client mariadb-server-core python3 python3-yaml redis-server ruby
allow_sudo
unpack_micro_paas
install_release
log 'ready'