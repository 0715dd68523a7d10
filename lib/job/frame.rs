//! What stands around every job's own part: the prelude before it, the health check, and the wait
//! behind it. Built-in and site jobs get the same.

use askama::Template;
use serde::{Deserialize, Serialize};

use super::builtin::INSTALLED;
use super::context::HOME;
use super::health::{Check, Health};
use super::{Action, JobError};
use crate::script::{Values, shell_word};

/// `cluster_jobs/prelude.sh`: the functions that scripts are written with.
#[derive(Template, Deserialize)]
#[template(path = "prelude.sh", config = "config/askama.toml")]
struct Prelude {
    paas_user: String,
    paas_home: String,
    own_address: String,
}

/// `cluster_jobs/health.sh`: the job's `check_health`, and what to show when it doesn't come up.
#[derive(Template, Serialize)]
#[template(path = "health.sh", config = "config/askama.toml")]
struct HealthPart<'a> {
    services: &'a [String],
    units: &'a [String],
    tcp: Vec<u16>,
    http: Vec<HttpCheck<'a>>,
    entries: Vec<HttpCheck<'a>>,
    status_pages: Vec<StatusPage<'a>>,
    commands: Vec<&'a str>,
    logs: &'a [String],
    timeout: u32,
}

#[derive(Serialize)]
struct HttpCheck<'a> {
    port: u16,
    path: &'a str,
}

#[derive(Serialize)]
struct StatusPage<'a> {
    component: &'a str,
    port: u16,
}

/// `cluster_jobs/control.sh`: starting, stopping and restarting.
#[derive(Template, Serialize)]
#[template(path = "control.sh", config = "config/askama.toml")]
struct Control<'a> {
    starts: bool,
    stops: bool,
    services: &'a [String],
    units: &'a [String],
    services_reversed: Vec<&'a str>,
    units_reversed: Vec<&'a str>,
}

/// `cluster_jobs/remove.sh`: stopping for good.
#[derive(Template, Serialize)]
#[template(path = "remove.sh", config = "config/askama.toml")]
struct Removal<'a> {
    services_reversed: Vec<&'a str>,
    units_reversed: Vec<&'a str>,
}

/// `cluster_jobs/edit.sh`: functions that edit files, for what sets up or takes down.
const EDIT: &str = include_str!("../../cluster_jobs/edit.sh");

/// `cluster_jobs/release.sh`: driving the release's own command.
const RELEASE: &str = include_str!("../../cluster_jobs/release.sh");

/// `cluster_jobs/components.sh`: what is known of the release's components, for [`RELEASE`].
const COMPONENTS: &str = include_str!("../../cluster_jobs/components.sh");

/// `cluster_jobs/recognise.sh`: what is the other way round where nothing is to be changed.
const RECOGNISE: &str = include_str!("../../cluster_jobs/recognise.sh");

/// `cluster_jobs/forget.sh`: the end of a removal.
const FORGET: &str = include_str!("../../cluster_jobs/forget.sh");

/// Puts a whole script together; `part` is the job's own, for a deploy and for a removal.
/// `drives_release` is whether it may call the release's own command.
pub(super) fn assemble(
    action: Action,
    values: &Values,
    health: &Health,
    drives_release: bool,
    part: impl FnOnce() -> Result<String, JobError>,
) -> Result<String, JobError> {
    let mut pieces = vec![beginning(values)?];
    if drives_release {
        pieces.push(COMPONENTS.to_owned());
        pieces.push(RELEASE.to_owned());
    }
    if matches!(action, Action::Deploy | Action::Remove) {
        pieces.push(EDIT.to_owned());
    }
    if action != Action::Remove {
        pieces.push(INSTALLED.to_owned());
        pieces.push(health_part(health).render().map_err(as_error)?);
    }
    if waits(action) {
        pieces.push("watch_step".to_owned());
    }
    match action {
        Action::Deploy => pieces.push(part()?),
        Action::Start => pieces.push(control(health, true, false)?),
        Action::Stop => pieces.push(control(health, false, true)?),
        Action::Restart => pieces.push(control(health, true, true)?),
        Action::Remove => pieces.extend([removal(health)?, part()?, FORGET.to_owned()]),
        Action::Health => {}
    }
    if waits(action) {
        pieces.push("wait_healthy".to_owned());
    } else if action == Action::Health {
        pieces.push("check_health".to_owned());
    }
    // Both engines drop the newline at a template's end.
    let pieces: Vec<&str> = pieces
        .iter()
        .map(|piece| piece.trim_end_matches('\n'))
        .filter(|piece| !piece.is_empty())
        .collect();
    Ok(pieces.join("\n\n") + "\n")
}

