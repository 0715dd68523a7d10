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
OWN_ADDRESS=10.8.3.11
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

# The way back: stops the component and keeps it from starting with the machine. Its data, the
# packages and the release stay, and what an earlier try has done is no error.
disable_unit() {
	if systemctl cat -- "$1" >/dev/null 2>&1; then
		systemctl disable --quiet --now "$1"
		log "disabled $1"
	fi
}

disable_unit memcached

# Last: from here on the host remembers nothing of it.
rm -f "$PAAS_ROOT/receipts/$PAAS_STEP.json"
log 'removed; its data stays'
