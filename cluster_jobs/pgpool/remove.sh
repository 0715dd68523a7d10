rm -f /etc/systemd/system/pgpool2.service.d/paas.conf /etc/pgpool2/pool_passwd
systemctl daemon-reload
