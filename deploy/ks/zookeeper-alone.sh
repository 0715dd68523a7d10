# Has this ZooKeeper go on without the members that are dark: a person said so. The list of all of
# them is kept beside the file that is used.
remaining={{ remaining }}
dark={{ dark }}
list=/etc/zookeeper/paas/zoo.cfg

# Looked at again here. Also one that serves nobody counts: with it there may be a majority at any
# moment, and what this one would do alone would be lost.
for address in $dark; do
	if [ -n "$(zookeeper_says "$address" srvr)" ]; then
		fail "the ZooKeeper of $address answers; nothing was changed: plan again"
	fi
done
# Nor beside others that go on together.
whole=$list
if [ -e "$list.whole" ]; then whole=$list.whole; fi
members=$(sed -n 's/^server\.[0-9]*=\[*\([^]]*\)\]*:2888:3888$/\1/p' "$whole")
for address in $members; do
	case " $remaining $dark " in *" $address "*) continue ;; esac
	case $(zookeeper_says "$address" srvr) in
	*Mode:*) fail "the ZooKeeper of $address serves; nothing was changed: plan again" ;;
	esac
done
if [ ! -e "$list.whole" ]; then
	if [ -n "$(zookeeper_mode)" ]; then fail 'this ZooKeeper has a majority; nothing was changed'; fi
	cp "$list" "$list.whole.new"
	mv "$list.whole.new" "$list.whole"
fi
{
	grep -v '^server\.' "$list.whole"
	# One that is alone needs no list, and mustn't have one.
	case $remaining in
	*' '*)
		for address in $remaining; do
			grep -F -e "=$address:2888:" -e "=[$address]:2888:" "$list.whole"
		done
		;;
	esac
} >"$list.new"
mv "$list.new" "$list"
systemctl restart paas-zookeeper || :
await_zookeeper 60
