# Looks once whether everything answers; prints the first thing that doesn't.
check_health() {
	:
{% for service in services %}	service_healthy {{ service }} || return 1
{% endfor %}{% for unit in units %}	unit_active {{ unit }} || return 1
{% endfor %}{% if has_plain %}	if is_plain {{ main }}; then
{% for port in plain %}		tcp_answers {{ port }} || return 1
{% endfor %}		return 0
	fi
{% endif %}{% for port in tcp %}	tcp_answers {{ port }} || return 1
{% endfor %}{% for check in http %}	http_answers {{ check.port }} {{ check.path }} || return 1
{% endfor %}{% for command in commands %}	command_succeeds {{ command }} || return 1
{% endfor %}}

# What the service itself says of its trouble.
show_logs() {
	:
{% for file in logs %}	show_log {{ file }}
{% endfor %}{% for unit in units %}	journalctl -q --no-pager -n 30 -u {{ unit }} 2>/dev/null || :
{% endfor %}}

show_log() {
	file=$1
	case $file in
	/*) ;;
	*) file=$PAAS_HOME/$file ;;
	esac
	if [ -s "$file" ]; then
		log "--- the end of $file"
		tail -n 30 "$file"
	fi
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
	begin=$(date +%s)
	pause=0.2
	until said=$(check_health); do
		if [ $(($(date +%s) - begin)) -ge "$limit" ]; then
			show_logs
			fail "not healthy after $limit s: $said"
		fi
		if dead=$(find_dead); then
			show_logs
			fail "$dead ended soon after its start: $said"
		fi
		sleep "$pause"
		pause=1
	done
	log healthy
}
