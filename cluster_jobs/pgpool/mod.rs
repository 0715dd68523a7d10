//! pgpool: the connection pool that a room's services reach the global database through.

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `pgpool.sh`.
#[derive(Template, Deserialize)]
#[template(path = "pgpool/pgpool.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    entry: String,
    ks_password: String,
    ks_monitor_password: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("pgpool/pgpool.sh", include_str!("pgpool.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("pgpool", template, collect)
            .needs("proxy", "it reaches the primary through haproxy")
            .packages(&["pgpool2"])
            .provides("sql", 9999)
            .unit("pgpool2")
            .secret(super::KS_PASSWORD, "pgserver")
            .secret(super::KS_MONITOR_PASSWORD, "pgserver")
            .check(Check::Tcp(9999))
            .way_back(include_str!("remove.sh")),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    let (_, room) = context.room()?;
    let proxy = context.nearest(room, "proxy")?;
    let entry = match room.vip {
        _ if proxy == context.instance.address => "127.0.0.1".to_owned(),
        Some(vip) => vip.to_string(),
        None => proxy.to_string(),
    };
    values.set("entry", entry);
    context.set_secret(values, super::KS_PASSWORD)?;
    context.set_secret(values, super::KS_MONITOR_PASSWORD)
}
