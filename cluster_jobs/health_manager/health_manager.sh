# Follows the heartbeats of the applications.
config=$RELEASE/health_manager/jobs/health_manager.yml.erb

set_setting "$config" mbus nats://{{ nats_ip }}:4222
set_setting "$config" index {{ index }}
paas health_manager start
