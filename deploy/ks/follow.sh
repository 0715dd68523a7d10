# Has this server follow the primary: started, then, where it doesn't get on by itself, copied anew.
# What it had is kept aside until the copy is proved.
use {{ database }}
primary={{ primary }}
peers={{ peers }}
room_has_own_cluster={{ room_has_own_cluster }}
given_up={{ given_up }}

# Without a source nothing can be copied, and what is here may be the best that's left.
begin=$(now)
until [ -n "$(primary_among "$primary")" ]; do
	if [ $(($(now) - begin)) -ge 20 ]; then
		fail "this host can't reach the primary at $primary; nothing was changed"
	fi
	sleep 1
done
if says "$rest" /primary; then fail 'this server is a primary itself; it has to be stopped first'; fi
about=$(http GET "$primary" "$rest" /patroni)
timeline=$(printf '%s\n' "$about" | sed -n 's/.*"timeline": *\([0-9]*\).*/\1/p')
identifier=$(printf '%s\n' "$about" | sed -n 's/.*"database_system_identifier": *"\([0-9]*\)".*/\1/p')
if [ -z "$timeline" ]; then fail "the primary at $primary doesn't say on which timeline it is"; fi

# It receives from its source at this moment, on the primary's timeline.
follows() {
	said=$(printf "select status || ' ' || received_tli from pg_stat_wal_receiver" | sql postgres 2>/dev/null) || return 1
	[ "$said" = "streaming $timeline" ]
}

# gets_on: more is replayed than ever since the wait began, or more is on the disk. One that starts
# again and again changes, too, but gets nowhere.
gets_on() {
	replayed=$(printf "select pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint" | sql postgres 2>/dev/null || :)
	size=$(du -sk "$home" 2>/dev/null | cut -f 1)
	[ "${replayed:-0}" -gt "$most_replayed" ] || [ "${size:-0}" -gt "$most_size" ] || return 1
	if [ "${replayed:-0}" -gt "$most_replayed" ]; then most_replayed=$replayed; fi
	if [ "${size:-0}" -gt "$most_size" ]; then most_size=$size; fi
}

# Neither shows in that how far it is: a rewind, and recovery after a crash, of which only the name of
# the segment changes. They get ten minutes.
is_recovering() {
	before=$segment
	segment=$(pgrep -u postgres -a -f 'startup recovering' | cut -d ' ' -f 2- || :)
	if [ $(($(now) - since)) -ge 600 ]; then return 1; fi
	[ "$segment" != "$before" ] || pgrep -u postgres -f pg_rewind >/dev/null
}

# wait_following SECONDS: gives up when it hasn't got on for so long.
wait_following() {
	since=$(now)
	begin=$since
	most_replayed=0
	most_size=0
	segment=
	until follows; do
		if gets_on || is_recovering; then
			begin=$(now)
		elif [ $(($(now) - begin)) -ge "$1" ]; then
			return 1
		fi
		sleep 1
	done
}

# A server of this room, which are the peers, leads it.
# shellcheck disable=SC2086 # addresses, a word each
room_is_led() {
	for role in /primary /standby-leader; do
		if ask_all "$role" $peers | grep -q ' 200$'; then return 0; fi
	done
	return 1
}

# Nobody else in the room leads, so the copy comes from the other room: Patroni makes it only where
# it believes the cluster to be new. Never in a cluster that goes across the rooms.
forget_initialized() {
	if [ "$room_has_own_cluster" != true ]; then return 0; fi
	if room_is_led; then return 0; fi
	python3 - "$config" "$database" <<-'END'
		import json, logging, sys
		from kazoo.client import KazooClient
		logging.disable(logging.CRITICAL)
		with open(sys.argv[1]) as file:
		    settings = json.load(file)
		client = KazooClient(hosts=",".join(settings["zookeeper"]["hosts"]), timeout=10)
		client.start(timeout=15)
		service = f"/service/{sys.argv[2]}"
		if client.exists(service + "/initialize"):
		    client.delete(service + "/initialize")
		client.stop()
	END
}

