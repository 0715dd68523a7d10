//! dea_ng: runs the applications, with warden and the directory server beside it.

mod default_secrets;
mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `dea_ng.sh`.
#[derive(Template, Deserialize)]
#[template(path = "dea_ng/dea_ng.sh", config = "config/askama.toml")]
struct Script {}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("dea_ng/dea_ng.sh", include_str!("dea_ng.sh"));
    Box::new(
        BuiltinJob::of_release::<Script>("dea_ng", template, collect)
            .settings(settings::FILES)
            .default_secrets(default_secrets::STAYING)
            .needs("nats", "messages between the components")
            .provides("warden's health", 2345)
            .provides("directory server", 5678)
            .after("warden")
            .then("directory_server")
            .check(Check::Tcp(5678)),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    context.set_var(values, "domain", super::DOMAIN)?;
    Ok(())
}
