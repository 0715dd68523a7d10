# Runs the applications, in containers of warden; directory_server shows their files. Both have to
# be there before it.
config=$RELEASE/dea_ng/jobs/dea_ng.yml.erb

set_setting "$config" nats_uri nats://{{ nats_ip }}:4222
set_setting "$config" index {{ index }}
set_text "$config" domain {{ domain }}
paas warden start
paas directory_server start
paas dea_ng start
