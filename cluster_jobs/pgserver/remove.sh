disable_unit pg-link-global
rm -f /etc/systemd/system/pg-global.service /etc/systemd/system/pg-link-global.service \
	/etc/patroni/global.yml /etc/patroni/global.guard /etc/patroni/global.link.cfg
systemctl daemon-reload
