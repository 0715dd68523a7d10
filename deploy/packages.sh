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
