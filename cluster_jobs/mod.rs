//! The built-in jobs: one folder each, with the script as a template and its Rust face.
//!
//! `docs/writing-a-job.md` says how to add one.

mod cloud_controller_ng;
mod dea_ng;
mod health_manager;
mod mysql_gateway;
mod mysql_node;
mod nats;
mod postgres;
mod router;
mod uaa;

use crate::job::{Context, Job, JobError};
use crate::script::Values;

/// The domain of the applications unless `vars.domain` says otherwise.
const DOMAIN: &str = "paas.local";
/// The secret that the database's users log in with.
const POSTGRES_PASSWORD: &str = "postgres_password";

/// Makes all built-in jobs.
pub fn all() -> Vec<Box<dyn Job>> {
    vec![
        nats::job(),
        router::job(),
        postgres::job(),
        uaa::job(),
        cloud_controller_ng::job(),
        health_manager::job(),
        dea_ng::job(),
        mysql_gateway::job(),
        mysql_node::job(),
    ]
}

/// Sets what a client of postgres has to know.
fn set_database(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_address(values, "postgres_ip", "postgres")?;
    set_role(context, values)
}

/// Sets the role that uaa and the cloud controller use, and its password.
fn set_role(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_var(values, "postgres_role", "root")?;
    context.set_secret(values, POSTGRES_PASSWORD)
}
