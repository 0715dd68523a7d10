//! What stays at dea_ng as the release has it, known to everybody.

use crate::job::DefaultSecret;

pub const STAYING: &[DefaultSecret] = &[DefaultSecret::written(
    "the password bulk_password of a bulk API, which opens nothing: the cloud controller has \
     another one, and dea_ng never asks with it",
    &[
        "dea_ng/jobs/dea_ng.yml.erb",
        "dea_ng/jobs/dea.yml.erb",
        "jobs/dea_ng/dea_ng.yml.erb",
        "jobs/dea_ng/dea.yml.erb",
    ],
    &["auth_password:", "bulk_password"],
    "nothing needs to be done; in your release the block bulk_api of this file can be taken out",
)];
