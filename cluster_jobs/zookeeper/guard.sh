#!/bin/sh
# Doesn't let this ZooKeeper start while others of its ensemble go on without it, as a person told them
# when it was dark: together with others that were dark it would be a second majority, with old
# knowledge. Runs before each start; exit status 0 lets it start.
set -eu
list=/etc/zookeeper/paas/zoo.cfg
own=$(cat /etc/zookeeper/paas/myid)
sed -n 's/^server\.\([0-9]*\)=\(.*\):2888:3888$/\1 \2/p' "$list" | while read -r id address; do
	if [ "$id" = "$own" ]; then continue; fi
	address=${address#\[}
	# shellcheck disable=SC2016 # bash, not this shell, expands it
	said=$(timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/2181" && printf conf >&3 && cat <&3' bash "${address%\]}" 2>/dev/null || :)
	# One that serves nobody itself doesn't tell.
	case $said in
	*clientPort=*) ;;
	*) continue ;;
	esac
	if ! printf '%s\n' "$said" | grep -q "^server\.$own="; then
		echo "zookeeper-guard: not started: $address goes on without this one; paas-cluster-build ks recover-pg takes it back"
		exit 1
	fi
done
