# Makes MySQL databases on request.
config=$RELEASE/mysql_node/jobs/mysql_node.yml.erb

set_setting "$config" mbus nats://{{ nats_ip }}:4222
set_setting "$config" index {{ index }}
set_setting "$config" node_id {{ node_id }}
# Its control script waits for uaa before it starts anything.
set_assignment "$RELEASE/mysql_node/jobs/control" UAA_URL http://{{ uaa_ip }}:8080
paas mysql_node start
