//! What mysql_node sets in the release: the first tool's text has a component's file in the component's
//! folder, the release itself in `jobs/`.

use crate::job::{Edit, ReleaseFile, Setting};

/// Its configuration, a template that is rendered at each start, and its control script.
pub const FILES: &[ReleaseFile] = &[
    ReleaseFile::new(
        "its configuration",
        &[
            "mysql_node/jobs/mysql_node.yml.erb",
            "jobs/mysql_node/mysql_node.yml.erb",
        ],
        SETTINGS,
    )
    .secret(),
    ReleaseFile::new(
        "its control script",
        &["mysql_node/jobs/control", "jobs/mysql_node/control.rb"],
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
    Setting::needed(
        "the name that the gateway knows it by",
        &[
            &[
                Edit::given("plan"),
                Edit::plain("node_id", "mysql_node_free_{number}"),
            ],
            &[Edit::plain("node_id", "mysql_node_{index}")],
        ],
    ),
    Setting::if_there(
        "the password of MySQL's root",
        &[&[Edit::text("mysql.5.5.pass", "{mysql_root_password}")]],
    ),
];

/// In some releases it waits for uaa before it starts anything.
const CONTROL: &[Setting] = &[Setting::if_there(
    "the address of the uaa that it waits for",
    &[
        &[Edit::assignment("UAA_URL", "http://{uaa_ip}:8080")],
        &[Edit::within("curl http://*:8080/uaa", "{uaa_ip}")],
    ],
)];
