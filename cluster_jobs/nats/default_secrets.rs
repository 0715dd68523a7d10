//! What stays at nats as the release has it, known to everybody.

use crate::job::DefaultSecret;

pub const STAYING: &[DefaultSecret] = &[DefaultSecret::left_out(
    "no login at the message bus: whoever reaches port 4222 reads every message, the cloud \
     controller's passwords for its bulk API among them, and can send any",
    &["nats/jobs/nats.yml.erb", "jobs/nats/nats.yml.erb"],
    "authorization",
    "let nobody but the cluster's hosts reach port 4222, by a firewall",
)];
