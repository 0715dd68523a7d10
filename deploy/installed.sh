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
