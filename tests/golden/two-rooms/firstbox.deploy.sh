#!/bin/sh
# What every script begins with. Runs as root under the on-host supervisor; standard input is
# closed, and both outputs go to the step's log.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
PAAS_USER=paas
PAAS_HOME=/home/paas
OWN_ADDRESS=10.8.4.13
PAAS_ROOT=${PAAS_ROOT:-/var/lib/paas-cluster-build}

log() {
	printf '%s\n' "$*"
}

fail() {
	printf 'error: %s\n' "$*"
	exit 1
}

# Seconds since the machine booted: no clock that somebody sets, so waits are measured by it.
now() {
	cut -d . -f 1 /proc/uptime
}

# Runs a command as the login user, in its home; it reads what is piped into it.
pipe_as_user() {
	(cd "$PAAS_HOME" && exec runuser -u "$PAAS_USER" -- env HOME="$PAAS_HOME" "$@")
}

# The same for a command that is to read nothing.
as_user() {
	pipe_as_user "$@" </dev/null
}

# put_in_place FILE NEW: FILE gets NEW's content by one rename, keeping owner and mode; an equal
# content leaves FILE untouched. A FILE that isn't there yet gets NEW's own owner and mode.
put_in_place() {
	if ! [ -f "$2" ]; then fail "put_in_place $1 $2: $2 isn't there"; fi
	if [ -d "$1" ]; then fail "put_in_place $1 $2: $1 is a folder"; fi
	if cmp -s "$1" "$2"; then
		rm -f "$2"
		return 0
	fi
	if [ -e "$1" ]; then
		chmod --reference="$1" "$2"
		chown --reference="$1" "$2"
	elif ! [ -d "$(dirname "$1")" ]; then
		fail "put_in_place $1 $2: the folder of $1 isn't there; make it first"
	fi
	mv "$2" "$1"
	log "changed ${1#"$PAAS_HOME"/}"
}

# put_new FILE STALE [MODE [GROUP]]: FILE.new becomes FILE, and STALE is noted if that is news; a file
# that isn't there yet gets MODE and GROUP. What is noted in /run is not forgotten if this run is
# killed before the restart; a boot, which forgets it, restarts everything anyway.
put_new() {
	if ! [ -e "$1" ]; then install -m "${3:-0644}" -g "${4:-root}" /dev/null "$1"; fi
	if ! cmp -s "$1" "$1.new"; then : >"$2"; fi
	put_in_place "$1" "$1.new"
}

# need_file FILE: tells early and plainly when a release doesn't fit.
need_file() {
	if ! [ -f "$1" ]; then fail "$1 is missing; does the release fit, and was the machine bootstrapped?"; fi
}

# need_package NAME: tells early and plainly that a package isn't there, and what to do.
need_package() {
	if package_is_installed "$1"; then return 0; fi
	# What bootstrap was last asked to install here, perhaps with an architecture or a version.
	listed=$(grep -o '"packages":{"value":\[[^]]*\]}' "$PAAS_ROOT/receipts/bootstrap.json" 2>/dev/null | head -n 1) || listed=''
	case $listed in
	*"\"$1\""* | *"\"$1="* | *"\"$1:"*)
		fail "$(instead_of_package "$1"): bootstrap installed it, and it was removed since; run \`bootstrap\`, which installs it again"
		;;
	*) fail "$(instead_of_package "$1"); add it to \`packages\` in the cluster file" ;;
	esac
}

# protect FILE: a file that holds a password is the login user's alone.
protect() {
	need_file "$1"
	chmod 0600 "$1"
	chown "$PAAS_USER" "$1"
}

# keep_secret NAME VALUE: kept on this host, so that any workstation can go on with the cluster.
keep_secret() {
	(
		umask 077
		mkdir -p "$PAAS_ROOT/secrets"
		chmod 0700 "$PAAS_ROOT/secrets"
		printf '%s\n' "$2" >"$PAAS_ROOT/secrets/$1.new"
		mv "$PAAS_ROOT/secrets/$1.new" "$PAAS_ROOT/secrets/$1"
	)
}

