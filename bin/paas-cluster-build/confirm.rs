//! The question before hosts are changed.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::thread;

use paas_cluster_build::event::PlannedStep;
use paas_cluster_build::plan::{Decision, Mode, Plan};
use paas_cluster_build::report::{self, Look};

use crate::commands::build::resume_line;
use crate::conductor::Conductor;
use crate::exit::{Exit, Failure};
use crate::say;
use crate::show::colour;

/// What a run means for what is on the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It makes things so as the file says.
    None,
    /// It takes things away.
    Destructive,
}

/// Shows what of the plan would run, and asks. Off a terminal nobody can answer, so `--yes` is
/// needed wherever anything runs.
pub fn confirm(
    conductor: &Conductor<'_>,
    plan: &Plan,
    file: &str,
    yes: bool,
    harm: Harm,
) -> Result<(), Failure> {
    // What can't be kept isn't begun, and isn't asked about either.
    conductor.state_dir()?;
    let (steps, hosts) = size(plan);
    if yes || steps == 0 {
        return Ok(());
    }
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(nobody_to_ask(steps, hosts, harm));
    }
    let look = Look {
        colour: colour(),
        width: say::error_width(),
    };
    err!("{}", report::changes_text(&planned(plan), file, look));
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own, which a Ctrl-C leaves behind: reading can't be interrupted.
    thread::spawn(move || {
        let question = question(steps, hosts, harm);
        let _ = tell.send(ask(&question, &mut stdin().lock(), &mut stderr()));
    });
    conductor.unless_interrupted(async {
        match told.await {
            Ok(answer) => answer,
            Err(_) => Err(no()),
        }
    })
}

/// Asks whether a number of receipts is to be written; off a terminal `--yes` is needed.
pub fn agree(conductor: &Conductor<'_>, receipts: usize, yes: bool) -> Result<(), Failure> {
    conductor.state_dir()?;
    if yes || receipts == 0 {
        return Ok(());
    }
    let receipts = count(receipts, "receipt");
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(Failure::usage(format!(
            "{receipts} would be written, and there is no terminal to ask on; nothing was changed\n\
             help: add --yes if that is meant: {}",
            with_yes(&resume_line())
        )));
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own, which a Ctrl-C leaves behind: reading can't be interrupted.
    thread::spawn(move || {
        let question = format!("write {receipts}?");
        let _ = tell.send(ask(&question, &mut stdin().lock(), &mut stderr()));
    });
    conductor.unless_interrupted(async {
        match told.await {
            Ok(answer) => answer,
            Err(_) => Err(no()),
        }
    })
}

fn nobody_to_ask(steps: usize, hosts: usize, harm: Harm) -> Failure {
    let (steps, hosts) = (count(steps, "step"), count(hosts, "host"));
    let warning = warning(harm);
    Failure::usage(format!(
        "{steps} would run on {hosts}{warning}, and there is no terminal to ask on; nothing was \
         changed\nhelp: add --yes if that is meant: {}",
        with_yes(&resume_line())
    ))
}

/// The command line as it was typed, with `--yes` where options may stand.
fn with_yes(line: &str) -> String {
    match line.split_once(" -- ") {
        Some((before, after)) => format!("{before} --yes -- {after}"),
        None => format!("{line} --yes"),
    }
}

fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn warning(harm: Harm) -> &'static str {
    match harm {
        Harm::None => "",
        Harm::Destructive => " (this takes things away)",
    }
}

fn no() -> Failure {
    Failure::new(Exit::Cancelled, "not confirmed; nothing was changed")
}

fn question(steps: usize, hosts: usize, harm: Harm) -> String {
    let (steps, hosts) = (count(steps, "step"), count(hosts, "host"));
    format!("run {steps} on {hosts}{}?", warning(harm))
}

/// Asks once; anything but a yes is a no.
fn ask(question: &str, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), Failure> {
    write!(output, "{question} [y/N] ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(no()),
    }
}

/// How many steps of the plan run, on how many hosts.
fn size(plan: &Plan) -> (usize, usize) {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let running = steps.filter(|step| {
        matches!(step.decision, Decision::Run(_)) && !matches!(step.mode, Mode::Follow { .. })
    });
    let hosts: Vec<_> = running.map(|step| step.id.host).collect();
    (hosts.len(), hosts.iter().collect::<BTreeSet<_>>().len())
}

/// The plan's steps as they are shown.
pub fn planned(plan: &Plan) -> Vec<PlannedStep> {
    let stages = plan.stages.iter();
    let steps = stages.flat_map(|stage| stage.steps.iter().map(move |step| (&stage.name, step)));
    steps
        .map(|(stage, step)| PlannedStep {
            stage: stage.clone(),
            id: step.id.clone(),
            decision: step.decision.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> (bool, String) {
        let mut said = Vec::new();
        let answer = ask(
            &question(1, 2, Harm::Destructive),
            &mut text.as_bytes(),
            &mut said,
        );
        (answer.is_ok(), String::from_utf8(said).unwrap())
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Yes\n", " y \n"] {
            assert!(answered(yes).0, "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yep\n", "y y\n"] {
            assert!(!answered(no).0, "{no:?}");
        }
        let question = answered("y\n").1;
        assert_eq!(
            question,
            "run 1 step on 2 hosts (this takes things away)? [y/N] "
        );
    }
}
