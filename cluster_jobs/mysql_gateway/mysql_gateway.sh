# Offers MySQL databases at the cloud controller. In some releases it keeps what it has to do in a Redis
# on the same host.
if is_plain redis; then paas redis start; fi
paas mysql_gateway start
