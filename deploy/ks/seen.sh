# Looks whether what was written through the entries has come to this standby.
use {{ database }}
ids={{ ids }}

begin=$(now)
for id in $ids; do
	until [ "$(printf "select count(*) from requests where id = :'id'" | sql -v id="$id" global 2>/dev/null)" = 1 ]; do
		if [ $(($(now) - begin)) -ge 60 ]; then fail "$id isn't here after 60 s"; fi
		sleep 0.2
	done
done
log "here: $ids"
