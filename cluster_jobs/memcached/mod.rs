//! memcached: what the services of a room share of what they looked up.

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `memcached.sh`.
#[derive(Template, Deserialize)]
#[template(path = "memcached/memcached.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    own_address: String,
    memcached_memory: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("memcached/memcached.sh", include_str!("memcached.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("memcached", template, collect)
            .packages(&["memcached"])
            .provides("cache", 11211)
            .unit("memcached")
            .check(Check::Tcp(11211)),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.room()?;
    // In MiB.
    context.set_var(values, "memcached_memory", "64")
}
