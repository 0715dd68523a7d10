rm -f /etc/systemd/system/paas-zookeeper.service
rm -rf /etc/zookeeper/paas
systemctl daemon-reload
