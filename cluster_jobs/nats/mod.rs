//! nats: the message bus that every other component connects to.

mod default_secrets;
mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `nats.sh`.
#[derive(Template, Deserialize)]
#[template(path = "nats/nats.sh", config = "config/askama.toml")]
struct Script {}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("nats/nats.sh", include_str!("nats.sh"));
    Box::new(
        BuiltinJob::of_release::<Script>("nats", template, collect)
            .settings(settings::FILES)
            .default_secrets(default_secrets::STAYING)
            .provides("client", 4222)
            .check(Check::Tcp(4222)),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    // Its own address, under the name that the others know it by.
    values.set_from("nats_ip", context.instance.address, context.instance.place);
    Ok(())
}
