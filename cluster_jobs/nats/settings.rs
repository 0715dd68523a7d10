//! What nats sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start.
pub const FILES: &[ReleaseFile] = &[ReleaseFile::new(
    "its configuration",
    &["nats/jobs/nats.yml.erb", "jobs/nats/nats.yml.erb"],
    SETTINGS,
)];

const SETTINGS: &[Setting] = &[
    Setting::needed(
        "the address to listen on",
        &[&[Edit::plain("net", "{nats_ip}")]],
    ),
    Setting::needed("the port", &[&[Edit::plain("port", "4222")]]),
];
