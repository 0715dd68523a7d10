home_of() {
	case $1:$2 in
	"$1:/home/$1" | root:/root) account_home=$(getent passwd -- "$1" | cut -d : -f 6) ;;
	*) account_home='' ;;
	esac
	printf '%s\n' "${account_home:-$2}"
}
set -eu
LC_ALL=C
export LC_ALL
exec 2>/dev/null
PAAS_USER=paas
PAAS_HOME=/home/paas
PAAS_HOME=$(home_of "$PAAS_USER" "$PAAS_HOME")
piece=49152
overlap=256
turn=4194304
patience=60
in_full() {
	file=$1
	case $file in
	/*) ;;
	*) file=$PAAS_HOME/$file ;;
	esac
}
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
know() {
	eval "inode_$1=\$2 offset_$1=\$3 emptied_$1=\$4 mark_$1=\$5 waited_$1=0"
}
name_earlier() {
	folder=$(dirname -- "$1")
	rotated=$(basename -- "$1" | sed 's/[][*?\\]/\\&/g')
	rotated="${rotated}[.-]*[0-9]*"
}
written() {
	find "$1" -maxdepth 0 -printf '%T@\n' || echo 0
}
between() {
	name_earlier "$1"
	find "$folder" -maxdepth 1 -type f -name "$rotated" ! -inum "$known" ! -inum "$4" \
		! -name '*.gz' ! -name '*.bz2' ! -name '*.xz' ! -name '*.zst' -printf '%T@ %p\n' |
		awk -v from="$2" -v to="$3" '$1 >= from && $1 < to' | sort -k 1,1n -k 2,2r | cut -d ' ' -f 2-
}
begin() {
	printf 'new %s %s\n' "$1" "$inode"
	known=$inode offset=0 emptied=no mark='' waited=0
}
send_all() {
	while read -r earlier; do
		if ! open_log "$earlier"; then continue; fi
		begin "$1"
		send piece "$1" "$inode" 0 "$size"
		offset=$size
		close_log
	done
}
was_emptied() {
	[ "$size" -lt "$offset" ] || [ "$emptied" = yes ]
}
is_copy() {
	before=$overlap
	if [ "$offset" -lt "$before" ]; then before=$offset; fi
	[ -z "$mark" ] ||
		[ "$(tail -c "+$((offset - before + 1))" /dev/fd/3 | head -c "$before" | base64 -w 0)" = "$mark" ]
}
send_copy() {
	name_earlier "$2"
	emptied_file=$known copied='' copied_file=0
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
send_between() {
	open_log "$2" || :
	close_log
	present=$inode
	send_all "$1" <<-END
		$(between "$2" "$(written "$old")" 9999999999 "$present")
	END
}
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
	if [ -n "$present" ] && [ "$inode" -ne "$present" ]; then
		again=yes
		return 0
	fi
	if [ "$size" -eq 0 ] && [ "$known" -ne 0 ]; then
		if [ "$waited" -lt "$patience" ]; then
			again=yes
			return 0
		fi
		if [ "$inode" -eq 0 ] && [ -n "$old" ]; then again=yes; fi
	fi
	if [ "$inode" -eq 0 ]; then return 0; fi
	if [ -z "$old" ] && [ "$known" -ne 0 ]; then
		if [ "$waited" -lt 4 ]; then
			again=yes
			return 0
		fi
		printf 'gone %s\n' "$1"
	fi
	begin "$1"
}
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
set -- "$(date '+%s %N %z')"
printf 'clock %s\n' "$1"
set --
in_full vcap/sys/log/nats.log
set -- "$@" "$file"
know 0 7 42 no 'eAo='
in_full '/var/log/it'\''s.log'
set -- "$@" "$file"
know 1 0 0 no ''
looks=0 again=yes seen=''
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
