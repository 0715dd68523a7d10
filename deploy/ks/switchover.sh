# Hands the primary over to a synchronous standby of the same cluster: no acknowledged write is lost.
use {{ database }}
leader={{ leader }}
candidate={{ candidate }}

# Looked at again here: it may have changed since the plan was made.
members=$(patronictl -c "$config" list -f tsv | cut -f 2,4 | tail -n +2)
if printf '%s\n' "$members" | grep -q "^$candidate	Leader"; then
	log "$candidate is the primary already"
	exit 0
fi
if ! printf '%s\n' "$members" | grep -q "^$leader	Leader"; then
	fail "$leader isn't the primary any more; look with ks check-pg, then plan again"
fi
if ! printf '%s\n' "$members" | grep -q "^$candidate	Sync Standby"; then
	fail "$candidate isn't a synchronous standby; a switch could lose writes"
fi
patronictl -c "$config" switchover "$database" --master "$leader" --candidate "$candidate" --force