# A bare machine has neither curl nor nc; bash, which Debian always has, can open connections.
# A service may listen on the host's own address, on the loopback address, or on all.
tcp_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		if timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$address" "$1" 2>/dev/null; then
			return 0
		fi
	done
	log "nothing answers on port $1"
	return 1
}

# http_answers PORT PATH [HEADER [DIGITS]]: GET gets a status that begins with one of the DIGITS, 2
# unless said otherwise. What is asked goes through a pipe: a header may hold a password.
http_answers() {
	for address in "$OWN_ADDRESS" 127.0.0.1; do
		# shellcheck disable=SC2016 # bash, not this shell, expands it
		said=$(
			{
				printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n' "$2"
				if [ -n "${3:-}" ]; then printf '%s\r\n' "$3"; fi
				printf '\r\n'
			} | timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit; cat >&3; cat <&3' \
				bash "$address" "$1" 2>/dev/null | tr -d '\000\r'
		) || :
		if [ -n "$said" ]; then break; fi
	done
	case $said in
	'HTTP/1.'[01]' '["${4:-2}"]*) return 0 ;;
	'') log "nothing answers http on port $1" ;;
	*) log "port $1 answers $2 with $(printf '%s\n' "$said" | head -n 1): $(printf '%s\n' "$said" | tail -n 1)" ;;
	esac
	return 1
}

unit_active() {
	if systemctl is-active --quiet "$1"; then return 0; fi
	log "the unit $1 is $(systemctl is-active "$1" || :)"
	return 1
}

command_succeeds() {
	if timeout 30 sh -c "$1" >/dev/null 2>&1; then return 0; fi
	log "the check failed: $1"
	return 1
}

# home_of USER HOME: prints USER's home. HOME is what the cluster file says and wins; where that is
# only the usual place, which nobody may have said, the host's own account database knows.
home_of() {
	case $1:$2 in
	"$1:/home/$1" | root:/root) account_home=$(getent passwd -- "$1" | cut -d : -f 6) ;;
	*) account_home='' ;;
	esac
	printf '%s\n' "${account_home:-$2}"
}
PAAS_HOME=$(home_of "$PAAS_USER" "$PAAS_HOME")

# Editing files that the tool did not make, without changing more of them than is meant.

# refuse_value FILE STYLE KEY VALUE: a value of several lines could not be found again as a whole. A
# template's value goes through ERB; what is set in a script stays as it is.
refuse_value() {
	case $4 in
	*[[:cntrl:]]*) fail "the value for $3 in $1 holds a line break or control character" ;;
	esac
	if [ "$2" = assignment ]; then return 0; fi
	case $4 in
	*'<%'*) fail "the value for $3 in $1 holds <%, which the release would run as code" ;;
	esac
}

