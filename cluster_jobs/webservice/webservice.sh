# The services of the global control plane, under supervisord: the site's own packages, from its own
# repository.
repository={{ pitrix_repository }}
server_settings={{ server_settings }}
client_settings={{ client_settings }}
password={{ ks_password }}
services=""
{% for service in services %}services="$services "{{ service }}
{% endfor %}

install_packages{% for package in packages %} {{ package }}{% endfor %}

# The repository lies in the site's own network; its Release file has a signature where the site
# made one, and /etc/apt/trusted.gpg.d then holds the key.
list=/etc/apt/sources.list.d/pitrix.list
printf 'deb [trusted=yes] %s ./\n' "$repository" >"$list.new"
if ! [ -e "$list" ]; then install -m 0644 /dev/null "$list"; fi
put_in_place "$list" "$list.new"
begin=$(date +%s)
until said=$(apt -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 update 2>&1) &&
	! printf '%s\n' "$said" | grep -qE '^(W|E|Err)'; do
	if [ $(($(date +%s) - begin)) -ge 60 ]; then
		printf '%s\n' "$said" | tail -n 5
		fail "the site's repository $repository can't be read"
	fi
	sleep 2
done
names=
for service in $services; do names="$names pitrix-$(printf %s "$service" | tr _ -)"; done
# shellcheck disable=SC2086 # one word for each package
apt --no-install-recommends install $names

stale=/run/paas-webservice.stale
if ! getent passwd pitrix >/dev/null; then
	useradd --system --home-dir /var/lib/pitrix --shell /usr/sbin/nologin pitrix
fi
install -d -m 0755 /etc/pitrix /var/log/pitrix
# The password goes in by a pipe, and into a file for the services alone.
(
	umask 077
	printf '%s\n%s\n' "$password" "$server_settings" | python3 -c '
import json, sys
password, settings = sys.stdin.read().split("\n", 1)
settings = json.loads(settings)
settings["database"]["password"] = password
json.dump(settings, sys.stdout, indent=1)
print()
' >/etc/pitrix/server.yaml.new
)
put_new /etc/pitrix/server.yaml "$stale" 0640 pitrix
printf '%s\n' "$client_settings" >/etc/pitrix/client.yaml.new
put_new /etc/pitrix/client.yaml "$stale" 0644 root
for service in $services; do
	printf '[program:%s]\ncommand=/usr/bin/pitrix-%s\nuser=pitrix\nautorestart=true\nstartretries=1000000\nstopsignal=TERM\nredirect_stderr=true\nstdout_logfile=/var/log/pitrix/%s.log\nstdout_logfile_maxbytes=5MB\nstdout_logfile_backups=2\n' \
		"$service" "$(printf %s "$service" | tr _ -)" "$service"
done >/etc/supervisor/conf.d/pitrix.conf.new
put_new /etc/supervisor/conf.d/pitrix.conf "$stale" 0644 root
systemctl enable --quiet supervisor
systemctl start supervisor
begin=$(date +%s)
until supervisorctl pid >/dev/null 2>&1; do
	if [ $(($(date +%s) - begin)) -ge 30 ]; then fail 'supervisord does not answer'; fi
	sleep 0.2
done
supervisorctl update >/dev/null
if [ -e "$stale" ]; then
	supervisorctl restart all >/dev/null || :
	rm -f "$stale"
fi
supervisorctl start all >/dev/null || :
