//! Plans: shown, compared, kept, and carried out as they were kept.

use std::fs;
use std::io::Write;
use std::path::Path;

use paas_cluster_build::engine::Limits;
use paas_cluster_build::operation;
use paas_cluster_build::plan::{Facts, HostState, Plan, SavedPlan, differences, edits, leftovers};
use paas_cluster_build::report;

use super::build::{Converge, not_ready, ready, resume_line};
use super::look::print_json;
use crate::args::{ApplyArgs, Common, Output, PlanArgs};
use crate::conductor::{Conductor, Survey, state_dir};
use crate::confirm::{Harm, confirm, planned};
use crate::exit::{Exit, Failure};
use crate::inventory;
use crate::show::colour;
use crate::workspace::Workspace;

/// `plan`: what a build would run where, and why.
pub fn plan(common: &Common, args: &PlanArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&args.components, &args.limit.limit)?;
    let operation = operation::build(&workspace.cluster, &selection);
    let limits = Limits::with_forks(args.forks.forks);
    let conductor = Conductor::new(&workspace, common, limits)?;
    if args.offline {
        let plan = conductor.rehearse(&operation, &selection)?;
        show(common, &plan)?;
        warn_release(&workspace, &selection);
        return Ok(Exit::Done);
    }
    let survey = conductor.survey(&selection)?;
    let plan = conductor.plan(&operation, &survey, args.force)?;
    show(common, &plan)?;
    if common.output != Output::Json {
        if args.diff {
            let differences = differences(&plan, &survey.facts);
            anstream::print!("\n{}", report::diff_text(&differences, colour()));
            anstream::print!("\n{}", report::edits_text(&edits(&plan)));
        }
        tell_leftovers(common, &workspace, &survey.facts);
        warn_release(&workspace, &selection);
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
        anstream::eprintln!(
            "kept in {}; carry it out with: paas-cluster-build -c {} apply {}",
            path.display(),
            common.config.display(),
            path.display()
        );
    }
    Ok(Exit::Done)
}

fn show(common: &Common, plan: &Plan) -> Result<(), Failure> {
    let steps = planned(plan);
    if common.output == Output::Json {
        for step in &steps {
            print_json(step)?;
        }
    } else {
        let file = common.config.display().to_string();
        anstream::print!("{}", report::plan_text(&steps, &file, colour()));
    }
    Ok(())
}

fn warn_release(workspace: &Workspace, selection: &paas_cluster_build::model::Selection) {
    if let Err(failure) = workspace.require_release(selection) {
        anstream::eprintln!("\nwarning: {}", failure.message);
    }
}

/// Names what is on hosts and not in the file. Nothing is done about it.
pub fn tell_leftovers(common: &Common, workspace: &Workspace, facts: &Facts) {
    for (host, step) in leftovers(&workspace.cluster, facts) {
        let step = report::printable(&step);
        anstream::eprintln!(
            "left over: {step} on {host}: the file no longer puts it there, and nothing is done \
             about it; `remove {step} --limit {host}` takes it down"
        );
    }
    let Ok(state) = state_dir(common) else {
        return;
    };
    for (host, components) in inventory::gone(&state, &workspace.cluster) {
        let components = components.join(", ");
        anstream::eprintln!(
            "no longer in the file: {host} ({components}); nothing is done there. To take it down, \
             put it back and `remove {host}`"
        );
    }
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
    write().map_err(|error| Failure::usage(format!("{} can't be written: {error}", path.display())))
}

/// `apply`: carries out a kept plan, if everything is still as it was when it was made.
pub fn apply(common: &Common, args: &ApplyArgs) -> Result<Exit, Failure> {
    let path = args.plan.display();
    let text = fs::read_to_string(&args.plan)
        .map_err(|error| Failure::usage(format!("{path} can't be read: {error}")))?;
    let saved = SavedPlan::parse(&text)
        .map_err(|why| Failure::usage(format!("{path} isn't a plan: {why}")))?;
    let workspace = Workspace::load(common)?;
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
            Exit::Failed,
            format!(
                "{path} was made from another state; nothing was changed\n{list}help: make the plan \
                 again, and look at it\n"
            ),
        ))
    };
    let (survey, plan) = loop {
        let survey = conductor.survey(&selection)?;
        let plan = conductor.plan(&operation, &survey, saved.force)?;
        if !conductor.must_wait(&plan, &survey)? {
            break (survey, plan);
        }
    };
    same(&survey, &plan)?;
    if let Some(findings) = ready(&workspace, &selection, &survey.facts) {
        return Err(not_ready(&findings));
    }
    let file = common.config.display().to_string();
    confirm(&conductor, &plan, &file, args.options.yes, Harm::None)?;
    let converge = Converge {
        common,
        workspace: &workspace,
        selection: &selection,
    };
    converge.run(&conductor, &plan, &resume_line())
}
