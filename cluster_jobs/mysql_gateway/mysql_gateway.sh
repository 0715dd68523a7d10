# Offers MySQL databases at the cloud controller.
paas mysql_gateway start
