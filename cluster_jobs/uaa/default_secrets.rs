//! What stays at uaa as the release has it, known to everybody.

use crate::job::DefaultSecret;

const CONFIGURATION: &[&str] = &["uaa/jobs/uaa.yml.erb", "jobs/uaa/uaa.yml.erb"];

pub const STAYING: &[DefaultSecret] = &[
    DefaultSecret::written(
        "the user testuser with the password testuser: anybody can log in as this user",
        CONFIGURATION,
        &["testuser|testuser|"],
        "take the line out of your release before uaa's first start; where uaa has started with it, \
         delete the user there as well",
    ),
    DefaultSecret::left_out(
        "no client admin of your own: the one that uaa brings along has the secret that its \
         documentation names (adminsecret), and may do everything",
        CONFIGURATION,
        " admin:",
        "add a client admin with a secret of your own to oauth.clients in your release",
    ),
    DefaultSecret::written(
        "`bin/paas init` logs in with admin and admin, which this uaa refuses: its administrator's \
         password is the cluster's own",
        &["bin/paas"],
        &["cf login", "--password admin"],
        "leave out `bin/paas init` (and `bin/pre-paas`, which calls it); log in by hand with \
         uaa_admin_password, which uaa's first host keeps",
    ),
];
