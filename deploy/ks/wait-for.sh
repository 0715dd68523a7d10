# Sets whose confirmation a commit waits for; nobody's where the list is empty.
use {{ database }}
names={{ names }}

if ! says "$rest" /primary; then fail 'this server is no primary any more'; fi
value=null
if [ -n "$names" ]; then value=$names; fi
patronictl -c "$config" edit-config --force -q -p "synchronous_standby_names=$value" >/dev/null
begin=$(now)
# One that says nothing at all doesn't say "nobody".
until [ "$(printf "select 'waits for ' || current_setting('synchronous_standby_names')" | sql postgres || :)" = "waits for $names" ]; do
	if [ $(($(now) - begin)) -ge 30 ]; then fail 'the server did not take it over in 30 s'; fi
	sleep 0.2
done
if [ -n "$names" ]; then log "a commit waits for: $names"; else log 'a commit waits for nobody'; fi
