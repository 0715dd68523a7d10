//! Plans: shown, compared, kept, and carried out as they were kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use paas_cluster_build::engine::Limits;
use paas_cluster_build::event::PlannedStep;
use paas_cluster_build::operation;
use paas_cluster_build::plan::{
    Decision, Facts, HostState, Plan, SavedPlan, differences, edits, leftovers, of_others,
};
use paas_cluster_build::report;
use serde_json::json;

use super::build::{Converge, not_ready, ready, resume_line};
use super::look::print_json;
use crate::args::{ApplyArgs, Common, Output, PlanArgs};
use crate::conductor::Conductor;
use crate::confirm::{Harm, confirm, planned};
use crate::consent::consent;
use crate::exit::{Exit, Failure};
use crate::inventory;
use crate::show::{colour, look};
use crate::state::{state_dir, told_apart};
use crate::survey::Survey;
use crate::workspace::Workspace;

/// `plan`: what a build would run where, and why.
pub fn plan(common: &Common, args: &PlanArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    workspace.read_by_shells()?;
    let selection = workspace.select(&args.components, &args.limit.limit)?;
    let operation = operation::build(&workspace.cluster, &selection);
    let limits = Limits::with_forks(args.forks.forks);
    let conductor = Conductor::new(&workspace, common, limits)?;
    if args.offline {
        let plan = conductor.rehearse(&operation, &selection)?;
        show(common, args, &plan)?;
        warn_release(&workspace, &selection);
        note_secrets(common, &workspace)?;
        return Ok(verdict(args, &plan));
    }
    let survey = conductor.survey_for(&operation, &selection)?;
    let plan = conductor.plan(&operation, &survey, args.force)?;
    show(common, args, &plan)?;
    if common.output != Output::Json {
        if args.diff {
            let differences = differences(&plan, &survey.facts);
            out!("\n{}", report::diff_text(&differences, colour()));
            out!("\n{}", report::edits_text(&edits(&plan)));
        }
        tell_leftovers(common, &workspace, &survey.facts);
        warn_release(&workspace, &selection);
        note_secrets(common, &workspace)?;
    }
    for why in survey.found.refused.values() {
        errln!(
            "warning: {why}\nsteps that use this secret are shown as if it had changed, and a build is \
             refused"
        );
    }
    let unreachable = unreachable(&survey.facts);
    if !unreachable.is_empty() {
        return Err(Failure::new(Exit::Unreachable, unreachable.join("\n")));
    }
    if let Some(path) = &args.out {
        let saved = SavedPlan {
            components: args.components.clone(),
            limits: args.limit.limit.clone(),
            force: args.force,
            ..SavedPlan::new(&plan, &survey.facts, common.config.clone())
        };
        save(path, &saved)?;
        errln!(
            "kept in {}; carry it out with: paas-cluster-build -c {} apply {}",
            path.display(),
            common.config.display(),
            path.display()
        );
    }
    Ok(verdict(args, &plan))
}

/// What a plan means for a script that asked.
fn verdict(args: &PlanArgs, plan: &Plan) -> Exit {
    match planned(plan).iter().any(runs) {
        true if args.exit_code => Exit::Changes,
        _ => Exit::Done,
    }
}

fn runs(step: &PlannedStep) -> bool {
    matches!(step.decision, Decision::Run(_))
}

fn show(common: &Common, args: &PlanArgs, plan: &Plan) -> Result<(), Failure> {
    let steps = planned(plan);
    if common.output == Output::Json {
        for step in steps.iter().filter(|step| !args.changes || runs(step)) {
            print_json(step)?;
        }
        let to_run = steps.iter().filter(|step| runs(step)).count();
        return print_json(&json!({"summary": {
            "cluster": plan.cluster,
            "operation": plan.operation,
            "steps": steps.len(),
            "to_run": to_run,
            "to_skip": steps.len() - to_run,
        }}));
    }
    let file = common.config.display().to_string();
    let text = match args.changes {
        true => report::changes_text(&steps, &file, look()),
        false => report::plan_text(&steps, &file, look()),
    };
    out!("{text}");
    Ok(())
}

fn warn_release(workspace: &Workspace, selection: &paas_cluster_build::model::Selection) {
    if let Err(failure) = workspace.require_release(selection) {
        errln!("\nwarning: {}", failure.message);
    }
}

/// Says that secrets stay as the release has them, where that isn't a program's answer.
fn note_secrets(common: &Common, workspace: &Workspace) -> Result<(), Failure> {
    if common.output != Output::Json
        && let Some(note) = report::default_secrets_note(&workspace.staying_secrets()?)
    {
        errln!("note: {note}");
    }
    Ok(())
}

