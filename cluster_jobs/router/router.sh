# Takes requests from outside and hands them to the applications, by their Host header.
config=$RELEASE/router/jobs/router.yml.erb

set_setting "$config" mbus nats://{{ nats_ip }}:4222
set_setting "$config" index {{ index }}
paas router start
