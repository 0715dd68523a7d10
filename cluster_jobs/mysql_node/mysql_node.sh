# Makes MySQL databases on request. In some releases the server that it makes them on is a component.
if is_plain mysql; then paas mysql start; fi
paas mysql_node start
