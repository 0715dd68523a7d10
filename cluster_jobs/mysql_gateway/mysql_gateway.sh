# Offers MySQL databases at the cloud controller.
config=$RELEASE/mysql_gateway/jobs/mysql_gateway.yml.erb

set_setting "$config" mbus nats://{{ nats_ip }}:4222
set_setting "$config" index {{ index }}
set_setting "$config" cloud_controller_url http://{{ cc_ip }}:9022
set_setting "$config" uaa_url http://{{ uaa_ip }}:8080
# Its control script waits for uaa before it starts anything.
set_assignment "$RELEASE/mysql_gateway/jobs/control" UAA_URL http://{{ uaa_ip }}:8080
paas mysql_gateway start
