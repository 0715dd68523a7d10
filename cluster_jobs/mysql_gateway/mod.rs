//! mysql_gateway: offers MySQL databases at the cloud controller.

mod default_secrets;
mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `mysql_gateway.sh`.
#[derive(Template, Deserialize)]
#[template(path = "mysql_gateway/mysql_gateway.sh", config = "config/askama.toml")]
struct Script {}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = (
        "mysql_gateway/mysql_gateway.sh",
        include_str!("mysql_gateway.sh"),
    );
    Box::new(
        BuiltinJob::of_release::<Script>("mysql_gateway", template, collect)
            .settings(settings::FILES)
            .default_secrets(default_secrets::STAYING)
            .needs("nats", "messages between the components")
            .needs("cloud_controller_ng", "the offer of its service")
            .needs("uaa", "a token for the cloud controller")
            .provides("redis", 5454)
            .after("redis")
            .secret(super::UAA_ADMIN_PASSWORD, "uaa")
            .check(Check::Tcp(5454)),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    context.set_url_host(values, "cc_ip", "cloud_controller_ng")?;
    context.set_url_host(values, "uaa_ip", "uaa")?;
    context.set_secret(values, super::UAA_ADMIN_PASSWORD)?;
    Ok(())
}
