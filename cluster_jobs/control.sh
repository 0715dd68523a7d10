{% if stops %}{% for unit in units_reversed %}systemctl stop {{ unit }}
{% endfor %}{% for service in services_reversed %}paas {{ service }} stop
{% endfor %}{% endif %}{% if starts %}{% for service in services %}paas {{ service }} start
{% endfor %}{% for unit in units %}systemctl start {{ unit }}
{% endfor %}{% endif %}
