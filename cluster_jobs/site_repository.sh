# use_site_repository URL: apt knows the site's own packages from then on. The repository lies in the
# site's own network; its Release file has a signature where the site made one, and
# /etc/apt/trusted.gpg.d then holds the key.
use_site_repository() {
	list=/etc/apt/sources.list.d/pitrix.list
	printf 'deb [trusted=yes] %s ./\n' "$1" >"$list.new"
	if ! [ -e "$list" ]; then install -m 0644 /dev/null "$list"; fi
	put_in_place "$list" "$list.new"
	begin=$(date +%s)
	until said=$(apt -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 update 2>&1) &&
		! printf '%s\n' "$said" | grep -qE '^(W|E|Err)'; do
		if [ $(($(date +%s) - begin)) -ge 60 ]; then
			printf '%s\n' "$said" | tail -n 5
			fail "the site's repository $1 can't be read"
		fi
		sleep 2
	done
}
