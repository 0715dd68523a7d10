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
set -- "$(date '+%s %N %z')"
clock=${1%% *}
printf 'clock %s\n' "$1"
set --
in_full vcap/sys/log/nats.log
set -- "$@" "$file"
in_full '/var/log/it'\''s.log'
set -- "$@" "$file"
number=0
for file in "$@"; do
	look "$number" "$file" 65536 600
	number=$((number + 1))
done
echo end
