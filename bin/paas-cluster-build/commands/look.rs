//! What only looks: render, check, status, schema.

use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use paas_cluster_build::cluster_file;
use paas_cluster_build::engine::Limits;
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, BOOTSTRAP};
use paas_cluster_build::plan::{Facts, HostState};
use paas_cluster_build::report::{self, Health, ReceiptSummary, StatusRow};

use crate::args::{Common, Output};
use crate::conductor::Conductor;
use crate::exit::{Exit, Failure};
use crate::show::colour;
use crate::workspace::Workspace;

/// `render`: every script of a build as a file `<host>/<number>-<step>.sh`, and beside it what it
/// is made of.
pub fn render(
    common: &Common,
    components: &[String],
    limits: &[String],
    to: &Path,
) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(components, limits)?;
    let operation = operation::build(&workspace.cluster, &selection);
    let conductor = Conductor::new(&workspace, common, Limits::with_forks(1))?;
    let plan = conductor.rehearse(&operation, &selection)?;
    let unusable = |error: std::io::Error| {
        Failure::usage(format!("{} can't be written: {error}", to.display()))
    };
    fs::create_dir_all(to).map_err(unusable)?;
    if fs::read_dir(to).map_err(unusable)?.next().is_some() {
        let message = format!(
            "{} isn't empty; name another folder with --to",
            to.display()
        );
        return Err(Failure::usage(message));
    }
    let mut count = 0;
    for (number, stage) in plan.stages.iter().enumerate() {
        for step in &stage.steps {
            let folder = to.join(step.id.host.to_string());
            fs::create_dir_all(&folder).map_err(unusable)?;
            let name = format!("{number:02}-{}", step.id.step);
            fs::write(folder.join(format!("{name}.sh")), &step.script).map_err(unusable)?;
            let values = serde_yaml::to_string(&step.values.to_shown());
            let values = values.map_err(anyhow::Error::from)?;
            fs::write(folder.join(format!("{name}.values.yml")), values).map_err(unusable)?;
            if !step.edits.is_empty() {
                let edits = step.edits.join("\n") + "\n";
                fs::write(folder.join(format!("{name}.edits.txt")), edits).map_err(unusable)?;
            }
            count += 1;
        }
    }
    anstream::println!(
        "{count} scripts and their values written to {}; secrets are shown as <name>",
        to.display()
    );
    Ok(Exit::Done)
}

/// `check`: the file alone.
pub fn check(common: &Common) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let cluster = &workspace.cluster;
    let selection = workspace.select(&[], &[])?;
    let operation = operation::build(cluster, &selection);
    Conductor::new(&workspace, common, Limits::with_forks(1))?.rehearse(&operation, &selection)?;
    anstream::println!(
        "{}: {} components on {} hosts, every script renders",
        cluster.file.display(),
        cluster.components.len(),
        cluster.hosts.len()
    );
    if let Err(failure) = workspace.require_release(&selection) {
        anstream::println!("note: {}", failure.message);
    }
    Ok(Exit::Done)
}

/// `status`: receipt and health of everything that the file puts anywhere.
pub fn status(
    common: &Common,
    components: &[String],
    limits: &[String],
    forks: u16,
) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(components, limits)?;
    let conductor = Conductor::new(&workspace, common, Limits::with_forks(forks))?;
    let survey = conductor.survey(&selection)?;
    let rows = rows(&workspace, &selection, &survey.facts);
    if common.output == Output::Json {
        for row in &rows {
            print_json(&status_json(row))?;
        }
    } else {
        anstream::print!(
            "{}",
            report::status_text(&rows, &TimeZone::system(), colour())
        );
    }
    let is_unasked = |row: &StatusRow| survey.facts.known(row.host).is_none();
    Ok(if rows.iter().any(is_unasked) {
        Exit::Unreachable
    } else if rows.iter().all(|row| row.health == Health::Healthy) {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// `schema`: for editors.
pub fn schema() -> Result<Exit, Failure> {
    let text =
        serde_json::to_string_pretty(&cluster_file::schema()).map_err(anyhow::Error::from)?;
    anstream::println!("{text}");
    Ok(Exit::Done)
}

fn rows(workspace: &Workspace, selection: &Selection, facts: &Facts) -> Vec<StatusRow> {
    let cluster = &workspace.cluster;
    let machines = cluster
        .hosts
        .iter()
        .filter(|host| selection.has_host(host.address));
    let mut wanted: Vec<(String, std::net::IpAddr)> = machines
        .map(|host| (BOOTSTRAP.to_owned(), host.address))
        .collect();
    for component in &cluster.components {
        for job in &component.jobs {
            let instances = component.instances.iter();
            let selected = instances.filter(|i| selection.has(&component.name, i.address));
            wanted.extend(selected.map(|i| (component.step_name(job), i.address)));
        }
    }
    wanted
        .into_iter()
        .map(|(step, host)| row(step, host, facts))
        .collect()
}

fn row(step: String, host: std::net::IpAddr, facts: &Facts) -> StatusRow {
    let known = match facts.hosts.get(&host) {
        Some(HostState::Known(known)) => known,
        Some(HostState::Unknown { why, .. }) => {
            return StatusRow {
                step,
                host,
                receipt: None,
                health: Health::Unknown(why.clone()),
            };
        }
        None => {
            let health = Health::Unknown("not asked".to_owned());
            return StatusRow {
                step,
                host,
                receipt: None,
                health,
            };
        }
    };
    let receipt = known.receipts.get(&step).map(|receipt| ReceiptSummary {
        // -1 until the end is known; then the start is all that there is to say.
        status: Some(receipt.status).filter(|status| *status != -1),
        finished: jiff::Timestamp::from_second(receipt.finished.max(receipt.started))
            .unwrap_or_default(),
        run: receipt.stamp.run.clone(),
        operator: receipt.stamp.operator.clone(),
    });
    let health = match known.health.get(&step) {
        Some(Ok(())) => Health::Healthy,
        Some(Err(why)) => Health::Unhealthy(why.clone()),
        None => Health::Unknown("not installed".to_owned()),
    };
    StatusRow {
        step,
        host,
        receipt,
        health,
    }
}

fn status_json(row: &StatusRow) -> serde_json::Value {
    let (health, why) = match &row.health {
        Health::Healthy => ("healthy", None),
        Health::Unhealthy(why) => ("unhealthy", Some(why)),
        Health::Unknown(why) => ("unknown", Some(why)),
    };
    let receipt = row.receipt.as_ref().map(|receipt| {
        serde_json::json!({
            "status": receipt.status,
            "finished": receipt.finished,
            "run": receipt.run,
            "operator": receipt.operator,
        })
    });
    serde_json::json!({
        "step": row.step, "host": row.host, "health": health, "why": why, "receipt": receipt,
    })
}

pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    anstream::println!(
        "{}",
        serde_json::to_string(value).map_err(anyhow::Error::from)?
    );
    Ok(())
}
