# The message bus that every other component connects to.
config=$RELEASE/nats/jobs/nats.yml.erb

set_setting "$config" net {{ nats_ip }}
set_setting "$config" port 4222
paas nats start
