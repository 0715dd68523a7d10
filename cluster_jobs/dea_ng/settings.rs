//! What dea_ng sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start.
pub const FILES: &[ReleaseFile] = &[ReleaseFile::new(
    "its configuration",
    &[
        "dea_ng/jobs/dea_ng.yml.erb",
        "dea_ng/jobs/dea.yml.erb",
        "jobs/dea_ng/dea_ng.yml.erb",
        "jobs/dea_ng/dea.yml.erb",
    ],
    SETTINGS,
)];

const SETTINGS: &[Setting] = &[
    Setting::needed(
        "the address of the message bus",
        &[&[Edit::url("nats_uri", "nats://{nats_ip}:4222")]],
    ),
    Setting::needed(
        "its number among its component's",
        &[&[Edit::plain("index", "{index}")]],
    ),
    Setting::needed(
        "the domain of the applications",
        &[&[Edit::text("domain", "{domain}")]],
    ),
];
