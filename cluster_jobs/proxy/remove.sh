disable_unit keepalived
rm -f /usr/local/sbin/ks-entry /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf
# Which room serves is noted by operations only, so that stays.
if [ -d /var/lib/paas-global-ks ]; then
	find /var/lib/paas-global-ks -mindepth 1 ! -name master-room -delete
fi
