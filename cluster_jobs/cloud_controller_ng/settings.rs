//! What cloud_controller_ng sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start.
pub const FILES: &[ReleaseFile] = &[ReleaseFile::new(
    "its configuration",
    &[
        "cloud_controller_ng/jobs/cloud_controller_ng.yml.erb",
        "jobs/cloud_controller_ng/cloud_controller_ng.yml.erb",
    ],
    SETTINGS,
)
.secret()];

const SETTINGS: &[Setting] = &[
    Setting::needed(
        "the address of the message bus",
        &[&[Edit::url("message_bus_uri", "nats://{nats_ip}:4222")]],
    ),
    Setting::if_there(
        "its number among its component's",
        &[&[Edit::plain("index", "{index}")]],
    ),
    Setting::needed(
        "the name of its API",
        &[
            &[Edit::text("external_domain", "api.{domain}")],
            &[Edit::head("external_domain", "api.{domain}")],
        ],
    ),
    Setting::needed(
        "the address of uaa",
        &[&[Edit::url("uaa.url", "http://{uaa_ip}:8080")]],
    ),
    Setting::needed(
        "the database",
        &[
            &[
                Edit::plain("database.host", "{postgres_ip}"),
                Edit::plain("database.port", "5432"),
                Edit::plain("database.name", "cloud_controller"),
                Edit::text("database.user", "{postgres_role}"),
                Edit::text("database.password", "{postgres_password}"),
            ],
            &[Edit::url(
                "db.database",
                "postgres://{postgres_role:url}:{postgres_password:url}@{postgres_ip:host}:5432/cloud_controller",
            )],
        ],
    ),
    Setting::if_there(
        "the secret of uaa's tokens",
        &[&[Edit::text("uaa.symmetric_secret", "{uaa_token_secret}")]],
    ),
    Setting::if_there(
        "the password of its bulk API",
        &[&[Edit::text("bulk_api.auth_password", "{bulk_api_password}")]],
    ),
    Setting::if_there(
        "the password that a staging droplet is sent with",
        &[&[Edit::text("staging.auth.password", "{staging_password}")]],
    ),
];
