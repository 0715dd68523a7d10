//! firstbox: serves the site's own packages to the other machines.

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError, SITE_PACKAGES};
use crate::script::Values;

/// `firstbox.sh`.
#[derive(Template, Deserialize)]
#[template(path = "firstbox/firstbox.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    site_packages: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("firstbox/firstbox.sh", include_str!("firstbox.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("firstbox", template, collect)
            .packages(&["python3"])
            .provides("packages", 8899)
            .unit("pitrix-packages")
            .check(Check::Http {
                port: 8899,
                path: "/Packages".to_owned(),
            })
            .way_back(include_str!("remove.sh")),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    let packages = context.site_packages.ok_or_else(|| JobError {
        message:
            "firstbox has nothing to serve: set `site_packages` to the folder with the site's \
                  own packages"
                .to_owned(),
        place: Some(context.component.place),
    })?;
    values.set(SITE_PACKAGES, packages);
    Ok(())
}