# edit_file FILE: sets in FILE what standard input says, all of it or nothing, by one rename. Every
# other byte stays: comments, order, tags, spaces, the ends of lines. Standard input has lines of
# words with a tab between them, since arguments and environments can be read in /proc:
#   need WHAT | may WHAT     a setting that FILE must have, or may lack
#   way                      begins one way to set it; the first one is taken whose keys FILE has
#   edit STYLE KEY VALUE     one edit of that way, KEY a path such as database.host
# A STYLE is one of these:
#   plain       a number or address
#   text        what must stay text ('12')
#   url         a URL; one without a path or a port keeps those of the URL that it replaces
#   added       a text that is added behind the way's edit before, where FILE hasn't the key
#   head        an item of a list, put at its head where the list hasn't it
#   given       the key is there; nothing is set
#   assignment  the line KEY=value of a shell script
#   within      KEY is text*text; the address in the place of * in the one line that holds it
# What it can't do safely it refuses, and names file and key; never the value, it may be secret.
# A subshell, so that the caller's variables and umask stay its own.
edit_file() (
	need_file "$1"
	umask 077
	# Always this name, so that a killed run leaves one at most; never readable by others.
	new=$1.new
	rm -f "$new"
	status=0
	problems=$(UNENDED=$(tail -c 1 "$1") awk '
		BEGIN {
			quote = sprintf("%c", 39)
			while ((getline order <"-") > 0) {
				count = split(order, word, "\t")
				if (word[1] == "way") { way = ++ways[settings]; continue }
				if (word[1] != "edit") { what[++settings] = word[2]; needed[settings] = word[1] == "need"; continue }
				number = ++edits[settings, way]
				style[settings, way, number] = word[2]
				key[settings, way, number] = word[3]
				value[settings, way, number] = word[4]
			}
		}
		{
			ending[NR] = sub(/\r$/, "") ? "\r" : ""
			line[NR] = $0
		}
		# Where the value at the beginning of a text ends; a tag of the release belongs to it as a
		# whole. Negative if it goes on in the next line.
		function value_end(text,   at, open, close_at, c) {
			if (text ~ /^#/) return 0
			open = substr(text, 1, 1)
			if (open != "\"" && open != quote) open = ""
			for (at = open == "" ? 1 : 2; at <= length(text); at++) {
				c = substr(text, at, 1)
				if (substr(text, at, 2) == "<%") {
					close_at = index(substr(text, at), "%>")
					if (!close_at) return -1
					at += close_at
				} else if (open == "") {
					if (substr(text, at) ~ /^[ \t]+(#|$)/) return at - 1
				} else if (open == "\"" && c == "\\") at++
				else if (c == open) {
					if (open == quote && substr(text, at + 1, 1) == quote) at++
					else return at
				}
			}
			return open == "" ? length(text) : -1
		}
		function scalar(text, as) {
			if (as != "text" && text ~ "^[A-Za-z0-9_/][A-Za-z0-9_.:/@-]*$" && text !~ ":$") return text
			gsub(quote, quote quote, text)
			return quote text quote
		}
		function unquoted(text,   open) {
			open = substr(text, 1, 1)
			if (open != "\"" && open != quote) return text
			return substr(text, 2, length(text) - 2)
		}
		function shell_word(text) {
			if (text ~ "^[A-Za-z0-9_.:/@-]+$") return text
			gsub(quote, quote "\\" quote quote, text)
			return quote text quote
		}
		# Every key with its path, its line, and the shape of what it has. Comments and lines of
		# template code may stand at any depth: they end no mapping.
		function read_keys(   i, indent, rest, name, written, path, depth, last) {
			for (i = 1; i <= NR; i++) {
				if (line[i] ~ /^[ ]*(#|<%|$)/) continue
				match(line[i], /^ */)
				indent = RLENGTH
				rest = substr(line[i], indent + 1)
				if (last) look_below(last, level[depth], indent, rest)
				last = ""
				while (depth > 0 && indent <= level[depth]) depth--
				level[++depth] = indent
				# Not a key: an item of a list, for example. What is below it has no path of keys.
				path_at[depth] = ""
				if (!match(rest, /^([A-Za-z_][A-Za-z0-9_-]*|"[A-Za-z0-9_.-]+"):([ \t]|$)/)) continue
				name = substr(rest, 1, RLENGTH)
				sub(/:[ \t]?$/, "", name)
				written = length(name)
				gsub(/"/, "", name)
				if (depth > 1 && path_at[depth - 1] == "") continue
				path = depth > 1 ? path_at[depth - 1] "." name : name
				path_at[depth] = path
				times[path]++
				where[path] = i
				start[path] = indent + written + 1
				read_value(path, substr(rest, written + 2))
				last = path
			}
		}
		# Where there is none, the spaces behind the first one belong to the comment or to nothing.
		function read_value(path, text,   ends, spaces) {
			match(text, /^[ \t]*/)
			spaces = RLENGTH
			if (text ~ /^[ \t]+(#|$)/) spaces = 1
			before[path] = substr(text, 1, spaces)
			text = substr(text, spaces + 1)
			ends = text ~ /^[ \t]/ ? 0 : value_end(text)
			shape[path] = ends < 0 || text ~ /^[|>&*!\[{]/ ? "more" : ends == 0 ? "empty" : "scalar"
			if (ends < 0) ends = length(text)
			old[path] = substr(text, 1, ends)
			after[path] = substr(text, ends + 1)
		}
		function look_below(path, own, indent, rest) {
			if (rest ~ /^-( |$)/ && indent >= own && shape[path] == "empty") shape[path] = "list"
			else if (indent > own || indent == own && rest ~ /^-( |$)/) shape[path] = "more"
			else return
			below[path] = indent
		}
		# The line that holds both halves of a pattern with an address between them; 0 for none.
		function line_within(pattern,   star, head, tail, i, rest, at, end, found) {
			star = index(pattern, "*")
			head = substr(pattern, 1, star - 1)
			tail = substr(pattern, star + 1)
			hits = 0
			for (i = 1; i <= NR; i++) {
				if (line[i] ~ /^[ \t]*#/) continue
				rest = line[i]
				at = 0
				while (found = index(rest, head)) {
					at += found + length(head) - 1
					rest = substr(rest, found + length(head))
					end = index(rest, tail)
					if (!end || substr(rest, 1, end - 1) !~ /^[][A-Za-z0-9._:-]+$/) continue
					hits++
					hit_line = i
					hit_from = at
					hit_to = at + end
				}
			}
			return hits ? hit_line : 0
		}
		function line_assigned(name,   i, rest) {
			hits = 0
			for (i = 1; i <= NR; i++) {
				if (index(line[i], name "=") != 1) continue
				hits++
				hit_line = i
				rest = substr(line[i], length(name) + 2)
				# A word of the shell: quoted, escaped or plain pieces, one after the other.
				match(rest, "^(" quote "[^" quote "]*" quote "|\"([^\"\\\\]|\\\\.)*\"|\\\\.|[^ \t;&|<>()`\"\\\\" quote "])*")
				hit_rest = substr(rest, RLENGTH + 1)
			}
			return hits ? hit_line : 0
		}
		# Whether an edit can be made: 1, 0 if what it names is missing, or else what is wrong.
		function fits(as, path,   anchor) {
			if (as == "assignment" || as == "within") {
				if (!(as == "within" ? line_within(path) : line_assigned(path))) return 0
				if (hits > 1) return "stands in " FILENAME " " hits " times; once is expected"
				# A command behind the word would be lost.
				if (as == "assignment" && hit_rest !~ /^[ \t]*(#|$)/) return "in " FILENAME " is more than a single value"
				return 1
			}
			if (!(path in where)) return as == "added"
			if (as == "given") return 1
			if (times[path] > 1) return "stands in " FILENAME " " times[path] " times; once is expected"
			if (as == "head") return shape[path] == "list" ? 1 : "in " FILENAME " is no list of lines"
			if (shape[path] == "scalar" || shape[path] == "empty") return 1
			return "in " FILENAME " is more than a single value"
		}
		function named(as, path) {
			if (as == "assignment") return "a line " path "="
			return as == "within" ? "a line with " path : path
		}
		# Chooses the first way that fits; otherwise says what was looked for.
		function choose(s,   w, e, fit, good, looked, part, wrong) {
			for (w = 1; w <= ways[s]; w++) {
				good = 1
				part = ""
				for (e = 1; e <= edits[s, w]; e++) {
					fit = fits(style[s, w, e], key[s, w, e])
					if (fit != 1) good = 0
					if (fit != 1 && fit != 0) wrong = wrong (wrong ? "\n" : "") "the setting " key[s, w, e] " " fit
					if (style[s, w, e] != "added") part = part (part ? " with " : "") named(style[s, w, e], key[s, w, e])
				}
				if (good) { chosen[s] = w; return }
				looked = looked (looked ? ", or " : "") part
			}
			if (wrong == "" && !needed[s]) return
			if (wrong == "" && what[s] == "") wrong = FILENAME " has " (looked ~ /^a line/ ? "no" substr(looked, 2) : "no setting " looked)
			if (wrong == "") wrong = FILENAME " has no setting for " what[s] "; looked for " looked
			print wrong >"/dev/stderr"
			failed = 1
		}
		function refuse(path, why) {
			print "the setting " path " in " FILENAME " " why >"/dev/stderr"
			failed = 1
		}
		# A URL without a path or a port keeps those of the one that it replaces. A tag is one character
		# here.
		function merged(path, url,   text, port, kept, authority) {
			text = unquoted(old[path])
			if (url ~ "://[^/]*/" || text !~ "^[a-z][a-z0-9+:]*://") return url
			gsub(/<%[^%]*%>/, "\001", text)
			sub("^[a-z][a-z0-9+:]*://", "", text)
			match(text, "^[^/?#]*")
			authority = substr(text, 1, RLENGTH)
			kept = substr(text, RLENGTH + 1)
			if (match(authority, /:[0-9\001]*$/) && url !~ /:[0-9]+$/) port = substr(authority, RSTART)
			if (kept port ~ /\001/) refuse(path, "has a tag in its URL behind the host, which can not be kept")
			return url port kept
		}
		function replace(path, text) {
			line[where[path]] = substr(line[where[path]], 1, start[path]) (before[path] == "" ? " " : before[path]) text (old[path] == "" && after[path] ~ /^#/ ? " " : "") after[path]
		}
		# Puts an item at the head of a list unless it is in it.
		function put_at_head(path, text,   i, item, first) {
			for (i = where[path] + 1; i <= NR; i++) {
				if (line[i] ~ /^[ ]*(#|<%|$)/) continue
				match(line[i], /^ */)
				if (RLENGTH < below[path] || RLENGTH == below[path] && line[i] !~ /^ *-( |$)/) break
				if (!first) first = i
				if (RLENGTH > below[path]) continue
				item = line[i]
				sub(/^ *-[ ]*/, "", item)
				if (unquoted(substr(item, 1, value_end(item))) == text) return
			}
			match(line[first], /^ *- */)
			inserted[first - 1] = inserted[first - 1] substr(line[first], 1, RLENGTH) scalar(text, "plain") ending[first] "\n"
		}
		function change(as, path, new, anchor,   indent, rest) {
			if (as == "plain" || as == "text") replace(path, scalar(new, as))
			if (as == "url") replace(path, scalar(merged(path, new), "plain"))
			if (as == "head") put_at_head(path, new)
			if (as == "added" && path in where) replace(path, scalar(new, "text"))
			else if (as == "added") {
				match(line[anchor], /^ */)
				indent = substr(line[anchor], 1, RLENGTH)
				sub(/^.*\./, "", path)
				inserted[anchor] = inserted[anchor] indent path ": " scalar(new, "text") ending[anchor] "\n"
			}
			if (as == "assignment") {
				line_assigned(path)
				line[hit_line] = path "=" shell_word(new) hit_rest
			}
			if (as == "within") {
				line_within(path)
				if (new !~ /^[][A-Za-z0-9._:-]+$/) refuse(path, "is to be more than letters, digits and [].:_-, which its line can hold")
				line[hit_line] = substr(line[hit_line], 1, hit_from) new substr(line[hit_line], hit_to)
			}
		}
		function change_all(s, w,   e, anchor) {
			for (e = 1; e <= edits[s, w]; e++) {
				change(style[s, w, e], key[s, w, e], value[s, w, e], anchor)
				if (key[s, w, e] in where) anchor = where[key[s, w, e]]
			}
		}
		END {
			read_keys()
			for (s = 1; s <= settings; s++) choose(s)
			if (!failed) for (s = 1; s <= settings; s++) if (chosen[s]) change_all(s, chosen[s])
			if (failed) exit 3
			for (i = 0; i <= NR; i++) {
				text = i ? line[i] ending[i] "\n" inserted[i] : inserted[0]
				if (i == NR && ENVIRON["UNENDED"] != "") sub(/\n$/, "", text)
				printf "%s", text
			}
		}
	' "$1" 2>&1 >"$new") || status=$?
	if [ "$status" -ne 0 ]; then
		rm -f "$new"
		if [ "$status" -eq 3 ]; then fail "$problems"; fi
		fail "$1 could not be edited (is the disk full?)"
	fi
	put_in_place "$1" "$new"
)

# edit_setting FILE KEY VALUE STYLE: one setting, one way.
edit_setting() {
	refuse_value "$1" "$4" "$2" "$3"
	printf '%s\t%s\t%s\t%s\n' need '' '' '' way '' '' '' edit "$4" "$2" "$3" | edit_file "$1"
}

# set_setting FILE KEY VALUE: an address, number or URL of a YAML file, whatever it was before; KEY is
# a path such as database.host.
set_setting() {
	edit_setting "$1" "$2" "$3" plain
}

# set_text FILE KEY VALUE: a text, also one that looks like a number.
set_text() {
	edit_setting "$1" "$2" "$3" text
}

# set_assignment FILE NAME VALUE: the line NAME=value of a shell script; a comment behind it stays.
set_assignment() {
	edit_setting "$1" "$2" "$3" assignment
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

# Looks once whether everything answers; prints the first thing that doesn't.
check_health() {
	:
	unit_active pitrix-packages || return 1
	http_answers 8899 /Packages || return 1
}

# How far the journal was when the step began, and how long the logs were, in their order.
journal_began=''
logs_began=''

# Begins to watch the step: where it fails, whatever line it is, its services' own words are shown.
watch_step() {
	journal_began=$(journalctl -q -n 0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p') || journal_began=''
	trap 'tell_failure $?' EXIT
}

# Sets file to the path of a log, which may be relative to the login user's home, and size to its
# length.
find_log() {
	file=$1
	case $file in
	/*) ;;
	*) file=$PAAS_HOME/$file ;;
	esac
	size=$(wc -c 2>/dev/null <"$file") || size=0
}

note_log() {
	find_log "$1"
	logs_began="$logs_began$size "
}

# The controller shows what stands behind this line apart from the step's own last words.
tell_failure() {
	if [ "$1" -eq 0 ]; then return 0; fi
	set +e
	echo '=== what its services say'
	show_journal pitrix-packages
	exit "$1"
}

# Shows the end of what a log has got since the step began; of one that has got nothing, its end.
show_log() {
	began=${logs_began%% *}
	logs_began=${logs_began#* }
	find_log "$1"
	if [ "$size" -eq 0 ]; then return 0; fi
	if [ "$size" -gt "${began:-0}" ]; then
		log "--- $file, since the step began"
		tail -c "+$((began + 1))" "$file" | some_lines 20
	elif [ "$size" -lt "$began" ]; then
		log "--- $file, which was begun anew"
		some_lines 20 <"$file"
	else
		log "--- the end of $file, which has got nothing since the step began"
		some_lines 5 <"$file"
	fi
}

show_journal() {
	said=$(journalctl -q --no-pager -o short-iso -n 20 -u "$1" ${journal_began:+"--after-cursor=$journal_began"} 2>/dev/null)
	if [ -z "$said" ]; then return 0; fi
	log "--- the journal of $1, since the step began"
	printf '%s\n' "$said" | some_lines 20
}

# The last lines, $1 at most, none too long.
some_lines() {
	tail -n "$1" | tr -d '\000' | cut -c -400
}

# Tells what is over and won't come up any more.
find_dead() {
	:
	return 1
}

# Waits until check_health is content. There is no event to wait for when a port opens, so it
# looks again, less and less often.
wait_healthy() {
	limit=90
	begin=$(now)
	pause=0.2
	until said=$(check_health); do
		if [ $(($(now) - begin)) -ge "$limit" ]; then
			fail "not healthy after $limit s: $said"
		fi
		if dead=$(find_dead); then
			fail "$dead ended soon after its start: $said"
		fi
		sleep "$pause"
		pause=1
	done
	log healthy
}

watch_step

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

# The first box: it serves the site's own packages to the others as an apt repository.
archive=$PAAS_ROOT/artifacts/0123456789abcdef
folder=/srv/pitrix-packages

install_packages python3
if ! [ -e "$archive" ]; then fail 'the packages were not pushed; run again'; fi
rm -rf "$folder.new"
mkdir -p "$folder.new"
# Their own times may be older than what a host has of the last index; apt would keep that.
tar -xzmf "$archive" --no-same-owner -C "$folder.new"
if ! [ -e "$folder.new/Packages" ]; then
	fail 'the folder of packages has no index called Packages; make one with dpkg-scanpackages'
fi
chmod -R a+rX "$folder.new"
rm -rf "$folder.old"
if [ -e "$folder" ]; then mv "$folder" "$folder.old"; fi
mv "$folder.new" "$folder"
rm -rf "$folder.old"
cat >/etc/systemd/system/pitrix-packages.service <<-'END'
	[Unit]
	Description=the site's own packages, for apt
	After=network-online.target

	[Service]
	DynamicUser=yes
	ExecStart=/usr/bin/python3 -m http.server --directory /srv/pitrix-packages 8899
	Restart=always

	[Install]
	WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet pitrix-packages
systemctl restart pitrix-packages

wait_healthy
