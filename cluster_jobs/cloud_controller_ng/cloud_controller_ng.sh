# The platform's API: keeps applications and services, trusts the tokens of uaa.
keep_secret bulk_api_password {{ bulk_api_password }}
keep_secret staging_password {{ staging_password }}
paas cloud_controller_ng start

# The release makes the tables at what it takes for its first run, which it never comes to here. They
# are made with the configuration that the start has rendered, and again when that changes.
make_tables() {
	target=$PAAS_HOME/build_dir/target
	rendered=$PAAS_HOME/vcap/sys/config/cloud_controller_ng.yml
	made=$PAAS_ROOT/started/cloud_controller_ng.tables
	wanted=$(sha256sum <"$rendered")
	if [ "$(cat "$made" 2>/dev/null || :)" = "$wanted" ]; then return 0; fi
	# shellcheck disable=SC2016 # the inner shell expands it
	as_user env LD_LIBRARY_PATH="$target/postgres/lib" CLOUD_CONTROLLER_NG_CONFIG="$rendered" \
		sh -c 'cd "$0/cloud_controller_ng" && exec "$0/ruby/bin/ruby" "$0/ruby/bin/bundle" exec \
			"$0/ruby/bin/ruby" "$0/ruby/bin/rake" --trace db:migrate' "$target" ||
		fail 'the tables of the cloud controller could not be made'
	paas cloud_controller_ng restart
	printf '%s\n' "$wanted" >"$made"
}

make_tables
