//! What changes hosts: build, bootstrap, start, stop, restart.

use paas_cluster_build::job::Action;
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, Operation};
use paas_cluster_build::plan::{Decision, Finding, Plan, preflight};

use crate::args::{BuildArgs, Common, ControlArgs, RunArgs};
use crate::conductor::Conductor;
use crate::exit::{Exit, Failure};
use crate::workspace::Workspace;

/// `build`: machines first, then component after component.
pub fn build(common: &Common, args: &BuildArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&args.components, &args.run.limit.limit)?;
    workspace.require_release(&selection)?;
    let operation = operation::build(&workspace.cluster, &selection);
    converge(
        &workspace, common, &args.run, args.force, &selection, &operation,
    )
}

/// `bootstrap`: machines only.
pub fn bootstrap(common: &Common, run: &RunArgs, force: bool) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&[], &run.limit.limit)?;
    workspace.require_release(&selection)?;
    let operation = operation::bootstrap(&workspace.cluster, &selection);
    converge(&workspace, common, run, force, &selection, &operation)
}

fn converge(
    workspace: &Workspace,
    common: &Common,
    args: &RunArgs,
    force: bool,
    selection: &Selection,
    operation: &Operation,
) -> Result<Exit, Failure> {
    let conductor = Conductor::new(workspace, common, args.limits())?;
    let conductor = conductor.with_deadline(args.patience.timeout);
    conductor.rehearse(operation, selection)?;
    let plan = loop {
        let survey = conductor.survey(selection)?;
        let findings = preflight(
            &workspace.cluster,
            selection,
            &workspace.jobs,
            &survey.facts,
        );
        if !findings.is_empty() {
            return Err(not_ready(&findings));
        }
        let plan = conductor.plan(operation, &survey, force)?;
        if !conductor.must_wait(&plan, &survey)? {
            break plan;
        }
    };
    conductor.run(&plan, &resume_line())
}

/// `start`, `stop`, `restart`.
pub fn control(common: &Common, args: &ControlArgs, action: Action) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&args.components, &args.run.limit.limit)?;
    let operation = operation::control(&workspace.cluster, &selection, action);
    let conductor = Conductor::new(&workspace, common, args.run.limits())?;
    let conductor = conductor.with_deadline(args.run.patience.timeout);
    conductor.rehearse(&operation, &selection)?;
    let plan = loop {
        let survey = conductor.survey(&selection)?;
        let plan = conductor.plan(&operation, &survey, false)?;
        if !conductor.must_wait(&plan, &survey)? {
            break plan;
        }
    };
    if !runs_anything(&plan) {
        anstream::eprintln!("nothing of this is installed; `build` installs it");
    }
    conductor.run(&plan, &resume_line())
}

/// Every problem of every host, before anything was changed on any.
fn not_ready(findings: &[Finding]) -> Failure {
    let mut message = String::from("the hosts aren't ready; nothing was changed\n");
    for (host, of_host) in paas_cluster_build::plan::by_host(findings) {
        message.push_str(&format!("  {host}\n"));
        for finding in of_host {
            message.push_str(&format!("    {}\n", finding.problem));
        }
    }
    let unreachable = findings.iter().any(|finding| finding.unreachable);
    if unreachable {
        message.push_str("help: to go on without a host, narrow the run with --limit\n");
    }
    Failure::new(
        if unreachable {
            Exit::Unreachable
        } else {
            Exit::Failed
        },
        message,
    )
}

fn runs_anything(plan: &Plan) -> bool {
    let mut steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    steps.any(|step| matches!(step.decision, Decision::Run(_)))
}

/// The command line as it was typed: running it again is how to resume.
pub fn resume_line() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    shell_words::join(std::iter::once(name).chain(words))
}
