# memcached: what the services of a room have looked up. It holds nothing that can't be lost.
config=/etc/memcached.conf
listen={{ own_address }}
memory={{ memcached_memory }}

install_packages{% for package in packages %} {{ package }}{% endfor %}
need_file "$config"
printf '%s\n' -d 'logfile /var/log/memcached.log' "-m $memory" '-p 11211' '-u memcache' \
	"-l $listen" '-l 127.0.0.1' '-P /var/run/memcached/memcached.pid' >"$config.new"
stale=/run/paas-memcached.stale
put_new "$config" "$stale"
if [ -e "$stale" ] || ! systemctl is-active --quiet memcached; then
	systemctl restart memcached
	rm -f "$stale"
fi
systemctl enable --quiet memcached
