# pgpool: the connection pool that the room's services use. It stands behind haproxy, which knows
# the primary: set up directly on the servers, pgpool either never follows a failover or stays "all
# down" after a cut. So its backends never change, and it decides nothing.
config=/etc/pgpool2/pgpool.conf
entry={{ entry }}
password={{ ks_password }}
monitor_password={{ ks_monitor_password }}

install_packages{% for package in packages %} {{ package }}{% endfor %}
need_file "$config"
stale=/run/paas-pgpool.stale
# line NAME VALUE
line() {
	printf "%s = '%s'\n" "$1" "$2"
}
{
	line listen_addresses '*'
	printf 'port = 9999\n'
	line backend_clustering_mode streaming_replication
	line backend_hostname0 "$entry"
	printf 'backend_port0 = 5000\nbackend_weight0 = 1\n'
	line backend_flag0 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'
	line backend_hostname1 "$entry"
	printf 'backend_port1 = 5001\nbackend_weight1 = 0\n'
	line backend_flag1 DISALLOW_TO_FAILOVER
	printf '%s\n' 'load_balance_mode = off' 'connection_cache = off' \
		'failover_on_backend_error = off' 'failover_on_backend_shutdown = off' \
		'num_init_children = 64' 'max_pool = 1' 'health_check_period = 0' 'enable_pool_hba = on'
	line pool_passwd pool_passwd
	line sr_check_user pgpool
	printf 'sr_check_period = 0\n'
	line pid_file_name /var/run/postgresql/pgpool.pid
	line logdir /tmp
	printf 'pcp_listen_addresses = %s\n' "'127.0.0.1'"
} >"$config.new"
put_new "$config" "$stale"
printf '%s\n' 'local all all scram-sha-256' 'host all all 0.0.0.0/0 scram-sha-256' \
	'host all all ::/0 scram-sha-256' >/etc/pgpool2/pool_hba.conf.new
put_new /etc/pgpool2/pool_hba.conf "$stale"
(
	umask 077
	printf 'ks:TEXT%s\npgpool:TEXT%s\n' "$password" "$monitor_password" >/etc/pgpool2/pool_passwd.new
)
put_new /etc/pgpool2/pool_passwd "$stale" 0640 postgres
chmod 0640 /etc/pgpool2/pool_passwd /etc/pgpool2/pgpool.conf
chown root:postgres /etc/pgpool2/pool_passwd /etc/pgpool2/pgpool.conf

# -D: what it believed of its backends before a restart is forgotten.
install -d /etc/systemd/system/pgpool2.service.d
cat >/etc/systemd/system/pgpool2.service.d/paas.conf.new <<-'END'
	[Service]
	ExecStart=
	ExecStart=/usr/sbin/pgpool -n -D
	Restart=always
	RestartSec=2
END
put_new /etc/systemd/system/pgpool2.service.d/paas.conf "$stale"
systemctl daemon-reload
systemctl enable --quiet pgpool2
if [ -e "$stale" ] || ! systemctl is-active --quiet pgpool2; then
	systemctl restart pgpool2
	rm -f "$stale"
fi
