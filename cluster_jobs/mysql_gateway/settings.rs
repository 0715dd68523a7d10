//! What mysql_gateway sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start, and its control script.
pub const FILES: &[ReleaseFile] = &[
    ReleaseFile::new(
        "its configuration",
        &[
            "mysql_gateway/jobs/mysql_gateway.yml.erb",
            "jobs/mysql_gateway/mysql_gateway.yml.erb",
        ],
        SETTINGS,
    )
    .secret(),
    ReleaseFile::new(
        "its control script",
        &[
            "mysql_gateway/jobs/control",
            "jobs/mysql_gateway/control.rb",
        ],
        CONTROL,
    ),
];

const SETTINGS: &[Setting] = &[
    Setting::needed(
        "the address of the message bus",
        &[&[Edit::url("mbus", "nats://{nats_ip}:4222")]],
    ),
    Setting::needed(
        "its number among its component's",
        &[&[Edit::plain("index", "{index}")]],
    ),
    // The port is the one that the release has in both files.
    Setting::needed(
        "the address of the cloud controller",
        &[
            &[Edit::url("cloud_controller_url", "http://{cc_ip}")],
            &[Edit::url("cloud_controller_uri", "http://{cc_ip}")],
        ],
    ),
    Setting::needed(
        "the address of uaa",
        &[
            &[Edit::url("uaa_url", "http://{uaa_ip}:8080")],
            &[Edit::url("uaa_endpoint", "http://{uaa_ip}:8080")],
        ],
    ),
    Setting::if_there(
        "the password of uaa's administrator",
        &[&[Edit::text(
            "uaa_client_auth_credentials.password",
            "{uaa_admin_password}",
        )]],
    ),
];

/// It waits for uaa before it starts anything.
const CONTROL: &[Setting] = &[Setting::needed(
    "the address of the uaa that it waits for",
    &[
        &[Edit::assignment("UAA_URL", "http://{uaa_ip}:8080")],
        &[Edit::within("curl http://*:8080/uaa", "{uaa_ip}")],
    ],
)];
