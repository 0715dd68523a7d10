# Writes through this room's entry and reads it back.
id={{ id }}

begin=$(now)
until case $(http POST 127.0.0.1 7777 "/write?id=$id") in 200*) true ;; *) false ;; esac do
	if [ $(($(now) - begin)) -ge 60 ]; then
		fail "nothing can be written through this entry: $(http POST 127.0.0.1 7777 "/write?id=$id")"
	fi
	sleep 0.2
done
# Reading may be a standby's, which is a moment behind.
until case $(http GET 127.0.0.1 7777 "/read?id=$id") in 200*) true ;; *) false ;; esac do
	if [ $(($(now) - begin)) -ge 60 ]; then fail "what was written can't be read back: $id"; fi
	sleep 0.2
done
log "written and read back: $id"
