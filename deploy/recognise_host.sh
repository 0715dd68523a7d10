# Recognises a machine that somebody else prepared, and compares the release there with the one that
# the cluster file names. Changes nothing. Prints one fact a line; lib/plan/adopt.rs reads them.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
user={{ user }}
home={{ home }}
home=$(home_of "$user" "$home")
release=$home/paas-release.git
release_ref={{ release_ref }}
has_release={{ has_release }}
has_micro_paas={{ has_micro_paas }}

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
{% for file in files %}	wanted {{ file.sha256 }} {{ file.path }}
{% endfor %}}

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
	as_user git -C "$release" -c core.quotePath=off diff --name-only "$1" --{% for path in pathspecs %} {{ path }}{% endfor %}
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

missing=$(missing_packages{% for package in packages %} {{ package }}{% endfor %})
if [ -n "$missing" ]; then printf 'packages\t%s\n' "$(printf '%s\n' "$missing" | tr '\n' ' ')"; fi
if [ "$has_release" = true ]; then
	need_there
	compare_release
fi