# What is here may be what nobody else has. The plan has looked as well; this is the last moment.
may_be_replaced() {
	own=$(control 'Database system identifier')
	if [ -n "$own" ] && [ -n "$identifier" ] && [ "$own" != "$identifier" ]; then
		fail "what is here is another database ($own) than the primary's ($identifier); nothing was changed"
	fi
	own=$(control "Latest checkpoint's TimeLineID")
	if [ "${own:-0}" -gt "$timeline" ] && [ "$given_up" != true ]; then
		fail "what is here was on timeline $own, later than the primary ($timeline); nothing was changed: look again"
	fi
}

# has_own FOLDER: its server was a primary on a timeline that the primary of today doesn't know, or
# of another database.
has_own() {
	if [ "$(control 'Database system identifier' "$1")" != "$identifier" ]; then return 0; fi
	case $(control 'Database cluster state' "$1") in *recovery) return 1 ;; esac
	led=$(control "Latest checkpoint's TimeLineID" "$1")
	[ "${led:-0}" -ge "$timeline" ]
}

copy_anew() {
	may_be_replaced
	systemctl stop "$unit"
	# A copy that broke off is nothing to keep: this file comes last. Nor is a third one: the first may
	# have what nobody else has, and the disk isn't endless.
	if [ -e "$home/data/global/pg_control" ] && [ "$(find "$home" -maxdepth 1 -name 'data.aside-*' | wc -l)" -lt 2 ]; then
		aside=$home/data.aside-$(date -u +%Y%m%dT%H%M%SZ)
		mv "$home/data" "$aside"
		log "kept aside: $aside"
	else
		rm -rf "$home/data"
	fi
	forget_initialized
	systemctl start "$unit"
	if ! wait_following 300; then
		journalctl -q --no-pager -n 20 -u "$unit" || :
		fail "it doesn't get on; its old data is still there"
	fi
}

# count_given_up LOG: how many transactions a log has that the primary's history doesn't: what this
# room committed after the other one was promoted.
count_given_up() {
	own=$(find "$1" -maxdepth 1 -type f -name '????????????????????????' | sort | tail -n 1)
	if [ -z "$own" ]; then return 0; fi
	own=$(basename "$own" | cut -c 1-8)
	parted=$(awk -v own="$((0x$own))" '$1 == own { print $2 }' \
		"$(printf '%s/data/pg_wal/%08X.history' "$home" "$timeline")" 2>/dev/null || :)
	if [ -z "$parted" ]; then return 0; fi
	bin=$(pg_bin)
	# It ends where the log breaks off, with an error.
	"$bin/pg_waldump" -p "$1" -t "$((0x$own))" -s "$parted" -r Transaction 2>/dev/null | grep -c 'desc: COMMIT' || :
}

systemctl enable --quiet "$unit"
systemctl start "$unit" || systemctl start --no-block "$unit"
if ! wait_following 60; then
	log 'it does not catch up by itself: it is copied anew'
	copy_anew
fi
# It streams before its room's ZooKeeper knows that it leads the room; another one that started in
# this moment would take itself for the leader, and the way to the other room is for one.
if [ "$room_has_own_cluster" = true ]; then
	begin=$(now)
	until room_is_led; do
		if [ $(($(now) - begin)) -ge 60 ]; then fail "it follows, but no server of its room leads the room after 60 s"; fi
		sleep 0.5
	done
fi
log "follows on timeline $timeline"
for old in "$home"/wal.before-*; do
	case $old in *.half) continue ;; esac
	if [ -d "$old" ] && ! [ -e "$old/given-up" ]; then
		count_given_up "$old" >"$old/given-up.new"
		mv "$old/given-up.new" "$old/given-up"
		if [ -s "$old/given-up" ]; then log "given up: $(cat "$old/given-up") transactions, kept in $old"; fi
	fi
done
for old in "$home"/data.aside-*; do
	if [ -e "$old" ]; then
		if has_own "$old"; then
			mv "$old" "$home/data.kept-${old##*.aside-}"
			log "kept in data.kept-${old##*.aside-}: it has what the primary never had"
			continue
		fi
		count=$(count_given_up "$old/pg_wal")
		if [ -n "$count" ]; then log "given up: $count transactions"; fi
		rm -rf "$old"
		log "removed ${old##*/}: the copy is proved"
	fi
done