/// Names what is on hosts and not in the file. Nothing is done about it.
pub fn tell_leftovers(common: &Common, workspace: &Workspace, facts: &Facts) {
    for (host, step) in leftovers(&workspace.cluster, facts) {
        let step = report::printable(&step);
        errln!(
            "left over: {step} on {host}: the file no longer puts it there, and nothing is done \
             about it; `remove {step} --limit {host}` takes it down"
        );
    }
    for ((cluster, host), steps) in of_others(facts) {
        let steps: Vec<String> = steps.iter().map(|step| report::printable(step)).collect();
        let cluster = report::printable(&cluster);
        errln!(
            "also on {host}: {} of the cluster {cluster}; nothing is done about it",
            steps.join(", ")
        );
    }
    let Ok(state) = state_dir(common, workspace) else {
        return;
    };
    if let Some(words) = told_apart(&state, &workspace.cluster) {
        errln!("note: {words}");
    }
    for (host, components) in gone(&state, workspace, facts) {
        let components: Vec<String> = components.iter().map(|c| report::printable(c)).collect();
        let components = components.join(", ");
        errln!(
            "no longer in the file: {host} ({components}); nothing is done there. To take it down, \
             put it back and `remove {host}`"
        );
    }
}

/// The hosts of earlier runs that the file no longer has: those that this machine knows, and those
/// that the other hosts know, whose word is the newer one.
fn gone(state: &Path, workspace: &Workspace, facts: &Facts) -> BTreeMap<IpAddr, Vec<String>> {
    let cluster = &workspace.cluster;
    let mut gone: BTreeMap<IpAddr, Vec<String>> =
        inventory::gone(state, cluster).into_iter().collect();
    if let Some(belonging) = &facts.belonging {
        gone.retain(|host, _| !belonging.members.contains_key(host));
        gone.extend(belonging.gone(cluster));
    }
    gone
}

fn unreachable(facts: &Facts) -> Vec<String> {
    let line = |(host, state): (&std::net::IpAddr, &HostState)| match state {
        HostState::Unknown { why, .. } => Some(format!("{host}: {why}")),
        HostState::Known(_) => None,
    };
    facts.hosts.iter().filter_map(line).collect()
}

/// Writes a plan: whole or not at all, for its owner only.
fn save(path: &Path, plan: &SavedPlan) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, plan)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| Failure::unwritable(path, &error))
}

/// `apply`: carries out a kept plan, if everything is still as it was when it was made.
pub fn apply(common: &Common, args: &ApplyArgs) -> Result<Exit, Failure> {
    let path = args.plan.display();
    let text = fs::read_to_string(&args.plan)
        .map_err(|error| Failure::usage(format!("{path} can't be read: {error}")))?;
    let saved = SavedPlan::parse(&text)
        .map_err(|why| Failure::usage(format!("{path} isn't a plan: {why}")))?;
    let workspace = Workspace::load(common)?;
    workspace.read_by_shells()?;
    if saved.cluster != workspace.cluster.name {
        return Err(Failure::usage(format!(
            "{path} is a plan of the cluster {}, and {} describes {}",
            saved.cluster,
            common.config.display(),
            workspace.cluster.name
        )));
    }
    let selection = workspace.select(&saved.components, &saved.limits)?;
    let operation = operation::build(&workspace.cluster, &selection);
    let conductor = Conductor::new(&workspace, common, args.options.limits())?;
    let conductor = conductor.with_deadline(args.options.patience.timeout);
    let conductor = conductor.below_min_up(args.options.below_min_up);
    conductor.rehearse(&operation, &selection)?;
    let same = |survey: &Survey, plan: &Plan| {
        let now = SavedPlan::new(plan, &survey.facts, common.config.clone());
        let differences = saved.differences(&now);
        if differences.is_empty() {
            return Ok(());
        }
        let list: String = differences.iter().map(|d| format!("  {d}\n")).collect();
        Err(Failure::new(
            Exit::Stale,
            format!(
                "{path} was made from another state; nothing was changed\n{list}help: make the plan \
                 again, and look at it\n"
            ),
        ))
    };
    let (mut survey, plan) = loop {
        let survey = conductor.survey_for(&operation, &selection)?;
        let plan = conductor.plan(&operation, &survey, saved.force)?;
        if !conductor.must_wait(&plan, &survey)? && !consent(&conductor, &plan, &survey)? {
            break (survey, plan);
        }
    };
    same(&survey, &plan)?;
    if let Some(findings) = ready(&workspace, &selection, &survey.facts) {
        return Err(not_ready(&findings));
    }
    let file = common.config.display().to_string();
    survey.found.check()?;
    confirm(&conductor, &plan, &file, args.options.yes, Harm::None)?;
    let plan = conductor.settle(&operation, &selection, &mut survey, plan, saved.force)?;
    let converge = Converge {
        common,
        workspace: &workspace,
        selection: &selection,
    };
    converge.run(&conductor, &plan, &resume_line())
}
