//! What uaa sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start.
pub const FILES: &[ReleaseFile] = &[ReleaseFile::new(
    "its configuration",
    &["uaa/jobs/uaa.yml.erb", "jobs/uaa/uaa.yml.erb"],
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
    Setting::needed(
        "the database",
        &[
            &[
                Edit::plain("database.host", "{postgres_ip}"),
                Edit::plain("database.port", "5432"),
                Edit::plain("database.name", "uaa"),
                Edit::text("database.user", "{postgres_role}"),
                Edit::text("database.password", "{postgres_password}"),
            ],
            // Spring's names.
            &[
                Edit::url(
                    "database.url",
                    "jdbc:postgresql://{postgres_ip:host}:5432/uaa",
                ),
                Edit::added("database.username", "{postgres_role}"),
                Edit::added("database.password", "{postgres_password}"),
            ],
        ],
    ),
    Setting::if_there(
        "the address for its route",
        &[&[Edit::plain("uaa.host", "{own_address}")]],
    ),
    Setting::if_there(
        "its own address",
        &[&[Edit::plain("host", "{own_address}")]],
    ),
    Setting::if_there(
        "the secret of its tokens",
        &[&[
            Edit::text("jwt.token.signing-key", "{uaa_token_secret}"),
            Edit::text("jwt.token.verification-key", "{uaa_token_secret}"),
        ]],
    ),
    Setting::if_there(
        "the password of its administrator",
        &[&[Edit::within("- admin|*|", "{uaa_admin_password}")]],
    ),
];
