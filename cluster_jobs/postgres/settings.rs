//! What postgres sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start.
pub const FILES: &[ReleaseFile] = &[ReleaseFile::new(
    "its configuration",
    &[
        "postgres/jobs/postgres.yml.erb",
        "jobs/postgres/postgres.yml.erb",
    ],
    SETTINGS,
)
// Here the control file makes the database, which listens on the host's own address.
.unless("jobs/postgres/control.rb")];

const SETTINGS: &[Setting] = &[
    Setting::needed(
        "the addresses to listen on",
        &[&[Edit::text("listen", "{listen}")]],
    ),
    Setting::needed("the port", &[&[Edit::plain("port", "5432")]]),
];
