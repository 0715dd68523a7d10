//! router: takes requests from outside and hands them to the applications.

mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `router.sh`.
#[derive(Template, Deserialize)]
#[template(path = "router/router.sh", config = "config/askama.toml")]
struct Script {
    router_status_password: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("router/router.sh", include_str!("router.sh"));
    Box::new(
        BuiltinJob::of_release::<Script>("router", template, collect)
            .settings(settings::FILES)
            .needs("nats", "messages between the components")
            .provides("http", 80)
            .provides("status", 8082)
            .secret("router_status_password", "router")
            .check(Check::Tcp(80))
            .check(Check::StatusPage {
                component: "router".to_owned(),
                port: 8082,
            }),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    context.set_secret(values, "router_status_password")?;
    Ok(())
}
