//! What health_manager sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start.
pub const FILES: &[ReleaseFile] = &[ReleaseFile::new(
    "its configuration",
    &[
        "health_manager/jobs/health_manager.yml.erb",
        "jobs/health_manager/health_manager.yml.erb",
    ],
    SETTINGS,
)
.secret()];

const SETTINGS: &[Setting] = &[
    Setting::needed(
        "the address of the message bus",
        &[&[Edit::url("mbus", "nats://{nats_ip}:4222")]],
    ),
    Setting::if_there(
        "its number among its component's",
        &[&[Edit::plain("index", "{index}")]],
    ),
    Setting::if_there(
        "the address of the cloud controller's API",
        &[&[Edit::url("bulk_api.host", "http://api.{domain}")]],
    ),
    Setting::if_there(
        "the password of its status page",
        &[&[Edit::text(
            "status.password",
            "{health_manager_status_password}",
        )]],
    ),
];
