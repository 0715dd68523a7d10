//! `exec`: one command on the selected hosts.

use std::net::IpAddr;

use paas_cluster_build::engine::Limits;
use paas_cluster_build::operation;
use paas_cluster_build::plan::{MACHINE, Mode, Plan, Reason, Stage, Step, StepId};
use paas_cluster_build::report::{ExecEnd, ExecResult, exec_text};

use crate::args::{Common, Output};
use crate::conductor::{Conductor, describe};
use crate::exit::{Exit, Failure};
use crate::show::look;
use crate::survey::{Survey, facts_of};
use crate::workspace::Workspace;

/// Says where the words of an `exec` belong that stand before its `--`, or that are missing.
pub fn check_words(words: &[String], command: &[String]) -> Result<(), Failure> {
    match (words, command) {
        ([], [_, ..]) => Ok(()),
        ([], []) => Err(Failure::usage(
            "exec needs a command line after `--`\nhelp: paas-cluster-build exec -- uptime",
        )),
        (words, []) => Err(Failure::usage(format!(
            "the command line of exec stands after `--`\n\
             help: paas-cluster-build exec -- {}",
            shell_words::join(words)
        ))),
        (words, command) => {
            let limits = words.iter().map(|word| format!("--limit {word} "));
            Err(Failure::usage(format!(
                "exec takes no components or hosts before `--`\n\
                 help: paas-cluster-build exec {}-- {}",
                limits.collect::<String>(),
                shell_words::join(command)
            )))
        }
    }
}

/// Runs a command line on every selected host, and shows equal outputs together.
pub fn exec(
    common: &Common,
    limits: &[String],
    forks: u16,
    as_root: bool,
    command: &[String],
) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&[], limits)?;
    // One word is a command line for the hosts' shell; several are quoted, as they were here.
    let typed = match command {
        [line] => line.clone(),
        words => shell_words::join(words),
    };
    let conductor = Conductor::new(&workspace, common, Limits::with_forks(forks))?;
    let operation = operation::exec(&workspace.cluster, &selection, &typed, as_root);
    let survey = Survey::blind(Default::default());
    let plan = conductor.plan(&operation, &survey, false)?;
    tell_machines(&conductor, &plan)?;
    let outcome = conductor.ask_and_note(&plan)?;

    let mut results = Vec::new();
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        let (end, output) = if let Some(answer) = outcome.outputs.get(&step.id) {
            (ExecEnd::Exited(answer.status), answer.text.clone())
        } else if let Some(unreachable) = outcome.unreachable.get(&step.id.host) {
            (
                ExecEnd::Unreachable(unreachable.error.clone()),
                String::new(),
            )
        } else {
            let why = outcome.results.get(&step.id).map(describe);
            let why = why.unwrap_or_else(|| "the connection was lost".to_owned());
            (ExecEnd::Unreachable(why), String::new())
        };
        results.push(ExecResult {
            host: step.id.host,
            end,
            output,
        });
    }
    if common.output == Output::Json {
        for result in &results {
            let (status, error) = match &result.end {
                ExecEnd::Exited(status) => (Some(*status), None),
                ExecEnd::Unreachable(why) => (None, Some(why)),
            };
            let line = serde_json::json!({
                "host": result.host, "status": status, "error": error, "output": result.output,
            });
            outln!("{line}");
        }
    } else {
        out!("{}", exec_text(&results, look()));
    }
    if let Some(host) = denied(&workspace, &results).filter(|_| !as_root) {
        errln!(
            "help: {host} denied that to its login user; as root: paas-cluster-build exec --root -- …"
        );
    }
    let ended = |wanted: fn(&ExecEnd) -> bool| results.iter().any(|result| wanted(&result.end));
    Ok(
        if ended(|end| matches!(end, ExecEnd::Exited(status) if *status != 0)) {
            Exit::Failed
        } else if ended(|end| matches!(end, ExecEnd::Unreachable(_))) {
            Exit::Unreachable
        } else {
            Exit::Done
        },
    )
}

/// A command that would run twice on one machine runs nowhere; where there is one host, nothing is
/// asked.
fn tell_machines(conductor: &Conductor<'_>, plan: &Plan) -> Result<(), Failure> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let questions: Vec<Step> = steps.map(|step| question(&step.id)).collect();
    if questions.len() < 2 {
        return Ok(());
    }
    let facts = facts_of(conductor.ask(&Plan {
        cluster: plan.cluster.clone(),
        operation: "machines".to_owned(),
        stages: vec![Stage::unlimited("machines", questions)],
    })?);
    conductor.tell_machines(&facts, true)
}

fn question(of: &StepId) -> Step {
    let id = StepId {
        step: "machine".to_owned(),
        host: of.host,
    };
    let what = "exec".to_owned();
    Step {
        script: MACHINE.to_owned(),
        ..Step::without_script(id, Mode::Query, Reason::Asked { what })
    }
}

/// Finds a host on which the command failed for want of root's rights.
fn denied(workspace: &Workspace, results: &[ExecResult]) -> Option<IpAddr> {
    const WORDS: [&str; 5] = [
        "permission denied",
        "operation not permitted",
        "access denied",
        "must be root",
        "are you root",
    ];
    let is_denied = |result: &&ExecResult| {
        let said = result.output.to_lowercase();
        matches!(result.end, ExecEnd::Exited(status) if status != 0)
            && WORDS.iter().any(|words| said.contains(words))
    };
    let is_root = |host: IpAddr| {
        let host = workspace.cluster.host(host);
        host.is_some_and(|host| host.ssh.user == "root")
    };
    let mut denied = results.iter().filter(is_denied).map(|result| result.host);
    denied.find(|host| !is_root(*host))
}
