rm -f /etc/systemd/system/paas-zookeeper.service
rm -rf /etc/zookeeper/paas /usr/local/lib/paas-zookeeper
systemctl daemon-reload
