# Has Patroni elect a primary among the servers that are left, and says whether that one may
# acknowledge while no other confirms.
use {{ database }}
strict={{ strict }}
peers={{ peers }}

has_primary() {
	for peer in $peers; do
		case $(http GET "$peer" "$rest" /primary) in
		200*)
			log "$peer is the primary"
			return 0
			;;
		esac
	done
	return 1
}

systemctl enable --quiet "$unit"
systemctl start "$unit" || systemctl start --no-block "$unit"
begin=$(now)
until said=$(patronictl -c "$config" edit-config --force -q -s "synchronous_mode_strict=$strict" 2>&1); do
	if [ $(($(now) - begin)) -ge 60 ]; then fail "Patroni's settings can't be changed: $said"; fi
	sleep 1
done
until has_primary; do
	if [ $(($(now) - begin)) -ge 120 ]; then
		patronictl -c "$config" list || :
		fail 'no server became the primary in 120 s: it was not synchronous when it was left alone, so it lacks acknowledged writes; bring another room back'
	fi
	sleep 0.5
done
