# Cassandra across data centres, each room one of them. Debian has no package of it: the site says
# where it comes from.
java={{ cassandra_java }}
package={{ cassandra_package }}
url={{ cassandra_url }}
sha256={{ cassandra_sha256 }}
repository={{ pitrix_repository }}
cluster={{ cluster_name }}
room={{ room }}
seeds={{ seeds }}
home=/opt/cassandra

install_packages{% for package in packages %} {{ package }}{% endfor %}
if [ -n "$repository" ]; then use_site_repository "$repository"; fi

# Cassandra 5 refuses any Java but 11 and 17. Debian 13 has neither, and other jobs have its own in PATH.
if ! is_installed "$java"; then
	if ! lists_are_fresh; then update_lists; fi
	if ! LC_ALL=C apt-cache policy "$java" | grep -q '^  Candidate: [^(]'; then
		fail "the apt sources here have no package $java (Debian 13 has none), and Cassandra needs Java 17 or 11: put one into the site's repository and name it in vars.cassandra_java, or have Cassandra on Debian 12"
	fi
	install_packages "$java"
fi
java_home=$(dpkg -L "$java" | sed -n 's|/bin/java$||p' | head -n 1)
if [ -z "$java_home" ]; then fail "the package $java has no bin/java; name another in vars.cassandra_java"; fi

if ! getent passwd cassandra >/dev/null; then
	useradd --system --home-dir /var/lib/cassandra --shell /usr/sbin/nologin cassandra
fi
if [ -n "$package" ]; then
	# Apache's package starts a service of its own while it's installed. A node that ran once as the
	# packaged file has it keeps that cluster's name in its data, and refuses ours.
	systemctl mask --quiet --now cassandra.service
	install_packages "$package"
	config=/etc/cassandra
	start='/usr/sbin/cassandra -f'
else
	config=$home/conf
	start="$home/bin/cassandra -f"
	if [ "$(cat "$home/.sha256" 2>/dev/null)" != "$sha256" ]; then
		install_packages curl ca-certificates
		curl -fsSL --retry 3 --connect-timeout 20 -o "$home.tar.gz" "$url" || fail "could not fetch $url"
		printf '%s  %s\n' "$sha256" "$home.tar.gz" | sha256sum -c --status ||
			fail "$url has another SHA-256 than cassandra_sha256"
		rm -rf "$home.new"
		mkdir -p "$home.new"
		tar -xzf "$home.tar.gz" --strip-components=1 --no-same-owner -C "$home.new"
		printf '%s\n' "$sha256" >"$home.new/.sha256"
		rm -rf "$home" "$home.tar.gz"
		mv "$home.new" "$home"
	fi
fi
need_file "$config/cassandra.yaml"
install -d -o cassandra -g cassandra /var/lib/cassandra /var/log/cassandra
stale=/run/paas-cassandra.stale
# Ours win over the packaged file's keys of the same name.
python3 - "$config/cassandra.yaml" "$cluster" "$OWN_ADDRESS" "$seeds" <<-'END' >"$config/cassandra.yaml.new"
	import sys, yaml
	path, cluster, address, seeds = sys.argv[1:]
	with open(path) as file:
	    settings = yaml.safe_load(file)
	settings.update(
	    cluster_name=cluster,
	    listen_address=address,
	    rpc_address=address,
	    endpoint_snitch="GossipingPropertyFileSnitch",
	    data_file_directories=["/var/lib/cassandra/data"],
	    commitlog_directory="/var/lib/cassandra/commitlog",
	    saved_caches_directory="/var/lib/cassandra/saved_caches",
	    hints_directory="/var/lib/cassandra/hints",
	    seed_provider=[
	        {
	            "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
	            "parameters": [{"seeds": seeds}],
	        }
	    ],
	)
	yaml.safe_dump(settings, sys.stdout, sort_keys=True)
END
put_new "$config/cassandra.yaml" "$stale"
printf 'dc=%s\nrack=rack1\n' "$room" >"$config/cassandra-rackdc.properties.new"
put_new "$config/cassandra-rackdc.properties" "$stale"
{
	printf '%s\n' '[Unit]' Description=Cassandra After=network-online.target '[Service]' \
		User=cassandra "ExecStart=$start" Environment=CASSANDRA_LOG_DIR=/var/log/cassandra \
		"Environment=JAVA_HOME=$java_home" LimitNOFILE=100000 SuccessExitStatus=143 Restart=always RestartSec=5 '[Install]' \
		WantedBy=multi-user.target
} >/etc/systemd/system/paas-cassandra.service.new
put_new /etc/systemd/system/paas-cassandra.service "$stale"
systemctl daemon-reload
systemctl enable --quiet paas-cassandra
if [ -e "$stale" ] || ! systemctl is-active --quiet paas-cassandra; then
	systemctl restart paas-cassandra
	rm -f "$stale"
fi
