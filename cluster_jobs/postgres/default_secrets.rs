//! What stays at postgres as the release has it, known to everybody.

use crate::job::DefaultSecret;

pub const STAYING: &[DefaultSecret] = &[DefaultSecret::written(
    "no password for anybody on the database's own host: initdb trusts every login there, and lets \
     it be a superuser",
    &["jobs/postgres/control.rb"],
    &["bin/initdb -D #{data_dir}\""],
    "let nobody else log in to the host",
)];
