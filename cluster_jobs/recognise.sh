# Recognising a component that somebody else set up, and comparing the release's own files with what a
# deploy would set. Changes nothing: what is edited is a copy. Prints one fact a line; lib/plan/adopt.rs
# reads them.
copies=$(mktemp -d)
trap 'rm -rf "$copies"' EXIT

# It runs, whoever started it; the unit that a build gives it may still be missing.
component_runs() {
	[ -n "$(processes_of "$1")" ] && return 0
	describe "$1"
	for port in $of_ports; do
		for holder in $(listeners "$port"); do
			printf 'port %s answers, but by another program: %s\n' "$port" "$(command_of "$holder")"
			return 1
		done
	done
	printf 'it is not running\n'
	return 1
}

# need_unit COMPONENT: tells where it wouldn't come back after a reboot.
need_unit() {
	if ! systemctl is-active --quiet "$(unit_of "$1")"; then printf 'unit %s\n' "$(unit_of "$1")"; fi
}

# copy_release PATH…: the files that the release has of these, below a folder of this look's own.
copy_release() {
	for path in "$@"; do
		if ! [ -f "$RELEASE/$path" ]; then continue; fi
		mkdir -p "$copies/$(dirname "$path")"
		cp "$RELEASE/$path" "$copies/$path"
	done
}

# In place of the functions that change a file: which lines would change, as "key found wanted". A
# value in a file that holds secrets, or of a key that sounds like one, is never printed.
put_in_place() {
	diff -U 0 "$1" "$2" | awk -v file="${1#"$copies"/}" -v secret="$settings_secret" '
		function key_of(line) { sub(/^[ \t]*(- )?/, "", line); sub(/[:=].*$/, "", line); return line }
		function value_of(line) {
			sub(/^[ \t]*(- )?[A-Za-z_][A-Za-z0-9_-]*[:=][ \t]*/, "", line)
			sub(/\r$/, "", line)
			if (line !~ /^["\047]/) sub(/[ \t]+#.*$/, "", line)
			gsub(/\t/, " ", line)
			return line
		}
		function tell(old, new,   key) {
			key = key_of(new)
			if (secret != "" || tolower(key) ~ /pass|secret|token|key/ || (old new) ~ /:\/\/[^ \/]*@/)
				printf "differs\t%s\t%s\n", file, key
			else printf "differs\t%s\t%s\t%s\t%s\n", file, key, value_of(old), value_of(new)
		}
		/^(---|\+\+\+) / && NR < 3 { next }
		/^@@/ { flush(); next }
		/^-/ { old[++olds] = substr($0, 2) }
		/^\+/ { new[++news] = substr($0, 2) }
		function flush(   i) {
			for (i = 1; i <= news; i++) tell(i <= olds ? old[i] : "", new[i])
			olds = news = 0
		}
		END { flush() }
	'
	rm -f "$2"
}

protect() {
	:
}
