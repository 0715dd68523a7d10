# Offers MySQL databases at the cloud controller. It keeps what it has to do in a Redis on the same host.
paas redis start
paas mysql_gateway start
