//! What changes hosts: build, bootstrap, start, stop, restart.

use paas_cluster_build::job::Action;
use paas_cluster_build::journal::write_error_words;
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, Operation};
use paas_cluster_build::plan::{Decision, Facts, Finding, Plan, preflight};

use super::plan::tell_leftovers;
use crate::args::{BuildArgs, Common, ControlArgs, Output, RunArgs};
use crate::conductor::Conductor;
use crate::confirm::{Harm, confirm};
use crate::consent::consent;
use crate::exit::{Exit, Failure};
use crate::inventory;
use crate::state::state_dir;
use crate::workspace::Workspace;

/// `build`: machines first, then component after component.
pub fn build(common: &Common, args: &BuildArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    workspace.read_by_shells()?;
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
    let conductor = Conductor::new(workspace, common, args.options.limits())?;
    let conductor = conductor.with_deadline(args.options.patience.timeout);
    let conductor = conductor.below_min_up(args.options.below_min_up);
    conductor.rehearse(operation, selection)?;
    let (mut survey, plan) = loop {
        let survey = conductor.survey_for(operation, selection)?;
        if let Some(findings) = ready(workspace, selection, &survey.facts) {
            return Err(not_ready(&findings));
        }
        survey.found.check()?;
        let plan = conductor.plan(operation, &survey, force)?;
        if !conductor.must_wait(&plan, &survey)? && !consent(&conductor, &plan, &survey)? {
            break (survey, plan);
        }
    };
    if common.output != Output::Json {
        tell_leftovers(common, workspace, &survey.facts);
    }
    let file = common.config.display().to_string();
    confirm(&conductor, &plan, &file, args.options.yes, Harm::None)?;
    let plan = conductor.settle(operation, selection, &mut survey, plan, force)?;
    let converge = Converge {
        common,
        workspace,
        selection,
    };
    converge.run(&conductor, &plan, &resume_line())
}

/// What a run that builds remembers besides its journal.
pub struct Converge<'a> {
    pub common: &'a Common,
    pub workspace: &'a Workspace,
    pub selection: &'a Selection,
}

impl Converge<'_> {
    /// Runs the plan; its hosts are remembered even if it fails, since they were touched.
    pub fn run(
        &self,
        conductor: &Conductor<'_>,
        plan: &Plan,
        resume: &str,
    ) -> Result<Exit, Failure> {
        let state = state_dir(self.common, self.workspace)?;
        if let Err(error) = inventory::remember(&state, &self.workspace.cluster, self.selection) {
            errln!(
                "warning: the hosts can't be remembered: {}",
                write_error_words(&error)
            );
        }
        conductor.run(plan, resume)
    }
}

/// Everything that stands in the way, if anything does.
pub fn ready(workspace: &Workspace, selection: &Selection, facts: &Facts) -> Option<Vec<Finding>> {
    let findings = preflight(&workspace.cluster, selection, &workspace.jobs, facts);
    (!findings.is_empty()).then_some(findings)
}

/// `start`, `stop`, `restart`.
pub fn control(common: &Common, args: &ControlArgs, action: Action) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&args.components, &args.run.limit.limit)?;
    let operation = operation::control(&workspace.cluster, &selection, action);
    let conductor = Conductor::new(&workspace, common, args.run.options.limits())?;
    let conductor = conductor.with_deadline(args.run.options.patience.timeout);
    let conductor = conductor.below_min_up(args.run.options.below_min_up);
    conductor.rehearse(&operation, &selection)?;
    let plan = loop {
        let survey = conductor.survey(&selection)?;
        let plan = conductor.plan(&operation, &survey, false)?;
        if !conductor.must_wait(&plan, &survey)? && !consent(&conductor, &plan, &survey)? {
            break plan;
        }
    };
    let file = common.config.display().to_string();
    confirm(&conductor, &plan, &file, args.run.options.yes, Harm::None)?;
    if !runs_anything(&plan) {
        errln!("nothing of this is installed; `build` installs it");
    }
    conductor.run(&plan, &resume_line())
}

/// Every problem of every host, before anything was changed on any.
pub fn not_ready(findings: &[Finding]) -> Failure {
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
