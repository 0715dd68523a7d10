# The first box: it serves the site's own packages to the others as an apt repository.
archive=$PAAS_ROOT/artifacts/{{ site_packages }}
folder=/srv/pitrix-packages

install_packages{% for package in packages %} {{ package }}{% endfor %}
if ! [ -e "$archive" ]; then fail 'the packages were not pushed; run again'; fi
rm -rf "$folder.new"
mkdir -p "$folder.new"
# Their own times may be older than what a host has of the last index; apt would keep that.
tar -xzmf "$archive" --no-same-owner -C "$folder.new"
if ! [ -e "$folder.new/Packages" ]; then
	fail 'the folder of packages has no index called Packages; make one with dpkg-scanpackages'
fi
chmod -R a+rX "$folder.new"
rm -rf "$folder.old"
if [ -e "$folder" ]; then mv "$folder" "$folder.old"; fi
mv "$folder.new" "$folder"
rm -rf "$folder.old"
cat >/etc/systemd/system/pitrix-packages.service <<-'END'
	[Unit]
	Description=the site's own packages, for apt
	After=network-online.target

	[Service]
	DynamicUser=yes
	ExecStart=/usr/bin/python3 -m http.server --directory /srv/pitrix-packages 8899
	Restart=always

	[Install]
	WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet pitrix-packages
systemctl restart pitrix-packages
