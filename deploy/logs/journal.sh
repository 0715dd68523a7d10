#!/bin/sh
# Prints what systemd's journal holds of some units, for `logs`: the newest entries, or those from a
# cursor on for as long as somebody listens. Changes nothing. Runs as root; lib/logs/wire.rs reads the
# lines, and docs/on-host-protocol.md tells them.
set -eu
LC_ALL=C
export LC_ALL
# A line is never to be mixed with a program's complaint.
exec 2>/dev/null

entries() {
	journalctl -q --no-pager -a -o json \
		--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_PID,_SYSTEMD_UNIT,UNIT,OBJECT_SYSTEMD_UNIT,COREDUMP_UNIT \
		"$@"
}

printf 'clock %s\n' "$(date '+%s %N %z')"
if ! command -v journalctl >/dev/null; then
	echo none
	exit 0
fi
{% if follows %}set --
{% for units in groups %}{% for unit in units %}set -- "$@" -u {{ unit }}
{% endfor %}{% endfor %}# In the background, so that the end of who listens is heard at once.
# From the cursor's own entry on, which may come again: behind an entry of another unit, --after-cursor
# of systemd 252 leaves out one that is there already.
{% if has_cursor %}entries -f --no-tail --cursor {{ cursor }} "$@" &
{% else %}entries -f --no-tail "$@" &
{% endif %}follower=$!
trap 'kill "$follower" || :' EXIT
trap 'exit 143' HUP INT TERM
wait "$follower"
{% else %}# Taken first: what comes from here on is the follower's, unless it's among the entries.
printf 'cursor %s\n' "$(journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p')"
{% for units in groups %}set --
{% for unit in units %}set -- "$@" -u {{ unit }}
{% endfor %}entries -n {{ lines }} {% if has_since %}--since {{ since }} {% endif %}"$@" || :
{% endfor %}echo end
{% endif %}
