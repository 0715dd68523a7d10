# Has Patroni elect a primary among the servers that are left, and says whether that one may
# acknowledge while no other confirms.
use {{ database }}
strict={{ strict }}
peers={{ peers }}

begin=$(now)
systemctl enable --quiet "$unit"
# A Patroni that promotes before it has read that nobody needs to confirm has commits wait for anybody
# (`*`), and doesn't take that back while nobody is there. What it starts with, it has read.
waits_for=$(printf 'show synchronous_standby_names' | sql postgres 2>/dev/null || :)
if [ "$strict" = false ] && { [ "$waits_for" = '*' ] || ! has_primary; }; then
	trap 'systemctl start --no-block "$unit"' EXIT
	systemctl stop "$unit"
fi
until said=$(patronictl -c "$config" edit-config --force -q -s "synchronous_mode_strict=$strict" 2>&1); do
	if [ $(($(now) - begin)) -ge 60 ]; then fail "Patroni's settings can't be changed: $said"; fi
	sleep 1
done
systemctl start "$unit" || systemctl start --no-block "$unit"
until has_primary; do
	if [ $(($(now) - begin)) -ge 120 ]; then
		patronictl -c "$config" list || :
		fail 'no server became the primary in 120 s: it was not synchronous when it was left alone, so it lacks acknowledged writes; bring another room back'
	fi
	sleep 0.5
done
