disable_unit pg-link-recovery
rm -f /etc/systemd/system/pg-recovery.service /etc/systemd/system/pg-link-recovery.service \
	/etc/patroni/recovery.yml /etc/patroni/recovery.guard /etc/patroni/recovery.link.cfg
systemctl daemon-reload
