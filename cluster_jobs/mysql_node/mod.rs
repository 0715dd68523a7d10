//! mysql_node: makes MySQL databases on request.

mod default_secrets;
mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `mysql_node.sh`.
#[derive(Template, Deserialize)]
#[template(path = "mysql_node/mysql_node.sh", config = "config/askama.toml")]
struct Script {
    mysql_root_password: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("mysql_node/mysql_node.sh", include_str!("mysql_node.sh"));
    Box::new(
        BuiltinJob::of_release::<Script>("mysql_node", template, collect)
            .settings(settings::FILES)
            .default_secrets(default_secrets::STAYING)
            .needs("nats", "messages between the components")
            .needs("uaa", "its control script waits for it")
            .provides("mysql", 3306)
            .after("mysql")
            .secret("mysql_root_password", "mysql_node")
            .check(Check::Tcp(3306)),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    // The release counts its nodes from one.
    let number = context.instance.index + 1;
    values.set_from("number", number, context.instance.place);
    context.set_url_host(values, "uaa_ip", "uaa")?;
    context.set_secret(values, "mysql_root_password")?;
    Ok(())
}
