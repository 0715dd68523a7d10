# The database of uaa and the cloud controller: makes their databases, the role that both use, and
# the extension that the cloud controller needs, whatever of these is there already.
programs=$PAAS_HOME/build_dir/target/postgres/bin
role={{ postgres_role }}
password={{ postgres_password }}

# The release makes the database where its folder isn't there, and never again if that failed.
data=$PAAS_HOME/vcap/sys/data/postgres
if [ -d "$data" ] && ! [ -e "$data/PG_VERSION" ] && ! rmdir "$data"; then
	fail "$data is there, but no database: an initdb in it did not end; look at what it holds, and remove it"
fi

paas postgres start

# sql DATABASE [OPTION…]: runs what it reads, as a superuser, on the server that find_server has
# found. psql takes role and password from its environment: they never are arguments, nor in a file.
sql() {
	(
		DB_ROLE=$role
		DB_PASSWORD=$password
		export DB_ROLE DB_PASSWORD
		pipe_as_user env LD_LIBRARY_PATH="$PAAS_HOME/build_dir/target/postgres/lib" \
			"$programs/psql" -wqAtX -v ON_ERROR_STOP=1 -h "$server" -p 5432 -U "$admin" -d "$@"
	)
}

# A private release lets its owner in on localhost; Debian's programs look for a socket. The role
# that uaa and cc use may have the owner's name. It is to be no superuser, so it can't be the
# administrator here, unless it is the server's very first role, which stays one.
find_server() {
	for admin in postgres "$PAAS_USER"; do
		for server in /tmp /var/run/postgresql localhost; do
			said=$(
				sql postgres 2>&1 <<-'END'
					\set role `printf %s "$DB_ROLE"`
					select 'usable' from pg_roles where rolname = current_user and rolsuper
						and (rolname <> :'role' or oid = 10);
				END
			) || :
			if [ "$said" = usable ]; then return 0; fi
			said="as $admin by $server: ${said:-it is no superuser, or is not to stay one}"
		done
	done
	return 1
}

begin=$(now)
until find_server; do
	if [ $(($(now) - begin)) -ge 120 ]; then
		fail "postgres takes no connection from an administrator; the last try, $said"
	fi
	sleep 0.5
done

# Prints 1 if the role is there.
role_exists() {
	sql postgres <<-'END'
		\set role `printf %s "$DB_ROLE"`
		select 1 from pg_roles where rolname = :'role';
	END
}

create_role() {
	sql postgres <<-'END'
		\set role `printf %s "$DB_ROLE"`
		create role :"role";
	END
}

# The password stays out of the server's log, even if the statement fails.
set_login() {
	sql postgres <<-'END'
		\set role `printf %s "$DB_ROLE"`
		\set password `printf %s "$DB_PASSWORD"`
		set log_statement = 'none';
		set log_min_duration_statement = -1;
		set log_min_error_statement = 'panic';
		alter role :"role" with login inherit password :'password';
	END
}

# The server's first role can't work without; PostgreSQL 16 and newer refuse to take it away.
is_superuser_without_need() {
	sql postgres <<-'END'
		\set role `printf %s "$DB_ROLE"`
		select 1 from pg_roles where rolname = :'role' and rolsuper and oid <> 10;
	END
}

drop_superuser() {
	sql postgres <<-'END'
		\set role `printf %s "$DB_ROLE"`
		alter role :"role" with nosuperuser;
	END
}

database_exists() {
	sql postgres -v name="$1" <<-'END'
		select 1 from pg_database where datname = :'name';
	END
}

create_database() {
	sql postgres -v name="$1" <<-'END'
		create database :"name";
	END
}

own_database() {
	sql postgres -v name="$1" <<-'END'
		\set role `printf %s "$DB_ROLE"`
		alter database :"name" owner to :"role";
	END
	# Since PostgreSQL 15 only a schema's owner may make tables in it.
	sql "$1" <<-'END'
		\set role `printf %s "$DB_ROLE"`
		set client_min_messages = warning;
		create extension if not exists citext;
		grant all on schema public to :"role";
	END
}

if [ -z "$(role_exists)" ]; then create_role; fi
set_login
if [ -n "$(is_superuser_without_need)" ]; then drop_superuser; fi
for database in uaa cloud_controller; do
	if [ -z "$(database_exists "$database")" ]; then create_database "$database"; fi
	own_database "$database"
done

# The release lets one role in from other hosts; a role of another name needs its own lines.
let_in() {
	rules=$data/pg_hba.conf
	if ! [ -e "$rules" ]; then return 0; fi
	case $role in
	*[\"[:cntrl:]]*) fail "the role $role of postgres holds a quote or control character; choose another vars.postgres_role" ;;
	esac
	cp -p "$rules" "$rules.new"
	for database in uaa cloud_controller; do
		for network in 0.0.0.0/0 ::/0; do
			rule="host $database \"$role\" $network md5"
			# As the release writes it, and as it's written here.
			if grep -qxF -e "host $database $role $network md5" -e "host $database $role $network md5 " -e "$rule" "$rules"; then continue; fi
			printf '%s\n' "$rule" >>"$rules.new"
		done
	done
	if cmp -s "$rules" "$rules.new"; then
		rm -f "$rules.new"
		return 0
	fi
	put_in_place "$rules" "$rules.new"
	echo 'select pg_reload_conf();' | sql postgres >/dev/null
}
let_in

keep_secret postgres_password "$password"
log 'databases uaa and cloud_controller are ready'
