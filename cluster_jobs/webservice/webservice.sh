# The services of the global control plane, under supervisord: the site's own packages, from its own
# repository.
repository={{ pitrix_repository }}
packages_digest={{ packages_digest }}
server_settings={{ server_settings }}
client_settings={{ client_settings }}
password={{ ks_password }}
services=""
{% for service in services %}services="$services "{{ service }}
{% endfor %}

install_packages{% for package in packages %} {{ package }}{% endfor %}
if [ -n "$packages_digest" ]; then log "the site's own packages: $packages_digest"; fi
use_site_repository "$repository"
names=
for service in $services; do names="$names pitrix-$(printf %s "$service" | tr _ -)"; done
# shellcheck disable=SC2086 # one word for each package
apt --no-install-recommends install $names

stale=/run/paas-webservice.stale
if ! getent passwd pitrix >/dev/null; then
	useradd --system --home-dir /var/lib/pitrix --shell /usr/sbin/nologin pitrix
fi
install -d -m 0755 /etc/pitrix /var/log/pitrix
# Other packages than the services were last started with are a reason to restart them.
# shellcheck disable=SC2086 # one word for each package
dpkg-query -W $names >/etc/pitrix/packages.new
put_new /etc/pitrix/packages "$stale" 0644 root
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
begin=$(now)
until supervisorctl pid >/dev/null 2>&1; do
	if [ $(($(now) - begin)) -ge 30 ]; then fail 'supervisord does not answer'; fi
	sleep 0.2
done
supervisorctl update >/dev/null
if [ -e "$stale" ]; then
	supervisorctl restart all >/dev/null || :
	rm -f "$stale"
fi
supervisorctl start all >/dev/null || :
