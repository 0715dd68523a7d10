# Says who somebody is: hands out the tokens that the cloud controller checks.
config=$RELEASE/uaa/jobs/uaa.yml.erb

protect "$config"
set_setting "$config" mbus nats://{{ nats_ip }}:4222
set_setting "$config" index {{ index }}
set_setting "$config" database.host {{ postgres_ip }}
set_setting "$config" database.port 5432
set_setting "$config" database.name uaa
set_text "$config" database.user {{ postgres_role }}
set_text "$config" database.password {{ postgres_password }}
paas uaa start
