# Empties this ZooKeeper, which others went on without: what it knows is old, and together with others
# that know no more it would be a majority. It stays stopped until it's told to rejoin.
survivors={{ survivors }}
list=/etc/zookeeper/paas/zoo.cfg
data=/var/lib/zookeeper/version-2

if [ ! -e "$data" ] && ! systemctl is-enabled --quiet paas-zookeeper; then
	log 'it is empty already'
	exit 0
fi
own=$(cat /etc/zookeeper/paas/myid)
if [ -e "$list.whole" ] && ! cmp -s "$list" "$list.whole"; then
	fail 'this ZooKeeper is itself one that goes on alone; nothing was changed'
fi
for address in $survivors; do
	said=$(zookeeper_says "$address" conf)
	case $said in
	*clientPort=*) ;;
	*) fail "the ZooKeeper of $address serves nobody; nothing was changed" ;;
	esac
	if printf '%s\n' "$said" | grep -q "^server\.$own="; then
		fail "the ZooKeeper of $address goes on with this one; nothing was changed"
	fi
done
systemctl disable --quiet --now paas-zookeeper
# Left behind by an earlier time.
rm -f "$list.whole"
if [ -e "$data" ]; then
	rm -rf "$data.aside"
	mv "$data" "$data.aside"
	log "kept aside: $data.aside"
fi
