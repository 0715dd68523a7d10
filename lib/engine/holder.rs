//! The line by which a running step names itself to others, and that line put into words.

use super::TextFilter;
use super::session::Course;
use crate::plan::{Holder, RunIdentity, Step};

/// Writes what others are told while this step holds its host's lock: one line of JSON.
pub(super) fn line(step: &Step, course: &Course) -> String {
    let run = &course.run;
    Holder {
        operator: run.operator.clone(),
        workstation: run.workstation.clone(),
        run: run.id.clone(),
        operation: course.operation.clone(),
        cluster: course.cluster.clone(),
        step: step.id.step.clone(),
        script: step.digest.clone(),
        since: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
    }
    .line()
}

/// Names the operator for those whose steps are ended.
pub(super) fn by(run: &RunIdentity) -> String {
    format!("{} at {} in run {}", run.operator, run.workstation, run.id)
}

/// Puts another run's holder line into words; a line that isn't one of ours is shown as it is.
pub(super) fn describe(line: &str) -> String {
    if line.trim().is_empty() {
        return "another program holds the lock of the host and left no name".to_owned();
    }
    match Holder::parse(line) {
        Some(holder) => safe(&holder.words()),
        None => safe(line),
    }
}

/// What comes from a host is shown without anything that could act on a terminal.
pub(super) fn safe(text: &str) -> String {
    TextFilter::new(&[])
        .push(format!("{text}\n").as_bytes())
        .unwrap_or_default()
        .trim()
        .to_owned()
}
