# Runs one step to its end, whatever becomes of the connection: started by the supervisor in a
# session of its own, holding the host's lock as descriptor 9.
# Arguments: the step's folder, the receipt's path, whether the script is kept.
set -u
umask 077
dir=$1
printf '%s %s\n' "$$" "$(cut -d ' ' -f 22 "/proc/$$/stat")" >"$dir/pid"
# Only the step's own process group is ever signalled; the wrapper stays to tell how it ended.
trap '' HUP INT TERM
started=$(date +%s)
# A session of its own again, and without the lock: a daemon that the step leaves behind must not
# hold it.
(
	trap - HUP INT TERM
	umask 022
	exec setsid sh "$dir/script"
) </dev/null >>"$dir/out" 2>&1 9>&- &
step=$!
printf '%s\n' "$step" >"$dir/group"
wait "$step"
status=$?
finished=$(date +%s)
if [ "$3" != yes ]; then rm -f "$dir/script"; fi
if [ -s "$dir/receipt" ]; then
	{
		cat "$dir/receipt"
		printf ',"status":%d,"started":%d,"finished":%d,"boot_id":"%s"}\n' \
			"$status" "$started" "$finished" "$(cat "$dir/boot-id")"
	} >"$2.new" && sync "$2.new" && mv "$2.new" "$2"
fi
rm -f "$dir/receipt"
# The status comes last: who sees it finds everything else done.
printf '%s\n' "$status" >"$dir/status.new" && mv "$dir/status.new" "$dir/status"
