# Makes MySQL databases on request, on the server on the same host.
paas mysql start
paas mysql_node start
