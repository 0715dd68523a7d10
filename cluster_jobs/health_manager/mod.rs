//! health_manager: follows the heartbeats of the applications.

mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `health_manager.sh`.
#[derive(Template, Deserialize)]
#[template(
    path = "health_manager/health_manager.sh",
    config = "config/askama.toml"
)]
struct Script {
    health_manager_status_password: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = (
        "health_manager/health_manager.sh",
        include_str!("health_manager.sh"),
    );
    Box::new(
        BuiltinJob::of_release::<Script>("health_manager", template, collect)
            .settings(settings::FILES)
            .needs("nats", "messages between the components")
            .provides("status", 54321)
            .secret("health_manager_status_password", "health_manager")
            .check(Check::StatusPage {
                component: "health_manager".to_owned(),
                port: 54321,
            }),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    context.set_var(values, "domain", super::DOMAIN)?;
    context.set_secret(values, "health_manager_status_password")?;
    Ok(())
}
