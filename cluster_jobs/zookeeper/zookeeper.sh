# ZooKeeper, from Debian's library and a unit of our own: Debian's zookeeperd is a SysV script that
# wants a graphical Java. Three in a room, or one in each of three rooms, bear the loss of one.
config=/etc/zookeeper/paas
own_id={{ own_id }}
# shellcheck disable=SC2016 # a script of its own, written to a file below
guard={{ guard }}

if [ -e "$config/zoo.cfg.whole" ] && ! cmp -s "$config/zoo.cfg" "$config/zoo.cfg.whole"; then
	fail "this ZooKeeper goes on without others, as a person said; first take them back: ks recover-pg"
fi
if [ -x /usr/local/lib/paas-zookeeper/guard ] && [ -s "$config/zoo.cfg" ] && [ -s "$config/myid" ] &&
	! systemctl is-active --quiet paas-zookeeper && ! said=$(/usr/local/lib/paas-zookeeper/guard); then
	fail "$said"
fi
install_packages{% for package in packages %} {{ package }}{% endfor %}
if ! getent passwd zookeeper >/dev/null; then
	useradd --system --home-dir /var/lib/zookeeper --shell /usr/sbin/nologin zookeeper
fi
install -d -o zookeeper -g zookeeper -m 0755 /var/lib/zookeeper
install -d -m 0755 "$config"

# The largest session must bear Patroni's ttl; ticks of half a second notice a dead leader in two.
{
	printf '%s\n' tickTime=500 initLimit=20 syncLimit=4 maxSessionTimeout=60000 \
		dataDir=/var/lib/zookeeper clientPort=2181 admin.enableServer=false \
		4lw.commands.whitelist=ruok,srvr,mntr,stat,isro,conf \
		autopurge.snapRetainCount=3 autopurge.purgeInterval=24
{% for member in members %}	printf 'server.%s=%s:2888:3888\n' {{ member.id }} {{ member.address }}
{% endfor %}} >"$config/zoo.cfg.new"
stale=/run/paas-zookeeper.stale
put_new "$config/zoo.cfg" "$stale"
# A member that changes its number would vote with another one's memory.
if [ -d /var/lib/zookeeper/version-2 ] && [ -s "$config/myid" ] && [ "$(cat "$config/myid")" != "$own_id" ]; then
	fail "this ZooKeeper is number $(cat "$config/myid"), and would become $own_id: keep the order of its hosts in the file, and add new ones at the end"
fi
printf '%s\n' "$own_id" >"$config/myid.new"
put_new "$config/myid" "$stale"
ln -sfn "$config/myid" /var/lib/zookeeper/myid

install -d -m 0755 /usr/local/lib/paas-zookeeper
printf '%s\n' "$guard" >/usr/local/lib/paas-zookeeper/guard.new
put_new /usr/local/lib/paas-zookeeper/guard "$stale" 0755

cat >/etc/systemd/system/paas-zookeeper.service.new <<-'END'
	[Unit]
	Description=ZooKeeper
	After=network-online.target
	Wants=network-online.target

	[Service]
	User=zookeeper
	ExecStartPre=/usr/local/lib/paas-zookeeper/guard
	ExecStart=/usr/bin/java -Xms64m -Xmx128m -XX:+UseSerialGC -cp /etc/zookeeper/paas:/usr/share/java/* org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/zookeeper/paas/zoo.cfg
	SuccessExitStatus=143
	Restart=always
	RestartSec=2
	LimitNOFILE=65536

	[Install]
	WantedBy=multi-user.target
END
put_new /etc/systemd/system/paas-zookeeper.service "$stale"
systemctl daemon-reload
systemctl enable --quiet paas-zookeeper
# Left behind by one that was interrupted when all were members again.
if [ -e "$config/zoo.cfg.whole" ] && systemctl is-active --quiet paas-zookeeper; then rm -f "$config/zoo.cfg.whole"; fi
if [ -e "$stale" ] || ! systemctl is-active --quiet paas-zookeeper; then
	systemctl restart paas-zookeeper
	rm -f "$stale"
fi
