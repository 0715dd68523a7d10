//! What router sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start.
pub const FILES: &[ReleaseFile] = &[ReleaseFile::new(
    "its configuration",
    &["router/jobs/router.yml.erb", "jobs/router/router.yml.erb"],
    SETTINGS,
)
.secret()];

const SETTINGS: &[Setting] = &[
    Setting::needed(
        "the address of the message bus",
        &[
            &[Edit::url("mbus", "nats://{nats_ip}:4222")],
            &[
                Edit::plain("nats.host", "{nats_ip}"),
                Edit::plain("nats.port", "4222"),
            ],
        ],
    ),
    Setting::needed(
        "its number among its component's",
        &[&[Edit::plain("index", "{index}")]],
    ),
    Setting::if_there(
        "the password of its status page",
        &[&[Edit::text("status.pass", "{router_status_password}")]],
    ),
];
