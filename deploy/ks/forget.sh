# Forgets which room served: what was cached when the network was cut would mislead the billing
# services after a switch.
cache={{ cache }}
services={{ services }}

if [ "$cache" = true ]; then
	# shellcheck disable=SC2016 # bash, not this shell, expands it
	timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/11211 && printf "delete ks_master_zone\r\nquit\r\n" >&3 && cat <&3' >/dev/null ||
		fail 'memcached does not answer'
	log 'ks_master_zone is out of the cache'
fi
if [ "$services" = true ]; then
	supervisorctl restart zone_watcher billing_resource billing_daemon
fi
