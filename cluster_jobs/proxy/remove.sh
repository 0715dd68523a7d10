disable_unit keepalived
rm -f /usr/local/sbin/ks-entry /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf
rm -rf /var/lib/paas-global-ks
