# Stops this server of a database, so that it takes no more writes; its data stays.
use {{ database }}
needed={{ follower }}

if [ -n "$needed" ] && says "$rest" /primary; then
	# Looked at again here: who takes over must be following at this moment.
	following=$(printf "select count(*) from pg_stat_replication where application_name = :'name' and state = 'streaming'" |
		sql -v name="$needed" postgres)
	if [ "$following" != 1 ]; then
		fail "$needed doesn't follow any more; nothing was stopped"
	fi
fi
# Also one that the guard holds back and that systemd would try again; it stays stopped, over a
# restart of the machine too, until it's told to follow.
systemctl disable --quiet --now "$unit"
if pgrep -u postgres -f -- "-D $home/data" >/dev/null; then
	fail "a server process of $database is still there"
fi
log "stopped; its data is: $(control 'Database cluster state')"
