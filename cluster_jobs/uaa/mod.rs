//! uaa: hands out the tokens that the cloud controller checks.

mod default_secrets;
mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `uaa.sh`.
#[derive(Template, Deserialize)]
#[template(path = "uaa/uaa.sh", config = "config/askama.toml")]
struct Script {
    uaa_token_secret: String,
    uaa_admin_password: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("uaa/uaa.sh", include_str!("uaa.sh"));
    Box::new(
        BuiltinJob::of_release::<Script>("uaa", template, collect)
            .settings(settings::FILES)
            .default_secrets(default_secrets::STAYING)
            .needs("nats", "messages between the components")
            .needs("postgres", "the users and clients")
            .provides("http", 8080)
            .secret(super::POSTGRES_PASSWORD, "postgres")
            // What the release itself waits for.
            .secret(super::UAA_TOKEN_SECRET, "uaa")
            .secret(super::UAA_ADMIN_PASSWORD, "uaa")
            .check(Check::Entry {
                port: 8080,
                path: "/uaa".to_owned(),
            }),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    super::set_database(context, values)?;
    context.set_secret(values, super::UAA_TOKEN_SECRET)?;
    context.set_secret(values, super::UAA_ADMIN_PASSWORD)?;
    Ok(())
}
