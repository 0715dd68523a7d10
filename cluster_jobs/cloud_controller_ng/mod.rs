//! cloud_controller_ng: the platform's API.

mod default_secrets;
mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `cloud_controller_ng.sh`.
#[derive(Template, Deserialize)]
#[template(
    path = "cloud_controller_ng/cloud_controller_ng.sh",
    config = "config/askama.toml"
)]
struct Script {
    bulk_api_password: String,
    staging_password: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = (
        "cloud_controller_ng/cloud_controller_ng.sh",
        include_str!("cloud_controller_ng.sh"),
    );
    Box::new(
        BuiltinJob::of_release::<Script>("cloud_controller_ng", template, collect)
            .settings(settings::FILES)
            .default_secrets(default_secrets::STAYING)
            .log("vcap/sys/log/cloud_controller.log")
            .needs("nats", "messages between the components")
            .needs("uaa", "the tokens that it trusts")
            .needs("postgres", "applications and services")
            .provides("http", 8181)
            .secret(super::POSTGRES_PASSWORD, "postgres")
            .secret(super::UAA_TOKEN_SECRET, "uaa")
            .secret("bulk_api_password", "cloud_controller_ng")
            .secret("staging_password", "cloud_controller_ng")
            .check(Check::Http {
                port: 8181,
                path: "/info".to_owned(),
            }),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    context.set_var(values, "domain", super::DOMAIN)?;
    context.set_url_host(values, "uaa_ip", "uaa")?;
    super::set_database(context, values)?;
    context.set_secret(values, super::UAA_TOKEN_SECRET)?;
    context.set_secret(values, "bulk_api_password")?;
    context.set_secret(values, "staging_password")?;
    Ok(())
}
