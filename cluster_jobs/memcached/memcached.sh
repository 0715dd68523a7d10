# memcached: what the services of a room have looked up. It holds nothing that can't be lost.
config=/etc/memcached.conf
listen={{ own_address }}
memory={{ memcached_memory }}

install_packages{% for package in packages %} {{ package }}{% endfor %}
need_file "$config"
printf '%s\n' -d 'logfile /var/log/memcached.log' "-m $memory" '-p 11211' '-u memcache' \
	"-l $listen" '-l 127.0.0.1' '-P /var/run/memcached/memcached.pid' >"$config.new"
# What is noted in /run is not forgotten if this run is killed before the restart; a boot, which
# forgets it, restarts everything anyway.
stale=/run/paas-memcached.stale
if ! cmp -s "$config" "$config.new"; then : >"$stale"; fi
put_in_place "$config" "$config.new"
if [ -e "$stale" ] || ! systemctl is-active --quiet memcached; then
	systemctl restart memcached
	rm -f "$stale"
fi
systemctl enable --quiet memcached
