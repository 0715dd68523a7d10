//! What only looks: render, check, status, schema.

use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use paas_cluster_build::cluster_file;
use paas_cluster_build::engine::Limits;
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, BOOTSTRAP};
use paas_cluster_build::plan::{Facts, HostFacts, HostState, Owner, Plan};
use paas_cluster_build::report::{self, Health, LastStep, ReceiptSummary, StatusRow};

use crate::args::{Common, Output};
use crate::conductor::Conductor;
use crate::exit::{Exit, Failure};
use crate::show::look;
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
    workspace.read_by_shells()?;
    let selection = workspace.select(components, limits)?;
    let operation = operation::build(&workspace.cluster, &selection);
    let conductor = Conductor::new(&workspace, common, Limits::with_forks(1))?;
    let plan = conductor.rehearse(&operation, &selection)?;
    let unusable = |error: std::io::Error| Failure::unwritable(to, &error);
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
    outln!(
        "{count} scripts and their values written to {}; secrets are shown as <name>",
        to.display()
    );
    Ok(Exit::Done)
}

/// `check`: the file, and of the release what it leaves known to everybody.
pub fn check(common: &Common) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    workspace.read_by_shells()?;
    let cluster = &workspace.cluster;
    let selection = workspace.select(&[], &[])?;
    let operation = operation::build(cluster, &selection);
    Conductor::new(&workspace, common, Limits::with_forks(1))?.rehearse(&operation, &selection)?;
    let staying = workspace.staying_secrets()?;
    let note = workspace.require_release(&selection).err();
    let note = note.map(|failure| failure.message);
    if common.output == Output::Json {
        for secret in &staying {
            print_json(&serde_json::json!({ "default_secret": secret }))?;
        }
        print_json(&serde_json::json!({"summary": {
            "cluster": cluster.name,
            "components": cluster.components.len(),
            "hosts": cluster.hosts.len(),
            "default_secrets": staying.len(),
            "note": note,
        }}))?;
        return Ok(Exit::Done);
    }
    outln!(
        "{}: {} components on {} hosts, every script renders",
        cluster.file.display(),
        cluster.components.len(),
        cluster.hosts.len()
    );
    out!(
        "{}",
        report::wrap(&report::default_secrets_text(&staying), look().width)
    );
    if let Some(note) = note {
        outln!("note: {note}");
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
    let facts = conductor.look_to_show(&selection)?;
    let mut rows = rows(&workspace, &selection, &facts);
    if rows.iter().any(is_failed) {
        // What differs is what a build would name; where it can't be planned, that is its own error.
        let operation = operation::build(&workspace.cluster, &selection);
        let survey = conductor.with_secrets(facts, &selection);
        if let Ok(plan) = survey.and_then(|survey| conductor.plan(&operation, &survey, false)) {
            let file = common.config.display().to_string();
            rows.iter_mut()
                .filter(|row| is_failed(row))
                .for_each(|row| row.changes = changes(row, &plan, &file));
        }
    }
    if common.output == Output::Json {
        for row in &rows {
            print_json(&status_json(row))?;
        }
        let count = |wanted: fn(&Health) -> bool| rows.iter().filter(|r| wanted(&r.health)).count();
        print_json(&serde_json::json!({"summary": {
            "cluster": workspace.cluster.name,
            "instances": rows.len(),
            "healthy": count(|health| *health == Health::Healthy),
            "unhealthy": count(|health| matches!(health, Health::Unhealthy(_))),
            "unknown": count(|health| matches!(health, Health::Unknown(_))),
        }}))?;
    } else {
        out!(
            "{}",
            report::status_text(&rows, &TimeZone::system(), look())
        );
    }
    Ok(judge(&rows))
}

/// Everything is well only where everything is known to be.
fn judge(rows: &[StatusRow]) -> Exit {
    let is_running = |row: &StatusRow| row.last.is_running();
    if rows.iter().any(|row| row.last == LastStep::Unreachable) {
        Exit::Unreachable
    } else if rows
        .iter()
        .any(|row| !is_running(row) && row.health != Health::Healthy)
    {
        Exit::Failed
    } else if rows.iter().any(is_running) {
        Exit::Locked
    } else {
        Exit::Done
    }
}

