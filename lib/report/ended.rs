//! A run that is over, as its hosts remember it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::fit::Look;
use super::table::{Cell, Tone, printable, table};
use crate::plan::{HostRunState, StepId};
use crate::run_state::duration_words;

/// One step of a run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedStep {
    /// Which.
    pub id: StepId,
    /// When it was sent, by its operator's clock.
    pub started: Option<Timestamp>,
    /// When it ended, by its host's clock.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub state: HostRunState,
    /// What it printed.
    pub output: String,
}

/// Writes each step's output and then all of them as a table, with times in `zone`.
pub fn ended_run_text(steps: &[EndedStep], zone: &TimeZone, look: impl Into<Look>) -> String {
    let mut out = String::new();
    for step in steps.iter().filter(|step| !step.output.trim().is_empty()) {
        out.push_str(&format!("{}\n", printable(&step.id.to_string())));
        for line in step.output.lines() {
            let line = printable(&line.replace('\t', "    "));
            out.push_str(format!("  | {line}").trim_end());
            out.push('\n');
        }
    }
    let time = |time: Option<Timestamp>| match time {
        Some(time) => time
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        None => "-".to_owned(),
    };
    let row = |step: &EndedStep| {
        let (words, tone) = end_words(step);
        [
            Cell::plain(&step.id.step),
            Cell::plain(step.id.host.to_string()),
            Cell::plain(time(step.started)),
            Cell::plain(time(step.ended)),
            Cell::new(&words, tone),
        ]
    };
    let rows: Vec<_> = steps.iter().map(row).collect();
    out.push_str(&table(
        ["STEP", "HOST", "STARTED", "ENDED", "HOW"],
        &rows,
        look.into(),
    ));
    out
}

/// One step of a run that is over, for programs.
pub fn ended_step_json(run: &str, step: &EndedStep) -> Value {
    let status = match step.state {
        HostRunState::Ended(status) => Some(status),
        _ => None,
    };
    json!({
        "run": run, "step": step.id.step, "host": step.id.host, "started": step.started,
        "ended": step.ended, "state": end_words(step).0, "status": status, "output": step.output,
    })
}

fn end_words(step: &EndedStep) -> (String, Tone) {
    let took = match (step.started, step.ended) {
        (Some(from), Some(to)) if to >= from => {
            let took = to.duration_since(from).as_millis();
            format!(" ({})", duration_words(u64::try_from(took).unwrap_or(0)))
        }
        _ => String::new(),
    };
    let (words, tone) = match step.state {
        HostRunState::Ended(0) => ("succeeded".to_owned(), Tone::Good),
        HostRunState::Ended(status) => (format!("failed with exit status {status}"), Tone::Bad),
        HostRunState::Stopped => ("was ended".to_owned(), Tone::Bad),
        HostRunState::Running => ("runs".to_owned(), Tone::Doubtful),
        HostRunState::Unknown => ("ended, nobody wrote down how".to_owned(), Tone::Bad),
    };
    (words + &took, tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_shown_with_its_own_times() {
        let step = |name: &str, state, output: &str| EndedStep {
            id: StepId {
                step: name.to_owned(),
                host: "10.0.0.1".parse().unwrap(),
            },
            started: "2026-11-21T01:02:03Z".parse().ok(),
            ended: "2026-11-21T01:02:45Z".parse().ok(),
            state,
            output: output.to_owned(),
        };
        let steps = [
            step("nats", HostRunState::Ended(0), "one\ntwo\u{1b}\n"),
            step("uaa", HostRunState::Stopped, ""),
        ];
        insta::assert_snapshot!(ended_run_text(&steps, &TimeZone::UTC, false));
    }
}
