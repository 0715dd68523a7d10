//! postgres: the database of uaa and the cloud controller.

mod default_secrets;
mod settings;

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `postgres.sh`.
#[derive(Template, Deserialize)]
#[template(path = "postgres/postgres.sh", config = "config/askama.toml")]
struct Script {
    postgres_role: String,
    postgres_password: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("postgres/postgres.sh", include_str!("postgres.sh"));
    Box::new(
        BuiltinJob::of_release::<Script>("postgres", template, collect)
            .settings(settings::FILES)
            .default_secrets(default_secrets::STAYING)
            .provides("sql", 5432)
            .secret(super::POSTGRES_PASSWORD, "postgres")
            .check(Check::Tcp(5432)),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_var(values, "listen", "0.0.0.0")?;
    super::set_role(context, values)?;
    Ok(())
}
