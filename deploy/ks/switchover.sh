# Hands the primary over to a synchronous standby of the same cluster: no acknowledged write is lost.
use {{ database }}
leader={{ leader }}
candidate={{ candidate }}

# Looked at again here: it may have changed since the plan was made. A standby that just came back is
# made synchronous by Patroni within a few seconds.
begin=$(now)
while true; do
	members=$(patronictl -c "$config" list -f tsv | cut -f 2,4 | tail -n +2)
	if printf '%s\n' "$members" | grep -q "^$candidate	Leader"; then
		log "$candidate is the primary already"
		exit 0
	fi
	if ! printf '%s\n' "$members" | grep -q "^$leader	Leader"; then
		fail "$leader isn't the primary any more; look with ks check-pg, then plan again"
	fi
	if printf '%s\n' "$members" | grep -q "^$candidate	Sync Standby"; then break; fi
	if [ $(($(now) - begin)) -ge 30 ]; then
		fail "$candidate isn't a synchronous standby; a switch could lose writes"
	fi
	sleep 1
done
# Patroni 4 doesn't know the option's old name, and 2 knows no other.
option=--master
if patronictl switchover --help | grep -q -e --leader; then option=--leader; fi
patronictl -c "$config" switchover "$database" "$option" "$leader" --candidate "$candidate" --force
# patronictl ends with 0 also where Patroni refused.
begin=$(now)
until patronictl -c "$config" list -f tsv | cut -f 2,4 | grep -q "^$candidate	Leader"; do
	if [ $(($(now) - begin)) -ge 60 ]; then fail "$candidate did not become the primary"; fi
	sleep 0.5
done
