#!/bin/sh
# Blots secrets out of the output of a step that has ended, in place and byte for byte: what follows
# stays where it was. Run by wrapper.sh, or later by supervisor.sh where the wrapper was killed.
set -eu
dir=$1
size=$(wc -c <"$dir/out")
from=$size to=$size
if [ -e "$dir/dropped" ]; then read -r from to <"$dir/dropped"; fi

# Rewrites $2 bytes from byte $1 on. Reading is always ahead of writing, and no line grows.
rewrite() {
	tail -c "+$(($1 + 1))" "$dir/out" | head -c "$2" | sed -f "$dir/redact" |
		dd of="$dir/out" bs=65536 seek="$1" oflag=seek_bytes conv=notrunc status=none
}

rewrite 0 "$from"
if [ "$to" -lt "$size" ]; then rewrite "$to" "$((size - to))"; fi
rm -f "$dir/redact" "$dir/blot"
