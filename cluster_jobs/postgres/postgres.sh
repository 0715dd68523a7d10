# The database of uaa and the cloud controller: makes their databases, the role that both use, and
# the extension that the cloud controller needs, whatever of these is there already.
config=$RELEASE/postgres/jobs/postgres.yml.erb
programs=$PAAS_HOME/build_dir/target/postgres/bin
password={{ postgres_password }}
role={{ postgres_role }}

set_text "$config" listen {{ listen }}
set_setting "$config" port 5432
paas postgres start

# A private release lets its owner in on localhost; Debian's programs look for a socket. The role
# that uaa and cc use may have the owner's name, so `postgres` is the better administrator.
sql() {
	as_user env LD_LIBRARY_PATH="$PAAS_HOME/build_dir/target/postgres/lib" \
		"$programs/psql" -wqAtX -v ON_ERROR_STOP=1 -h "$server" -p 5432 -U "$admin" "$@"
}

find_server() {
	for admin in postgres "$PAAS_USER"; do
		for server in /tmp /var/run/postgresql localhost; do
			is_super=$(sql -d postgres -c 'select rolsuper from pg_roles where rolname = current_user' 2>/dev/null) || continue
			if [ "$is_super" = t ] && [ "$admin" != "$role" ]; then return 0; fi
		done
	done
	return 1
}

begin=$(date +%s)
until find_server; do
	if [ $(($(date +%s) - begin)) -ge 120 ]; then
		show_logs
		fail 'postgres takes no connection from its owner'
	fi
	sleep 0.5
done

# The password reaches psql in a file that only the login user can read: never as an argument.
scratch=$(as_user mktemp -d)
trap 'rm -rf "$scratch"' EXIT
umask 077
{
	printf '%s' "$password" >"$scratch/password"
	printf '%s' "$role" >"$scratch/role"
	cat >"$scratch/role.sql" <<-'END'
		\set password `cat "$SCRATCH/password"`
		\set role `cat "$SCRATCH/role"`
		select format('create role %I', :'role')
			where not exists (select from pg_roles where rolname = :'role') \gexec
		select format('alter role %I with login inherit nosuperuser password %L', :'role', :'password') \gexec
	END
	cat >"$scratch/database.sql" <<-'END'
		\set role `cat "$SCRATCH/role"`
		select format('create database %I', :'name')
			where not exists (select from pg_database where datname = :'name') \gexec
		select format('alter database %I owner to %I', :'name', :'role') \gexec
	END
	cat >"$scratch/schema.sql" <<-'END'
		\set role `cat "$SCRATCH/role"`
		grant all on schema public to :"role";
	END
	chown -R "$PAAS_USER" "$scratch"
}
umask 022

sql_file() {
	file=$1
	shift
	SCRATCH=$scratch
	export SCRATCH
	sql "$@" -f "$scratch/$file"
}

sql_file role.sql -d postgres
for database in uaa cloud_controller; do
	sql_file database.sql -d postgres -v name="$database"
	sql -d "$database" -c 'create extension if not exists citext'
	# Since PostgreSQL 15 only a schema's owner may make tables in it.
	sql_file schema.sql -d "$database"
done

# Kept here too, so that any workstation can go on with this cluster.
mkdir -p "$PAAS_ROOT/secrets"
chmod 0700 "$PAAS_ROOT/secrets"
(
	umask 077
	printf '%s\n' "$password" >"$PAAS_ROOT/secrets/postgres_password.new"
)
mv "$PAAS_ROOT/secrets/postgres_password.new" "$PAAS_ROOT/secrets/postgres_password"
log 'databases uaa and cloud_controller are ready'
