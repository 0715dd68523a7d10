rm -f /etc/supervisor/conf.d/pitrix.conf /etc/apt/sources.list.d/pitrix.list
rm -rf /etc/pitrix
