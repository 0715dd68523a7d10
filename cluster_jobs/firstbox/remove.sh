rm -f /etc/systemd/system/pitrix-packages.service
rm -rf /srv/pitrix-packages
systemctl daemon-reload
