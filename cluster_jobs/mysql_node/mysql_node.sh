# Makes MySQL databases on request, on the server on the same host.
keep_secret mysql_root_password {{ mysql_root_password }}
password={{ mysql_root_password }}
paas mysql start

# mysql_as ACCOUNT: the server's own client, on the host's socket, where root has no password; newer
# servers want the system's root there.
mysql_as() {
	client=$PAAS_HOME/build_dir/target/mysql/bin/mysql
	account=$1
	shift
	set -- "$client" "--defaults-file=$PAAS_HOME/vcap/sys/config/my.cnf" -u root "$@" mysql
	if [ "$account" = root ]; then "$@"; else pipe_as_user "$@"; fi
}

# The release gives everybody's root the password mysql; it becomes the one that the node has. The
# server's own installation made accounts for the names of this host, without a password: where an
# address leads to such a name, its account is the one that counts. What is read from standard input
# stands in no list of processes.
set_root_password() {
	literal=$(printf %s "$password" | sed "s/[\\\\']/\\\\&/g")
	echo "select host from user where user = 'root' and host not in ('%', 'localhost', '127.0.0.1', '::1');" |
		{ mysql_as "$1" -N >"$names"; } 2>&1 || return 1
	{
		echo '%'
		cat "$names"
	} | sed "s/[\\\\']/\\\\&/g" | while read -r name; do
		printf "grant all privileges on *.* to 'root'@'%s' identified by '%s' with grant option;\n" "$name" "$literal"
	done | mysql_as "$1" 2>&1
}

names=$(mktemp)
begin=$(now)
until said=$(set_root_password "$PAAS_USER") || said=$(set_root_password root); do
	if [ $(($(now) - begin)) -ge 60 ]; then
		fail "the password of MySQL's root could not be set: $(printf '%s\n' "$said" | tail -n 1)"
	fi
	sleep 1
done
rm -f "$names"

paas mysql_node start
