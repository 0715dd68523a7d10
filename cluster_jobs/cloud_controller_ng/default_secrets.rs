//! What stays at cloud_controller_ng as the release has it, known to everybody.

use crate::job::DefaultSecret;

pub const STAYING: &[DefaultSecret] = &[DefaultSecret::written(
    "the key asdfasdfasdf, with which the applications' variables and the services' passwords are \
     encrypted in the database",
    &[
        "cloud_controller_ng/jobs/cloud_controller_ng.yml.erb",
        "jobs/cloud_controller_ng/cloud_controller_ng.yml.erb",
    ],
    &["db_encryption_key:", "asdfasdfasdf"],
    "put a key of your own into db_encryption_key in your release before the first start; once \
     something is encrypted with a key, another one can't read it",
)];
