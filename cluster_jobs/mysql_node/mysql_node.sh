# Makes MySQL databases on request, on the server on the same host.
keep_secret mysql_root_password {{ mysql_root_password }}
password={{ mysql_root_password }}
paas mysql start

# mysql_as ACCOUNT: the server's own client, on the host's socket, where root has no password; newer
# servers want the system's root there.
mysql_as() {
	client=$PAAS_HOME/build_dir/target/mysql/bin/mysql
	set -- "$1" "$client" "--defaults-file=$PAAS_HOME/vcap/sys/config/my.cnf" -u root mysql
	account=$1
	shift
	if [ "$account" = root ]; then "$@"; else pipe_as_user "$@"; fi
}

# The release gives everybody's root the password mysql; it becomes the one that the node has. What is
# read from standard input stands in no list of processes.
set_root_password() {
	literal=$(printf %s "$password" | sed "s/[\\\\']/\\\\&/g")
	printf "grant all privileges on *.* to 'root'@'%%' identified by '%s' with grant option;\n" "$literal" |
		mysql_as "$1" 2>&1
}

begin=$(now)
until said=$(set_root_password "$PAAS_USER") || said=$(set_root_password root); do
	if [ $(($(now) - begin)) -ge 60 ]; then
		fail "the password of MySQL's root could not be set: $(printf '%s\n' "$said" | tail -n 1)"
	fi
	sleep 1
done

paas mysql_node start
