# Installing Debian's packages, whatever an earlier try has left. Needs the caller's log, fail and now.

# apt waits by itself for another program that holds dpkg's lock (the first boot's automatic
# upgrade, for example), but not for the lock of the package lists.
apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=900 -o Dpkg::Use-Pty=0 "$@"
}

update_lists() {
	tries=0
	until said=$(apt update 2>&1); do
		case $said in
		*'Could not get lock'*) ;;
		*)
			printf '%s\n' "$said" | tail -n 5
			fail 'the package lists could not be updated; is the package mirror reachable?'
			;;
		esac
		tries=$((tries + 1))
		if [ "$tries" -ge 300 ]; then fail 'another program holds the package lists for ten minutes'; fi
		if [ "$tries" -eq 1 ]; then log 'waiting for the lock of the package lists'; fi
		sleep 2
	done
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Names the wanted packages that are not installed, one a line.
missing_packages() {
	for package in "$@"; do
		if ! is_installed "$package"; then printf '%s\n' "$package"; fi
	done
}

# The lists are good when they're there and were fetched within a day; their own times are the
# mirror's, the folder's is ours.
lists_are_fresh() {
	[ -n "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ] &&
		[ -n "$(find /var/lib/apt/lists -maxdepth 0 -mtime -1)" ]
}

install_packages() {
	if [ -n "$(dpkg --audit 2>/dev/null)" ]; then
		log 'finishing an interrupted installation'
		apt -f install
		dpkg --configure -a
	fi
	missing=$(missing_packages "$@")
	if [ -z "$missing" ]; then
		log 'packages: all there'
		return 0
	fi
	# shellcheck disable=SC2086 # one word for each package; Debian's names hold nothing else
	set -- $missing
	log "packages: installing $*"
	if ! lists_are_fresh; then update_lists; fi
	# Lists that are newer on the mirror make a package's file vanish: then once more with new ones.
	if ! apt --no-install-recommends install "$@"; then
		log 'trying again with new package lists'
		update_lists
		apt --no-install-recommends install "$@" || fail "could not install: $*"
	fi
}

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
