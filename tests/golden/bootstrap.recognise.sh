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

# Recognises a machine that somebody else prepared, and compares the release there with the one that
# the cluster file names. Changes nothing. Prints one fact a line; lib/plan/adopt.rs reads them.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
user=paas
home=/home/paas
home=$(home_of "$user" "$home")
release=$home/paas-release.git
release_ref=''
has_release=true
has_micro_paas=false

as_user() {
	runuser -u "$user" -- env HOME="$home" PATH="$home/build_dir/target/ruby/bin:$PATH" "$@" </dev/null
}

need_there() {
	if ! [ -x "$release/bin/paas" ]; then
		printf 'error: %s is missing\n' "$release/bin/paas"
		exit 1
	fi
	if [ "$has_micro_paas" = true ] && ! [ -d "$home/build_dir/target" ]; then
		printf 'error: %s is missing, where the packages of micro-paas lie\n' "$home/build_dir/target"
		exit 1
	fi
}

wanted() {
	printf '%s  %s\n' "$1" "$2"
}

# The files that the release has which the cluster file names, as far as the components run by them and
# nothing is set in them.
release_files() {
	:
	wanted 0e80fd47b899543194028f64f9c67b2f6f337fe97bb568bc4c84ccc05189fe19 bin/paas
	wanted a9fb4c371b84d1385c5ad57f7dc0dc711a661b921623fd42352e35164195923d jobs/nats/control.rb
	wanted 0fa29cf8e18a8fcd16fe934f4aa9dc9e9afa9e2d36f99196fee6e2e7e955905f lib/service
}

# What of them is missing here, or another.
changed_files() {
	release_files | (cd "$release" && sha256sum -c 2>/dev/null) | sed -n 's/: FAILED.*$//p'
}

# commit_of REF: what bootstrap would check out for it, as far as the clone here knows.
commit_of() {
	as_user git -C "$release" rev-parse -q --verify "$1^{commit}" 2>/dev/null ||
		as_user git -C "$release" rev-parse -q --verify "origin/$1^{commit}" 2>/dev/null
}

changed_since() {
	as_user git -C "$release" -c core.quotePath=off diff --name-only "$1" -- . ':(exclude)cloud_controller_ng/jobs/cloud_controller_ng.yml.erb' ':(exclude)dea_ng/jobs/dea.yml.erb' ':(exclude)dea_ng/jobs/dea_ng.yml.erb' ':(exclude)health_manager/jobs/health_manager.yml.erb' ':(exclude)jobs/cloud_controller_ng/cloud_controller_ng.yml.erb' ':(exclude)jobs/dea_ng/dea.yml.erb' ':(exclude)jobs/dea_ng/dea_ng.yml.erb' ':(exclude)jobs/health_manager/health_manager.yml.erb' ':(exclude)jobs/mysql_gateway/control.rb' ':(exclude)jobs/mysql_gateway/mysql_gateway.yml.erb' ':(exclude)jobs/mysql_node/control.rb' ':(exclude)jobs/mysql_node/mysql_node.yml.erb' ':(exclude)jobs/nats/nats.yml.erb' ':(exclude)jobs/postgres/postgres.yml.erb' ':(exclude)jobs/router/router.yml.erb' ':(exclude)jobs/uaa/uaa.yml.erb' ':(exclude)mysql_gateway/jobs/control' ':(exclude)mysql_gateway/jobs/mysql_gateway.yml.erb' ':(exclude)mysql_node/jobs/control' ':(exclude)mysql_node/jobs/mysql_node.yml.erb' ':(exclude)nats/jobs/nats.yml.erb' ':(exclude)postgres/jobs/postgres.yml.erb' ':(exclude)router/jobs/router.yml.erb' ':(exclude)uaa/jobs/uaa.yml.erb'
}

version_here() {
	as_user timeout 30 "$release/bin/paas" version 2>/dev/null | head -n 1 | tr -cd '[:alnum:]._-' | cut -c -40
}

tell_changed() {
	if [ -z "$1" ]; then return 0; fi
	printf 'release\t%s\t%s' "$(version_here)" "$(printf '%s\n' "$1" | wc -l)"
	printf '%s\n' "$1" | head -n 5 | while IFS= read -r path; do printf '\t%s' "$path"; done
	printf '\n'
}

compare_release() {
	if [ -n "$(release_files)" ]; then
		tell_changed "$(changed_files)"
	elif [ -n "$release_ref" ] && commit=$(commit_of "$release_ref") && changed=$(changed_since "$commit"); then
		tell_changed "$changed"
	else
		printf 'unchecked\n'
	fi
}

missing=$(missing_packages nats-server python3 python3-yaml ruby)
if [ -n "$missing" ]; then printf 'packages\t%s\n' "$(printf '%s\n' "$missing" | tr '\n' ' ')"; fi
if [ "$has_release" = true ]; then
	need_there
	compare_release
fi
