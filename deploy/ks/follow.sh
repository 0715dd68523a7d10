# Has this server follow the primary: started, then where it can't catch up by itself, copied anew.
# What it had is kept aside until the copy is proved.
use {{ database }}
timeline={{ timeline }}
peers={{ peers }}

# It receives from its source at this moment, on the primary's timeline.
follows() {
	said=$(printf "select status || ' ' || received_tli from pg_stat_wal_receiver" | sql postgres 2>/dev/null) || return 1
	[ "$said" = "streaming $timeline" ]
}

# wait_following SECONDS
wait_following() {
	begin=$(now)
	until follows; do
		if [ $(($(now) - begin)) -ge "$1" ]; then return 1; fi
		sleep 1
	done
}

# Nobody else in the room leads, so the first copy comes from the other room: Patroni makes it only
# where it believes the cluster to be new.
forget_initialized() {
	for peer in $peers; do
		for role in /primary /standby-leader; do
			case $(http GET "$peer" "$rest" "$role") in
			200*) return 0 ;;
			esac
		done
	done
	python3 - "$config" "$database" <<-'END'
		import json, logging, sys
		from kazoo.client import KazooClient
		logging.disable(logging.CRITICAL)
		with open(sys.argv[1]) as file:
		    hosts = json.load(file)["zookeeper"]["hosts"]
		client = KazooClient(hosts=",".join(hosts), timeout=10)
		client.start(timeout=15)
		path = f"/service/{sys.argv[2]}/initialize"
		if client.exists(path):
		    client.delete(path)
		client.stop()
	END
}

copy_anew() {
	systemctl stop "$unit"
	if [ -e "$home/data" ]; then
		aside=$home/data.aside-$(date -u +%Y%m%dT%H%M%SZ)
		mv "$home/data" "$aside"
		log "kept aside: $aside"
	fi
	forget_initialized
	systemctl start "$unit"
	if ! wait_following 900; then
		journalctl -q --no-pager -n 20 -u "$unit" || :
		fail "it doesn't follow after 900 s; its old data is still there"
	fi
}

if says "$rest" /primary; then fail 'this server is a primary itself; it has to be stopped first'; fi
systemctl enable --quiet "$unit"
systemctl start "$unit" || :
if ! wait_following 60; then
	log 'it does not catch up by itself: it is copied anew'
	copy_anew
fi
log "follows on timeline $timeline"
for old in "$home"/data.aside-*; do
	if [ -e "$old" ]; then
		rm -rf "$old"
		log "removed ${old##*/}: the copy is proved"
	fi
done
