//! What stays at mysql_node as the release has it, known to everybody.

use crate::job::DefaultSecret;

pub const STAYING: &[DefaultSecret] = &[DefaultSecret::written(
    "no password for MySQL's root at the host's own socket: whoever can log in to the host reads \
     every database; from other hosts root has the cluster's own password",
    &["jobs/mysql/control.rb"],
    &["-u root", "--password=''"],
    "let nobody else log in to the host; the release's `bin/paas mysql stop` needs root without a \
     password",
)];
