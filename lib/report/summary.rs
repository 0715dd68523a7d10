//! The account of a run for its operator, with what to do next at the end, where eyes are.

use std::net::IpAddr;
use std::path::PathBuf;

use super::outcome::Outcome;
use super::plan::{changed_since, changes};
use super::table::{Tone, host_list, number, paint, printable};
use crate::plan::StepId;
use crate::run_state::{Phase, RunState, StepState, duration_words, result_words};

/// What the account needs beside the run's state.
pub struct SummaryContext<'a> {
    /// The command line that runs the same again.
    pub resume: &'a str,
    /// Where a step's log is, if it's kept.
    pub log: &'a dyn Fn(&StepId) -> Option<PathBuf>,
    /// What a failed step's output points at: lines of templates and of the cluster file.
    pub pointers: &'a dyn Fn(&StepState) -> Vec<String>,
    /// The cluster file as the operator named it.
    pub file: &'a str,
    /// Whether to use colour.
    pub colour: bool,
}

/// Writes what succeeded, was skipped, never started, couldn't be reached and failed, then how
/// the run ended and what to do next.
pub fn summary_text(state: &RunState, context: &SummaryContext<'_>) -> String {
    let mut out = String::new();
    let counts = state.counts();
    let phases = |wanted: fn(&Phase) -> Option<&str>| {
        grouped(
            state
                .steps()
                .iter()
                .filter_map(move |s| Some((wanted(&s.phase)?, s))),
        )
    };
    let succeeded = |s: &&StepState| !s.failed() && matches!(s.phase, Phase::Finished { .. });
    section(
        &mut out,
        "succeeded",
        counts.succeeded,
        Tone::Good,
        context.colour,
    );
    for line in by_step(state.steps().iter().filter(succeeded)) {
        out.push_str(&format!("  {line}\n"));
    }
    section(
        &mut out,
        "skipped",
        counts.skipped,
        Tone::Plain,
        context.colour,
    );
    out.push_str(&phases(|phase| match phase {
        Phase::Skipped { reason } => Some(reason),
        _ => None,
    }));
    section(
        &mut out,
        "not started",
        counts.not_started,
        Tone::Doubtful,
        context.colour,
    );
    out.push_str(&phases(|phase| match phase {
        Phase::NotStarted { reason } => Some(reason),
        _ => None,
    }));
    let untouched = state.untouched_hosts();
    if !untouched.is_empty() {
        let hosts = number(untouched.len(), "host");
        out.push_str(&format!(
            "  {hosts} never touched: {}\n",
            host_list(untouched)
        ));
    }
    let lost: Vec<_> = state.unreachable().collect();
    section(
        &mut out,
        "unreachable",
        lost.len(),
        Tone::Bad,
        context.colour,
    );
    for (host, kind, error) in lost {
        let mut lines = error.trim_end().lines().map(printable);
        let first = lines.next().unwrap_or_default();
        out.push_str(&format!("  {host} ({}): {first}\n", printable(kind)));
        lines.for_each(|line| out.push_str(&format!("    {line}\n")));
    }
    let open = counts.planned + counts.running;
    section(
        &mut out,
        "not known to have ended",
        open,
        Tone::Bad,
        context.colour,
    );
    for line in by_step(state.steps().iter().filter(|s| !s.ended())) {
        out.push_str(&format!("  {line}\n"));
    }
    section(&mut out, "failed", counts.failed, Tone::Bad, context.colour);
    for step in state.failed() {
        out.push_str(&failure(step, context));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&ending(state, context));
    out
}

fn section(out: &mut String, name: &str, n: usize, tone: Tone, colour: bool) {
    if n > 0 {
        out.push_str(&format!("{}: {n}\n", paint(name, tone, colour)));
    }
}

/// One line for each step name, with all its hosts.
fn by_step<'a>(steps: impl Iterator<Item = &'a StepState>) -> Vec<String> {
    let mut names: Vec<(&str, Vec<IpAddr>)> = Vec::new();
    for step in steps {
        let name = step.id.step.as_str();
        match names.iter_mut().find(|(n, _)| *n == name) {
            Some((_, hosts)) => hosts.push(step.id.host),
            None => names.push((name, vec![step.id.host])),
        }
    }
    let line = |(name, hosts)| format!("{} on {}", printable(name), host_list(hosts));
    names.into_iter().map(line).collect()
}

/// Each reason once, below it the steps that it holds for.
fn grouped<'a>(steps: impl Iterator<Item = (&'a str, &'a StepState)>) -> String {
    let mut reasons: Vec<(&str, Vec<&StepState>)> = Vec::new();
    for (reason, step) in steps {
        match reasons.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, steps)) => steps.push(step),
            None => reasons.push((reason, vec![step])),
        }
    }
    let mut out = String::new();
    for (reason, steps) in reasons {
        out.push_str(&format!("  {}\n", printable(reason)));
        for line in by_step(steps.into_iter()) {
            out.push_str(&format!("    {line}\n"));
        }
    }
    out
}

fn failure(step: &StepState, context: &SummaryContext<'_>) -> String {
    let Phase::Finished { result, took_ms } = &step.phase else {
        return String::new();
    };
    let (words, took) = (printable(&result_words(result)), duration_words(*took_ms));
    let mut out = format!("  {} {words} ({took})\n", step.id);
    for line in step.tail.lines() {
        let line = line.replace('\t', "    ");
        out.push_str(format!("    | {}", printable(&line)).trim_end());
        out.push('\n');
    }
    for line in step.logs.lines() {
        out.push_str(format!("    : {}", printable(&line.replace('\t', "    "))).trim_end());
        out.push('\n');
    }
    for change in changes(&step.decision, context.file) {
        let since = changed_since(&step.decision);
        out.push_str(&format!("    {since}: {}\n", printable(&change)));
    }
    for pointer in (context.pointers)(step) {
        out.push_str(&format!("    see {}\n", printable(&pointer)));
    }
    if let Some(path) = (context.log)(&step.id) {
        out.push_str(&format!("    all its output: {}\n", path.display()));
    }
    out
}

fn ending(state: &RunState, context: &SummaryContext<'_>) -> String {
    let Some(run) = state.run() else {
        return "nothing ran\n".to_owned();
    };
    let outcome = Outcome::of(state);
    let (words, tone, next) = match outcome {
        Outcome::Done => ("is done", Tone::Good, None),
        Outcome::Failed if !state.is_over() => (
            "has no recorded end",
            Tone::Bad,
            Some("steps may still be running on the hosts; run again to resume"),
        ),
        Outcome::Failed => (
            "failed",
            Tone::Bad,
            Some("mend the cause, then run again to resume"),
        ),
        Outcome::Unreachable => (
            "couldn't reach every host",
            Tone::Bad,
            Some("when the hosts can be reached, run again to resume"),
        ),
        Outcome::Locked => (
            "met another run",
            Tone::Bad,
            Some("when the other run is over, run again to resume"),
        ),
        Outcome::Cancelled => ("was cancelled", Tone::Doubtful, Some("run again to resume")),
    };
    let mut out = format!(
        "{} of {} {} after {} (run {})\n",
        printable(&run.operation),
        printable(&run.cluster),
        paint(words, tone, context.colour),
        duration_words(state.now_ms()),
        printable(&run.id),
    );
    if let Some(next) = next {
        out.push_str(&format!("{next}: {}\n", context.resume));
    }
    out
}
