# Makes this room's servers of a database writable.
use {{ database }}
planned={{ planned }}
peers={{ peers }}
others={{ others }}
slot={{ slot }}

# A server of the other room takes writes.
# shellcheck disable=SC2086 # addresses, a word each
leads_elsewhere() {
	[ -n "$(primary_among $others)" ]
}

if has_primary; then exit 0; fi
if ! says "$rest" /health; then fail "this server doesn't run; choose another"; fi

# The other room stopped in order, so the last that it wrote is the checkpoint of its shutdown; with
# that here, nothing can be missing.
is_complete() {
	bin=$(pg_bin)
	for segment in $(find "$home/data/pg_wal" -maxdepth 1 -type f -name '????????????????????????' | sort -r); do
		last=$("$bin/pg_waldump" "$segment" 2>/dev/null | tail -n 1)
		case $last in
		*CHECKPOINT_SHUTDOWN*) return 0 ;;
		# A segment that was only prepared for later holds nothing of this time.
		'') ;;
		*) return 1 ;;
		esac
	done
	return 1
}
if [ "$planned" = true ]; then
	begin=$(now)
	until is_complete; do
		if [ $(($(now) - begin)) -ge 15 ]; then
			fail "the end of what the other room wrote isn't here; nothing was promoted; the other room goes on with ks recover-pg --db $database --primary and the name of its server that was the primary"
		fi
		sleep 0.5
	done
	if leads_elsewhere; then fail 'the other room has a primary; plan again'; fi
else
	# It was dark when the plan was made. If anything of it answers now, it's back, and may start to
	# take writes at any moment.
	# shellcheck disable=SC2086 # addresses, a word each
	back=$(ask_all /config $others | sed '/ 000$/d; s/ .*//')
	if [ -n "$back" ]; then fail "$(printf '%s' "$back" | tr '\n' ' ') answers again; nothing was promoted: plan again"; fi
fi
previous=$(http GET 127.0.0.1 "$rest" /config | cut -d ' ' -f 2-)
patronictl -c "$config" edit-config --force -q -s standby_cluster=null \
	-p synchronous_standby_names=null -s "slots.$slot.type=physical" >/dev/null
begin=$(now)
until has_primary; do
	if [ $(($(now) - begin)) -ge 90 ]; then
		patronictl -c "$config" list
		fail "no server of this room became the primary in 90 s"
	fi
	sleep 0.2
done
# One that came back in this very moment may have looked here just before.
if leads_elsewhere; then
	# No other of this room may take over either.
	printf '%s\n' "$previous" | patronictl -c "$config" edit-config --force -q --replace - >/dev/null || :
	systemctl stop "$unit"
	fail 'the other room came back and takes writes, so this one was stopped again; plan again'
fi
