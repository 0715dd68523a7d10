#!/bin/sh
# Prints what log files hold, for `logs`: the end of each, or what they get from known places on, for
# as long as somebody listens. Changes nothing. Runs as root; lib/logs/wire.rs reads the lines, and
# docs/on-host-protocol.md tells them.
set -eu
LC_ALL=C
export LC_ALL
# A line is never to be mixed with a program's complaint.
exec 2>/dev/null
PAAS_USER={{ paas_user }}
PAAS_HOME={{ paas_home }}
# The function stands before this script.
PAAS_HOME=$(home_of "$PAAS_USER" "$PAAS_HOME")
# How many bytes of a file a line holds; as base64 they are 64 KiB.
piece=49152
# How many bytes before a piece are sent with it: they show that it's the same file's.
overlap=256
{% if follows %}# How many bytes of one file are sent before the next one has its turn.
turn=4194304
# How many looks a file that lost its name is preferred to an empty one that has the name now.
patience=60
{% endif %}
# Sets file to the path of a log, which may be relative to the login user's home.
in_full() {
	file=$1
	case $file in
	/*) ;;
	*) file=$PAAS_HOME/$file ;;
	esac
}

# Opens a regular file as descriptor 3; sets inode and size, which are the open file's whatever becomes
# of its name.
open_log() {
	inode=0 size=0
	if ! [ -f "$1" ] || ! command exec 3<"$1"; then return 1; fi
	read -r inode size <<-END
		$(stat -L -c '%i %s' /dev/fd/3)
	END
}

close_log() {
	command exec 3<&- || :
}

# send WORD NUMBER INODE FROM TO: a part of the open file, piece by piece.
send() {
	at=$4
	while [ "$at" -lt "$5" ]; do
		more=$(($5 - at))
		if [ "$more" -gt "$piece" ]; then more=$piece; fi
		before=$overlap
		if [ "$at" -lt "$before" ]; then before=$at; fi
		printf '%s %s %s %s %s ' "$1" "$2" "$3" "$at" "$before"
		tail -c "+$((at - before + 1))" /dev/fd/3 | head -c "$((before + more))" | base64 -w 0
		printf '\n'
		at=$((at + more))
	done
}
{% if follows %}
# know NUMBER INODE OFFSET EMPTIED MARK: how far a log is known; inode 0 stands for a file that wasn't
# there. EMPTIED is whether what stands before the offset isn't what it was any more; MARK is what it
# was, as base64.
know() {
	eval "inode_$1=\$2 offset_$1=\$3 emptied_$1=\$4 mark_$1=\$5 waited_$1=0"
}

# Sets folder and rotated: where a log's earlier files lie, and how they are called.
name_earlier() {
	folder=$(dirname -- "$1")
	rotated=$(basename -- "$1" | sed 's/[][*?\\]/\\&/g')
	rotated="${rotated}[.-]*[0-9]*"
}

# written FILE: when it was last written, in seconds since 1970.
written() {
	find "$1" -maxdepth 0 -printf '%T@\n' || echo 0
}

# Prints the files that a log had from the one that was last written at $2 on, up to one of $3, the oldest
# first, but not the one whose inode is $4; what was packed meanwhile can't be read.
between() {
	name_earlier "$1"
	find "$folder" -maxdepth 1 -type f -name "$rotated" ! -inum "$known" ! -inum "$4" \
		! -name '*.gz' ! -name '*.bz2' ! -name '*.xz' ! -name '*.zst' -printf '%T@ %p\n' |
		awk -v from="$2" -v to="$3" '$1 >= from && $1 < to' | sort -k 1,1n -k 2,2r | cut -d ' ' -f 2-
}

# begin NUMBER: the open file is read from its start on.
begin() {
	printf 'new %s %s\n' "$1" "$inode"
	known=$inode offset=0 emptied=no mark='' waited=0
}

# send_all NUMBER: sends whole files, whose names are read.
send_all() {
	while read -r earlier; do
		if ! open_log "$earlier"; then continue; fi
		begin "$1"
		send piece "$1" "$inode" 0 "$size"
		offset=$size
		close_log
	done
}

# Whether the open file has been written anew since it was read.
was_emptied() {
	[ "$size" -lt "$offset" ] || [ "$emptied" = yes ]
}

# Whether what stands in the open file before the offset is what was read last, where that is known.
is_copy() {
	before=$overlap
	if [ "$offset" -lt "$before" ]; then before=$offset; fi
	[ -z "$mark" ] ||
		[ "$(tail -c "+$((offset - before + 1))" /dev/fd/3 | head -c "$before" | base64 -w 0)" = "$mark" ]
}

# send_copy NUMBER FILE NOW: sends what a log lost when it was copied and then emptied; its file is
# called NOW. That may have happened more than once: later copies are sent whole. Then the log's file is
# read from its start on.
send_copy() {
	name_earlier "$2"
	emptied_file=$known copied='' copied_file=0
	# Without a mark the file was emptied just now, and so the copy is as new.
	minutes=2
	if [ -n "$mark" ]; then minutes=9999999; fi
	while read -r copy; do
		if [ -n "$copied" ] || ! open_log "$copy"; then continue; fi
		if is_copy; then
			send copy "$1" "$known" "$offset" "$size"
			copied=$(written "$copy")
			copied_file=$inode
		fi
		close_log
	done <<-END
		$(find "$folder" -maxdepth 1 -type f -name "$rotated" ! -inum "$known" -size "+$((offset - 1))c" \
			-mmin "-$minutes" -printf '%T@ %p\n' | sort -rn | cut -d ' ' -f 2-)
	END
	if [ -n "$copied" ]; then
		send_all "$1" <<-END
			$(between "$2" "$copied" "$(written "$3")" "$copied_file")
		END
	fi
	inode=$emptied_file
	begin "$1"
}

# Sends what is left of the file that a log was, which has another name now; sets old to that name.
# Fails where that has to be tried again.
send_rest() {
	old=''
	if [ "$known" -eq 0 ]; then return 0; fi
	name_earlier "$2"
	old=$(find "$folder" -maxdepth 1 -type f -inum "$known" -name "$rotated" | head -n 1)
	if [ -z "$old" ]; then return 0; fi
	open_log "$old" || :
	if [ "$inode" -eq "$known" ] && was_emptied; then
		close_log
		send_copy "$@" "$old"
		open_log "$old" || :
	fi
	# It was renamed again at this moment.
	if [ "$inode" -ne "$known" ]; then
		close_log
		return 1
	fi
	if [ "$size" -gt "$offset" ]; then
		send piece "$1" "$known" "$offset" "$size"
		offset=$size mark='' waited=0
	fi
	close_log
}

# Sends the files that a log had between the one that is known and the present one, whose inode is set
# as present.
send_between() {
	open_log "$2" || :
	close_log
	present=$inode
	send_all "$1" <<-END
		$(between "$2" "$(written "$old")" 9999999999 "$present")
	END
}

# Another file has the log's name, or none.
turn_over() {
	close_log
	waited=$((waited + 1))
	if ! send_rest "$@"; then
		again=yes
		return 0
	fi
	present=''
	if [ -n "$old" ]; then send_between "$@"; fi
	open_log "$2" || :
	# It was renamed at this moment, and isn't among those that were sent.
	if [ -n "$present" ] && [ "$inode" -ne "$present" ]; then
		again=yes
		return 0
	fi
	# Who writes a log may go on with the old file until it's told.
	if [ "$size" -eq 0 ] && [ "$known" -ne 0 ]; then
		if [ "$waited" -lt "$patience" ]; then
			again=yes
			return 0
		fi
		if [ "$inode" -eq 0 ] && [ -n "$old" ]; then again=yes; fi
	fi
	if [ "$inode" -eq 0 ]; then return 0; fi
	if [ -z "$old" ] && [ "$known" -ne 0 ]; then
		# Where files are being renamed at this moment, a look may have missed it.
		if [ "$waited" -lt 4 ]; then
			again=yes
			return 0
		fi
		printf 'gone %s\n' "$1"
	fi
	begin "$1"
}

# look NUMBER FILE: sends what a log has got since the last look.
look() {
	eval "known=\$inode_$1 offset=\$offset_$1 emptied=\$emptied_$1 mark=\$mark_$1 waited=\$waited_$1"
	open_log "$2" || :
	if [ "$inode" -ne "$known" ]; then
		turn_over "$@"
	elif was_emptied; then
		close_log
		send_copy "$@" "$2"
		open_log "$2" || :
		if [ "$inode" -ne "$known" ]; then again=yes; fi
	fi
	if [ "$inode" -eq "$known" ] && [ "$inode" -ne 0 ] && [ "$size" -gt "$offset" ]; then
		until=$size
		if [ $((until - offset)) -gt "$turn" ]; then
			until=$((offset + turn))
			again=yes
		fi
		send piece "$1" "$inode" "$offset" "$until"
		offset=$until mark=''
	fi
	close_log
	eval "inode_$1=\$known offset_$1=\$offset emptied_$1=\$emptied mark_$1=\$mark waited_$1=\$waited"
}
{% else %}
# look NUMBER FILE BYTES SECONDS: sends a log's end, so many bytes at most, and nothing where it got
# nothing for so long; 0 stands for any time.
look() {
	if ! open_log "$2"; then
		printf 'missing %s\n' "$1"
		return 0
	fi
	modified=$(stat -L -c %Y /dev/fd/3)
	printf 'file %s %s %s %s\n' "$1" "$inode" "$size" "$modified"
	from=0
	if [ "$size" -gt "$3" ]; then from=$((size - $3)); fi
	if [ "$4" -gt 0 ] && [ $((clock - modified)) -gt "$4" ]; then from=$size; fi
	printf 'at %s %s\n' "$1" "$from"
	send piece "$1" "$inode" "$from" "$size"
	close_log
}
{% endif %}
set -- "$(date '+%s %N %z')"
{% if follows %}{% else %}clock=${1%% *}
{% endif %}printf 'clock %s\n' "$1"
set --
{% for log in logs %}in_full {{ log.path }}
set -- "$@" "$file"
{% if follows %}know {{ log.number }} {{ log.inode }} {{ log.offset }} {{ log.emptied }} {{ log.mark }}
{% endif %}{% endfor %}{% if follows %}looks=0 again=yes seen=''
while :; do
	now=$(stat -L -c '%i %s %n' -- "$@") || :
	if [ "$now" != "$seen" ] || [ "$again" = yes ]; then
		seen=$now again=no number=0
		for file in "$@"; do
			look "$number" "$file"
			number=$((number + 1))
		done
	fi
	looks=$((looks + 1))
	if [ "$looks" -ge 60 ]; then
		echo alive
		looks=0
	fi
	sleep 0.3
done
{% else %}number=0
for file in "$@"; do
	look "$number" "$file" {{ bytes }} {{ seconds }}
	number=$((number + 1))
done
echo end
{% endif %}
