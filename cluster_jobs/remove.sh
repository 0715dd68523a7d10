# The way back: stops the component and keeps it from starting with the machine. Its data, the
# packages and the release stay, and what an earlier try has done is no error.
disable_unit() {
	if systemctl cat -- "$1" >/dev/null 2>&1; then
		systemctl disable --quiet --now "$1"
		log "disabled $1"
	fi
}

{% for unit in units_reversed %}disable_unit {{ unit }}
{% endfor %}{% for service in services_reversed %}stop_service {{ service }}
{% endfor %}
