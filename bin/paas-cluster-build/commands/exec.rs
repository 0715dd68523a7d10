//! `exec`: one command on the selected hosts.

use paas_cluster_build::engine::Limits;
use paas_cluster_build::operation;
use paas_cluster_build::report::{ExecEnd, ExecResult, exec_text};

use crate::args::{Common, Output};
use crate::conductor::{Conductor, Survey, describe};
use crate::exit::{Exit, Failure};
use crate::show::colour;
use crate::workspace::Workspace;

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
    let survey = Survey {
        facts: Default::default(),
        secrets: Default::default(),
    };
    let plan = conductor.plan(&operation, &survey, false)?;
    let outcome = conductor.ask(&plan)?;

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
            let why = why.unwrap_or_else(|| "it wasn't asked".to_owned());
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
            anstream::println!("{line}");
        }
    } else {
        anstream::print!("{}", exec_text(&results, colour()));
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
