# settings VERB WORD…: what the job sets in the release's own files, one verb a line. It is data of the
# job; this finds what the release on this host has of it.
#   file WHAT PATH…    begins a file: the first of these below the release
#   unless PATH        a release that has this one instead needs no such file
#   secret             the file is going to hold one
#   need, may, way, edit: as edit_file reads them
#   end                makes the edits
settings() {
	case $1 in
	file) shift && find_settings "$@" ;;
	unless) if [ -e "$RELEASE/$2" ]; then settings_needless=yes; fi ;;
	secret) settings_secret=yes ;;
	need | may | way | edit) order_settings "$@" ;;
	end) make_settings ;;
	esac
}

find_settings() {
	settings_what=$1
	settings_file=''
	settings_looked=''
	settings_needless=''
	settings_secret=''
	settings_orders=''
	shift
	for settings_path in "$@"; do
		settings_looked="$settings_looked${settings_looked:+, }$settings_path"
		if [ -z "$settings_file" ] && [ -f "$RELEASE/$settings_path" ]; then
			settings_file=$RELEASE/$settings_path
		fi
	done
}

order_settings() {
	if [ "$1" = edit ]; then refuse_value "${settings_file:-$RELEASE}" "$2" "$3" "$4"; fi
	settings_orders=$settings_orders$(printf '%s\t' "$@" && echo .)
	settings_orders="${settings_orders%?.}
"
}

make_settings() {
	if [ -z "$settings_file" ]; then
		if [ -n "$settings_needless" ]; then return 0; fi
		fail "$RELEASE has no file for $settings_what; looked for $settings_looked; does the release fit, and was the machine bootstrapped?"
	fi
	if [ -n "$settings_secret" ]; then protect "$settings_file"; fi
	printf %s "$settings_orders" | edit_file "$settings_file"
}
