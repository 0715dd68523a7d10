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

# In place of the functions that change a file: which keys would get another value, as "path found
# wanted". A value of a key that sounds like a secret is never printed, nor a URL with a login; and in a
# file that holds secrets, nothing but addresses and other URLs.
put_in_place() {
	diff -U 0 "$1" "$2" | awk -v file="${1#"$copies"/}" -v secret="$settings_secret" '
		# The keys above each line of the new file, and its own.
		NR == FNR {
			line = $0
			sub(/\r$/, "", line)
			match(line, /^ */)
			indent = RLENGTH
			rest = substr(line, indent + 1)
			if (rest !~ /^(#|<%|$)/) while (depth > 0 && (indent < level[depth] || indent == level[depth] && rest !~ /^- /)) depth--
			if (match(rest, /^["\047]?[A-Za-z_0-9][A-Za-z0-9_.-]*["\047]?(: |:$|=)/)) {
				name = substr(rest, 1, RLENGTH)
				gsub(/["\047:= ]/, "", name)
				level[++depth] = indent
				path[depth] = (depth > 1 ? path[depth - 1] "." : "") name
			}
			path_of[FNR] = depth > 0 ? path[depth] : "a line"
			next
		}
		function value_of(line, key) {
			sub(/^[ \t]*(- )?/, "", line)
			if (key != "a line") sub(/^["\047]?[A-Za-z_0-9][A-Za-z0-9_.-]*["\047]?[:=][ \t]*/, "", line)
			sub(/\r$/, "", line)
			if (line !~ /^["\047]/) sub(/[ \t]+#.*$/, "", line)
			gsub(/\t/, " ", line)
			return line
		}
		function is_address(text) {
			gsub(/<%[^%]*%>/, "1.1.1.1", text)
			gsub(/["\047]/, "", text)
			return text ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+[ \t]*$/ || text ~ /^[a-z][a-z0-9+:]*:\/\/[^@ ]*[ \t]*$/
		}
		function may_be_secret(old, new, key) {
			if (tolower(key) ~ /pass|secret|token|key/ || (old new) ~ /:\/\/[^ \/]*@/) return 1
			return secret != "" && !(is_address(value_of(old, key)) && is_address(value_of(new, key)))
		}
		function tell(old, new, key) {
			if (may_be_secret(old, new, key)) printf "differs\t%s\t%s\n", file, key
			else printf "differs\t%s\t%s\t%s\t%s\n", file, key, value_of(old, key), value_of(new, key)
		}
		function flush(   i) {
			for (i = 1; i <= news; i++) tell(i <= olds ? old[i] : "", new[i], path_of[from + i - 1])
			olds = news = 0
		}
		/^(---|\+\+\+) / && FNR < 3 { next }
		/^@@/ {
			flush()
			from = $3
			sub(/^\+/, "", from)
			sub(/,.*/, "", from)
			next
		}
		/^-/ { old[++olds] = substr($0, 2) }
		/^\+/ { new[++news] = substr($0, 2) }
		END { flush() }
	' "$2" -
	rm -f "$2"
}

protect() {
	:
}
