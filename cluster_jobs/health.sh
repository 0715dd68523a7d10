# Looks once whether everything answers; prints the first thing that doesn't.
check_health() {
	:
{% for service in services %}	service_healthy {{ service }} || return 1
{% endfor %}{% for unit in units %}	unit_active {{ unit }} || return 1
{% endfor %}{% for port in tcp %}	tcp_answers {{ port }} || return 1
{% endfor %}{% for check in http %}	http_answers {{ check.port }} {{ check.path }} || return 1
{% endfor %}{% for check in entries %}	http_answers {{ check.port }} {{ check.path }} '' 23 || return 1
{% endfor %}{% for page in status_pages %}	status_answers {{ page.component }} {{ page.port }} || return 1
{% endfor %}{% for command in commands %}	command_succeeds {{ command }} || return 1
{% endfor %}}

# How far the journal was when the step began, and how long the logs were, in their order.
journal_began=''
logs_began=''

# Begins to watch the step: where it fails, whatever line it is, its services' own words are shown.
watch_step() {
	journal_began=$(journalctl -q -n 0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p') || journal_began=''
{% for file in logs %}	note_log {{ file }}
{% endfor %}	trap 'tell_failure $?' EXIT
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
{% for file in logs %}	show_log {{ file }}
{% endfor %}{% for unit in units %}	show_journal {{ unit }}
{% endfor %}	exit "$1"
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
{% for service in services %}	if is_dead {{ service }}; then printf '%s\n' {{ service }} && return 0; fi
{% endfor %}	return 1
}

# Waits until check_health is content. There is no event to wait for when a port opens, so it
# looks again, less and less often.
wait_healthy() {
	limit={{ timeout }}
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
