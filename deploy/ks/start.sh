# Starts this server although the other room can't be asked: a person said so.
use {{ database }}
override=/run/paas-$database.may-start-alone

if says "$rest" /primary; then
	log 'it is the primary already'
	exit 0
fi
# Not while systemd tries by itself: that try would use up the person's word.
systemctl stop "$unit"
trap 'rm -f "$override"' EXIT
touch "$override"
systemctl enable --quiet "$unit"
if ! systemctl start "$unit"; then
	journalctl -q --no-pager -o cat -n 5 -u "$unit" || :
	fail 'the guard did not let it start'
fi
if ! await_primary 120; then
	journalctl -q --no-pager -n 20 -u "$unit" || :
	fail 'it did not become the primary in 120 s'
fi
log 'it is the primary'
