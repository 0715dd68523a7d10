# Starts this server although the other room can't be asked: a person said so.
use {{ database }}

if says "$rest" /health; then
	log 'it runs already'
	exit 0
fi
touch "/etc/patroni/$database.may-start-alone"
systemctl reset-failed "$unit" 2>/dev/null || :
systemctl restart "$unit"
begin=$(now)
until says "$rest" /primary; do
	if [ $(($(now) - begin)) -ge 120 ]; then
		journalctl -q --no-pager -n 20 -u "$unit" || :
		fail 'it did not become the primary in 120 s'
	fi
	sleep 0.5
done
log 'it is the primary'
