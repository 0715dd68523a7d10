# bind9 for one domain: the names of the entries lead to every room's, since each leads on to the
# room that serves. Nobody has to edit a hosts file after a switch.
domain={{ domain }}
zone=/etc/bind/db.paas-global-ks

install_packages{% for package in packages %} {{ package }}{% endfor %}
need_file /etc/bind/named.conf.local
# name NAME TYPE ADDRESS
name() {
	printf '%s IN %s %s\n' "$@"
}
{
	printf '%sTTL 30\n' '$'
	printf '@ IN SOA ns hostmaster SERIAL 3600 600 86400 30\n@ IN NS ns\n'
{% for record in records %}	name {{ record.name }} {{ record.kind }} {{ record.address }}
{% endfor %}} >"$zone.new"
# The serial number rises exactly when something else changes.
serial=1
if [ -e "$zone" ]; then
	serial=$(sed -n 's/.* hostmaster \([0-9]*\) .*/\1/p' "$zone")
	sed "s/ SERIAL / $serial /" "$zone.new" | cmp -s - "$zone" || serial=$((serial + 1))
else
	install -m 0644 /dev/null "$zone"
fi
sed "s/ SERIAL / $serial /" "$zone.new" >"$zone.numbered"
rm -f "$zone.new"
put_in_place "$zone" "$zone.numbered"
ours=/etc/bind/paas-global-ks.conf
if ! [ -e "$ours" ]; then install -m 0644 /dev/null "$ours"; fi
printf 'zone "%s" { type master; file "%s"; };\n' "$domain" "$zone" >"$ours.new"
put_in_place "$ours" "$ours.new"
# The site's own zones stay beside ours.
local=/etc/bind/named.conf.local
{
	grep -vF paas-global-ks "$local" || :
	printf 'include "%s";\n' "$ours"
} >"$local.new"
put_in_place "$local" "$local.new"
named-checkconf -z >/dev/null || fail "bind9 refuses the zone of $domain"
systemctl enable --quiet named
systemctl reload-or-restart named
