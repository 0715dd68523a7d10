//! mysql_node: makes MySQL databases on request.

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `mysql_node.sh`.
#[derive(Template, Deserialize)]
#[template(path = "mysql_node/mysql_node.sh", config = "config/askama.toml")]
struct Script {
    nats_ip: String,
    index: u32,
    node_id: String,
    uaa_ip: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("mysql_node/mysql_node.sh", include_str!("mysql_node.sh"));
    Box::new(
        BuiltinJob::of_release::<Script>("mysql_node", template, collect)
            .needs("nats", "messages between the components")
            .needs("uaa", "its control script waits for it")
            .provides("health", 8086)
            .provides("mysql", 3306)
            .check(Check::Http {
                port: 8086,
                path: "/health".to_owned(),
            }),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_url_host(values, "nats_ip", "nats")?;
    context.set_index(values);
    let node_id = format!("mysql_node_{}", context.instance.index);
    values.set_from("node_id", node_id, context.instance.place);
    context.set_url_host(values, "uaa_ip", "uaa")?;
    Ok(())
}
