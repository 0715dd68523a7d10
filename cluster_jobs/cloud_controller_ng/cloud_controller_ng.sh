# The platform's API: keeps applications and services, trusts the tokens of uaa.
config=$RELEASE/cloud_controller_ng/jobs/cloud_controller_ng.yml.erb

protect "$config"
set_setting "$config" message_bus_uri nats://{{ nats_ip }}:4222
set_setting "$config" index {{ index }}
set_text "$config" external_domain api.{{ domain }}
set_setting "$config" uaa.url http://{{ uaa_ip }}:8080
set_setting "$config" database.host {{ postgres_ip }}
set_setting "$config" database.port 5432
set_setting "$config" database.name cloud_controller
set_text "$config" database.user {{ postgres_role }}
set_text "$config" database.password {{ postgres_password }}
paas cloud_controller_ng start
