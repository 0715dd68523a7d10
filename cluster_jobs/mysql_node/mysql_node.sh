# Makes MySQL databases on request.
paas mysql_node start