/// What every script begins with.
fn beginning(values: &Values) -> Result<String, JobError> {
    let prelude: Prelude = serde_json::from_value(values.to_json()).map_err(as_error)?;
    let prelude = prelude.render().map_err(as_error)?;
    Ok(format!(
        "{prelude}\n\n{HOME}PAAS_HOME=$(home_of \"$PAAS_USER\" \"$PAAS_HOME\")"
    ))
}

/// Puts together what recognises a job of the release that somebody else set up. `files` may be edited
/// by `settings`, which gets copies of them.
pub(super) fn recognition(
    values: &Values,
    health: &Health,
    files: &[&str],
    settings: &str,
) -> Result<String, JobError> {
    let mut lines = vec!["if ! said=$(check_health); then fail \"$said\"; fi".to_owned()];
    let services = health.services.iter().map(|name| shell_word(name));
    lines.extend(services.map(|name| format!("need_unit {name}")));
    let files: String = files
        .iter()
        .map(|path| format!(" {}", shell_word(path)))
        .collect();
    lines.push(format!("copy_release{files}\nRELEASE=$copies"));
    let pieces = [
        beginning(values)?,
        COMPONENTS.to_owned(),
        RELEASE.to_owned(),
        EDIT.to_owned(),
        INSTALLED.to_owned(),
        health_part(health).render().map_err(as_error)?,
        RECOGNISE.to_owned(),
        lines.join("\n"),
        settings.to_owned(),
    ];
    Ok(pieces.join("\n") + "\n")
}

/// Whether an action is done only when the job is healthy.
fn waits(action: Action) -> bool {
    matches!(action, Action::Deploy | Action::Start | Action::Restart)
}

fn health_part(health: &Health) -> HealthPart<'_> {
    let mut part = HealthPart {
        services: &health.services,
        units: &health.units,
        tcp: Vec::new(),
        http: Vec::new(),
        entries: Vec::new(),
        status_pages: Vec::new(),
        commands: Vec::new(),
        logs: &health.logs,
        timeout: health.timeout,
    };
    for check in &health.checks {
        match check {
            Check::Tcp(port) => part.tcp.push(*port),
            Check::Http { port, path } => part.http.push(HttpCheck { port: *port, path }),
            Check::Entry { port, path } => part.entries.push(HttpCheck { port: *port, path }),
            Check::StatusPage { component, port } => part.status_pages.push(StatusPage {
                component,
                port: *port,
            }),
            Check::Command(command) => part.commands.push(command),
        }
    }
    part
}

fn control(health: &Health, starts: bool, stops: bool) -> Result<String, JobError> {
    let reversed = |names: &'_ [String]| names.iter().rev().cloned().collect::<Vec<_>>();
    let (services, units) = (reversed(&health.services), reversed(&health.units));
    Control {
        starts,
        stops,
        services: &health.services,
        units: &health.units,
        services_reversed: services.iter().map(String::as_str).collect(),
        units_reversed: units.iter().map(String::as_str).collect(),
    }
    .render()
    .map_err(as_error)
}

fn removal(health: &Health) -> Result<String, JobError> {
    let reversed = |names: &'_ [String]| names.iter().rev().cloned().collect::<Vec<_>>();
    let (services, units) = (reversed(&health.services), reversed(&health.units));
    Removal {
        services_reversed: services.iter().map(String::as_str).collect(),
        units_reversed: units.iter().map(String::as_str).collect(),
    }
    .render()
    .map_err(as_error)
}

pub(super) fn as_error(error: impl std::fmt::Display) -> JobError {
    JobError::new(format!("a script can't be rendered: {error}"))
}
