# haproxy: a room's entry (API, websocket, downloads, the zones' front) and its way to the database,
# which follows the primary by asking Patroni itself. keepalived moves an address between the room's
# proxies, where the file names one.
state=/var/lib/paas-global-ks
own_room={{ own_room }}
first_room={{ first_room }}
every_room_serves={{ every_room_serves }}
io_port={{ io_port }}
vip={{ vip }}

install_packages{% for package in packages %} {{ package }}{% endfor %}
install -d -m 0755 "$state"

# Which room serves is changed by operations only; a deploy keeps what it finds.
if ! [ -s "$state/master-room" ]; then
	printf '%s\n' "$first_room" >"$state/master-room.new"
	mv "$state/master-room.new" "$state/master-room"
fi

# web NAME ROOM ADDRESS: a machine with the services, for use by ks-entry.
web() {
	printf '%s %s %s\n' "$@"
}
# database NAME ADDRESS PORT REST
database() {
	printf '%s %s %s %s\n' "$@"
}
{
	:
{% for node in webs %}	web {{ node.name }} {{ node.room }} {{ node.address }}
{% endfor %}} >"$state/webs.new"
mv "$state/webs.new" "$state/webs"
# A room that the file doesn't know any more serves nobody.
if ! grep -qF " $(cat "$state/master-room") " "$state/webs"; then
	printf '%s\n' "$first_room" >"$state/master-room.new"
	mv "$state/master-room.new" "$state/master-room"
fi
{
	:
{% for node in databases %}	database {{ node.name }} {{ node.address }} 5432 8008
{% endfor %}} >"$state/databases.new"
mv "$state/databases.new" "$state/databases"
{
	:
{% for node in recovery %}	database {{ node.name }} {{ node.address }} 5433 8009
{% endfor %}} >"$state/recovery.new"
mv "$state/recovery.new" "$state/recovery"
{
	printf 'own_room=%s\nevery_room_serves=%s\nio_port=%s\n' "$own_room" "$every_room_serves" "$io_port"
} >"$state/entry.new"
mv "$state/entry.new" "$state/entry"
{
	:
{% for zone in zones %}	printf '%s %s\n' {{ zone.port }} {{ zone.name }}
{% endfor %}} >"$state/zones.new"
mv "$state/zones.new" "$state/zones"

cat >/usr/local/sbin/ks-entry.new <<-'END'
	#!/bin/sh
	# ks-entry [ROOM]: writes haproxy's configuration, with ROOM as the one that serves, and has
	# haproxy take it over without dropping a connection. Written by paas-cluster-build.
	set -eu
	state=/var/lib/paas-global-ks
	config=/etc/haproxy/haproxy.cfg
	. "$state/entry"
	master=${1:-$(cat "$state/master-room")}
	grep -q " $master " "$state/webs" || {
		echo "error: no machine of a room $master is known here"
		exit 1
	}

	# front NAME PORT: where every room serves, its own machines come first; else the serving room's.
	front() {
		printf 'listen %s\n\tbind :%s\n\toption httpchk GET /alive\n' "$1" "$2"
		printf '\tdefault-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions\n'
		while read -r name room address; do
			if [ "$every_room_serves" = true ]; then
				backup=' backup'
				if [ "$room" = "$own_room" ]; then backup=; fi
			elif [ "$room" = "$master" ]; then
				backup=
			else
				continue
			fi
			printf '\tserver %s %s:%s check%s\n' "$name" "$address" "$3" "$backup"
		done <"$state/webs"
	}
	# sql NAME PORT CHECK FILE: the servers for which Patroni answers CHECK with 200.
	sql() {
		if ! [ -s "$4" ]; then return 0; fi
		printf 'listen %s\n\tbind :%s\n\toption httpchk OPTIONS %s\n\thttp-check expect status 200\n' "$1" "$2" "$3"
		printf '\tdefault-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions\n'
		while read -r name address port rest; do
			printf '\tserver %s %s:%s check port %s\n' "$name" "$address" "$port" "$rest"
		done <"$4"
	}
	# A server that doesn't take a connection is left for the next at once (redispatch), not tried again
	# each second: after a reload all count as up until they were asked.
	{
		printf '%s\n' global '	log /dev/log local0' '	user haproxy' '	group haproxy' \
			'	stats socket /run/haproxy/admin.sock mode 660 level admin' '	maxconn 8192' \
			defaults '	mode tcp' '	log global' '	option dontlognull' \
			'	timeout connect 3s' '	timeout client 30m' '	timeout server 30m' '	timeout check 2s' \
			'	retries 2' '	option redispatch 1'
		front api-front 7777 7777
		front ws-front 8565 8565
		front io-front "$io_port" "$io_port"
		while read -r port zone; do front "$zone-fg-front" "$port" 7785; done <"$state/zones"
		sql pg-primary 5000 /primary "$state/databases"
		sql pg-read 5001 /read-only "$state/databases"
		sql recovery-primary 5002 /primary "$state/recovery"
	} >"$config.new"
	haproxy -q -c -f "$config.new"
	# Noted first: one that is killed between the two is made good by the next.
	if ! cmp -s "$config" "$config.new"; then : >/run/paas-haproxy.stale; fi
	mv "$config.new" "$config"
	if [ -e /run/paas-haproxy.stale ]; then
		systemctl reload-or-restart haproxy
		rm -f /run/paas-haproxy.stale
	fi
	# Last: whoever asks where this entry leads is told what haproxy does.
	printf '%s\n' "$master" >"$state/master-room.new"
	mv "$state/master-room.new" "$state/master-room"
END
chmod 0755 /usr/local/sbin/ks-entry.new
mv /usr/local/sbin/ks-entry.new /usr/local/sbin/ks-entry
systemctl enable --quiet haproxy
ks-entry
if ! systemctl is-active --quiet haproxy; then systemctl restart haproxy; fi

# Only haproxy's own trouble moves the address; what it leads to is haproxy's business.
if [ -n "$vip" ]; then
	install_packages keepalived
	device=$(ip -o route get "$vip" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
	id={{ vip_id }}
	priority={{ vip_priority }}
	{
		printf 'global_defs {\n\tenable_script_security\n\tscript_user root\n}\n'
		printf 'vrrp_script haproxy {\n\tscript "/usr/bin/systemctl is-active --quiet haproxy"\n\tinterval 2\n\tweight -50\n}\n'
		printf 'vrrp_instance ks {\n\tstate BACKUP\n\tinterface %s\n\tvirtual_router_id %s\n\tpriority %s\n\tadvert_int 1\n' "$device" "$id" "$priority"
		printf '\tvirtual_ipaddress {\n\t\t%s\n\t}\n\ttrack_script {\n\t\thaproxy\n\t}\n}\n' "$vip"
	} >/etc/keepalived/keepalived.conf.new
	if ! [ -e /etc/keepalived/keepalived.conf ]; then install -m 0644 /dev/null /etc/keepalived/keepalived.conf; fi
	put_in_place /etc/keepalived/keepalived.conf /etc/keepalived/keepalived.conf.new
	systemctl enable --quiet keepalived
	systemctl reload-or-restart keepalived
fi
