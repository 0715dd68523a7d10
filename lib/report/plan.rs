//! A plan as text: what would run where, and why.

use super::fit::Look;
use super::table::{Cell, Tone, number, printable, table};
use crate::event::PlannedStep;
use crate::plan::{Decision, Reason};

/// How many characters of a value are shown.
const VALUE_CHARS: usize = 60;

/// Below so many columns, a plan does without its stages where they have their steps' names.
const NARROW: usize = 120;

/// Writes a plan as a table with each step's reasons and the totals. `file` is the cluster file
/// as the operator named it, for the places of values.
pub fn plan_text(steps: &[PlannedStep], file: &str, look: impl Into<Look>) -> String {
    let totals = format!("{}\n", totals(steps));
    if steps.is_empty() {
        return totals;
    }
    let all: Vec<&PlannedStep> = steps.iter().collect();
    format!("{}\n{totals}", plan_table(&all, file, look.into()))
}

/// Writes of a plan what would run, as [`plan_text`] does, and of the rest how many there are.
pub fn changes_text(steps: &[PlannedStep], file: &str, look: impl Into<Look>) -> String {
    let running: Vec<&PlannedStep> = steps.iter().filter(|step| runs(step)).collect();
    let hidden = match steps.len() - running.len() {
        0 => String::new(),
        n => format!(" (the {} aren't shown)", number(n, "skipped step")),
    };
    let totals = format!("{}{hidden}\n", totals(steps));
    if running.is_empty() {
        return totals;
    }
    format!("{}\n{totals}", plan_table(&running, file, look.into()))
}

fn runs(step: &PlannedStep) -> bool {
    matches!(step.decision, Decision::Run(_))
}

fn totals(steps: &[PlannedStep]) -> String {
    let to_run = steps.iter().filter(|step| runs(step)).count();
    let to_skip = steps.len() - to_run;
    format!(
        "{}: {to_run} to run, {to_skip} to skip",
        number(steps.len(), "step")
    )
}

fn plan_table(steps: &[&PlannedStep], file: &str, look: Look) -> String {
    let mut rows = Vec::new();
    for step in steps {
        let (what, tone, whys) = match &step.decision {
            Decision::Run(reasons) => {
                let whys = reasons.iter().map(|r| reason_words(r, file)).collect();
                ("run", Tone::Doubtful, whys)
            }
            Decision::Skip(reason) => ("skip", Tone::Plain, vec![reason.clone()]),
        };
        let mut whys = whys.iter();
        rows.push([
            Cell::plain(&step.stage),
            Cell::plain(&step.id.step),
            Cell::plain(step.id.host.to_string()),
            Cell::new(what, tone),
            Cell::plain(whys.next().map_or("", String::as_str)),
        ]);
        for why in whys {
            let blank = || Cell::plain("");
            rows.push([blank(), blank(), blank(), blank(), Cell::plain(why)]);
        }
    }
    let is_narrow = look.width.is_some_and(|width| width < NARROW);
    if is_narrow && steps.iter().all(|step| step.stage == step.id.step) {
        // A column that says the same as its neighbour is the first to go.
        let rows: Vec<_> = rows.into_iter().map(|[_, rest @ ..]| rest).collect();
        return table(["STEP", "HOST", "DO", "WHY"], &rows, look);
    }
    table(["STAGE", "STEP", "HOST", "DO", "WHY"], &rows, look)
}

/// Says why a step runs: `value changed: nats_ip a → b (config/cluster.yml:24)`.
pub fn reason_words(reason: &Reason, file: &str) -> String {
    match reason {
        Reason::New => "new: the host has no receipt of it".to_owned(),
        Reason::Asked { what } => format!("asked for: {what}"),
        Reason::ValueChanged {
            name,
            from,
            to,
            place,
            provider,
        } => {
            let place = place
                .map(|p| format!(" ({file}:{})", p.line))
                .unwrap_or_default();
            let change = match (from, to) {
                (Some(from), Some(to)) => {
                    format!("value changed: {name} {} → {}", shown(from), shown(to))
                }
                (None, Some(to)) => format!("value added: {name} {}", shown(to)),
                (Some(from), None) => format!("value gone: {name}, was {}", shown(from)),
                (None, None) => format!("value changed: {name} (secret, not shown)"),
            };
            let provider = provider
                .as_ref()
                .map(|component| format!("{component} changed; "));
            provider.unwrap_or_default() + &change + &place
        }
        Reason::ScriptChanged => {
            "script changed: a newer version of this tool or of the job".to_owned()
        }
        Reason::Adopted { difference } => {
            format!("adopted; differs: {}", printable(&difference.words()))
        }
        Reason::FileChanged { file } => format!("{} changed", printable(file)),
        Reason::SinceGood { run, differs } => {
            let run = printable(run);
            match differs {
                true => format!("it last went well in run {run}; since then:"),
                false => format!("it last went well in run {run}, made of just the same"),
            }
        }
        // The supervisor writes -1 before a step starts.
        Reason::LastFailed { status: -1 } => "the last run of it never came to an end".to_owned(),
        Reason::LastFailed { status } => {
            format!("the last run of it failed with exit status {status}")
        }
        Reason::LastStopped { why } => format!("the last run of it was ended: {}", printable(why)),
        Reason::Unhealthy { why } => format!("unhealthy: {why}"),
        Reason::StillRunning { run } => {
            format!("it runs at this moment, started by run {run}: it's joined")
        }
        Reason::StateUnknown { why } => format!("its state isn't known: {why}"),
    }
}

/// Says in few words what differs from an earlier run, where a reason is about that:
/// `workers 1 → many, config/cluster.yml:16`.
pub fn change_words(reason: &Reason, file: &str) -> Option<String> {
    let place = match reason {
        Reason::ValueChanged { place, .. } => *place,
        Reason::FileChanged { .. } | Reason::ScriptChanged => None,
        _ => return None,
    };
    // The same words, with the place behind a comma.
    let words = reason_words(reason, "");
    let words = words.strip_prefix("value changed: ").unwrap_or(&words);
    Some(match place {
        None => words.to_owned(),
        Some(place) => {
            let bare = words.strip_suffix(&format!(" (:{})", place.line));
            format!("{}, {file}:{}", bare.unwrap_or(words), place.line)
        }
    })
}

/// Names all that differs from an earlier run, where a decision knows of any.
pub fn changes(decision: &Decision, file: &str) -> Vec<String> {
    match decision {
        Decision::Run(reasons) => {
            let words = reasons
                .iter()
                .filter_map(|reason| change_words(reason, file));
            words.collect()
        }
        Decision::Skip(_) => Vec::new(),
    }
}

/// Says which earlier run the changes of a decision are counted from.
pub fn changed_since(decision: &Decision) -> &'static str {
    let reasons: &[Reason] = match decision {
        Decision::Run(reasons) => reasons,
        Decision::Skip(_) => &[],
    };
    let never_good = reasons
        .iter()
        .any(|r| matches!(r, Reason::LastFailed { .. } | Reason::LastStopped { .. }))
        && !reasons
            .iter()
            .any(|r| matches!(r, Reason::SinceGood { .. }));
    if never_good {
        "changed since the last run"
    } else {
        "changed since the last good run"
    }
}

/// Shows a value in one line of bounded length; nothing at all as `""`.
fn shown(value: &str) -> String {
    let value = printable(value);
    if value.is_empty() {
        return "\"\"".to_owned();
    }
    match value.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    }
}