fn is_failed(row: &StatusRow) -> bool {
    matches!(&row.last, LastStep::Ended(receipt) if receipt.status != Some(0))
}

/// What a failed step differs in from the run in which it last went well.
fn changes(row: &StatusRow, plan: &Plan, file: &str) -> Vec<String> {
    let mut steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let step = steps.find(|step| step.id.host == row.host && step.id.step == row.step);
    let Some(step) = step else {
        return Vec::new();
    };
    let since = report::changed_since(&step.decision);
    let words = report::changes(&step.decision, file).into_iter();
    words.map(|change| format!("{since}: {change}")).collect()
}

/// `schema`: for editors.
pub fn schema() -> Result<Exit, Failure> {
    let text =
        serde_json::to_string_pretty(&cluster_file::schema()).map_err(anyhow::Error::from)?;
    outln!("{text}");
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
    let unasked = |why: String| (LastStep::Unreachable, Health::Unknown(why));
    let (last, health) = match facts.hosts.get(&host) {
        Some(HostState::Known(known)) => match facts.owner(host, &step) {
            Owner::Other { name, .. } if step != BOOTSTRAP => {
                let why = format!("the cluster {} has it", report::printable(&name));
                (LastStep::None, Health::Unknown(why))
            }
            _ => state_of(&step, known),
        },
        Some(HostState::Unknown { why, .. }) => unasked(why.clone()),
        None => unasked("not asked".to_owned()),
    };
    StatusRow {
        step,
        host,
        last,
        health,
        changes: Vec::new(),
    }
}

fn state_of(step: &str, known: &HostFacts) -> (LastStep, Health) {
    if let Some(busy) = known.busy.as_ref().filter(|busy| busy.holder.step == step) {
        let holder = &busy.holder;
        let last = LastStep::Running {
            since: holder.since.clone(),
            run: holder.run.clone(),
            by: format!("{} at {}", holder.operator, holder.workstation),
        };
        return (last, Health::Unknown("a step runs".to_owned()));
    }
    let asked = match known.health.get(step) {
        Some(Ok(())) => Health::Healthy,
        Some(Err(why)) => Health::Unhealthy(why.clone()),
        None => Health::Unknown("not installed".to_owned()),
    };
    let Some(receipt) = known.receipts.get(step) else {
        return (LastStep::None, asked);
    };
    let health = match asked {
        // What answers may be what was there before.
        Health::Healthy if !receipt.is_good() => {
            Health::Unhealthy("its last step failed, though it answers".to_owned())
        }
        asked => asked,
    };
    let last = LastStep::Ended(ReceiptSummary {
        // -1 until the end is known; then the start is all that there is to say.
        status: Some(receipt.status).filter(|status| *status != -1),
        finished: jiff::Timestamp::from_second(receipt.finished.max(receipt.started))
            .unwrap_or_default(),
        run: receipt.stamp.run.clone(),
        operator: receipt.stamp.operator.clone(),
    });
    (last, health)
}

fn status_json(row: &StatusRow) -> serde_json::Value {
    let (health, why) = match &row.health {
        Health::Healthy => ("healthy", None),
        Health::Unhealthy(why) => ("unhealthy", Some(why)),
        Health::Unknown(why) => ("unknown", Some(why)),
    };
    let (mut receipt, mut running) = (None, None);
    match &row.last {
        LastStep::Ended(ended) => {
            receipt = Some(serde_json::json!({
                "status": ended.status,
                "finished": ended.finished,
                "run": ended.run,
                "operator": ended.operator,
            }));
        }
        LastStep::Running { since, run, by } => {
            running = Some(serde_json::json!({"since": since, "run": run, "by": by}));
        }
        LastStep::None | LastStep::Unreachable => {}
    }
    serde_json::json!({
        "step": row.step, "host": row.host, "health": health, "why": why, "receipt": receipt,
        "reached": row.last != LastStep::Unreachable, "running": running, "changes": row.changes,
    })
}

pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    outln!(
        "{}",
        serde_json::to_string(value).map_err(anyhow::Error::from)?
    );
    Ok(())
}
