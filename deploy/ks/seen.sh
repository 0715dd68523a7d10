# Looks whether what was written has come to this standby.
use {{ database }}
table={{ table }}
ids={{ ids }}

begin=$(now)
for id in $ids; do
	until [ "$(printf "select count(*) from %s where id = :'id'" "$table" | sql -v id="$id" "$database" 2>/dev/null)" = 1 ]; do
		if [ $(($(now) - begin)) -ge 60 ]; then fail "$id isn't here after 60 s"; fi
		sleep 0.2
	done
done
log "here: $ids"
