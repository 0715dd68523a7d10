//! The line by which a running step names itself to others, and that line put into words.

use super::TextFilter;
use super::session::Course;
use crate::plan::{RunIdentity, Step};

/// Writes what others are told while this step holds its host's lock: one line of JSON.
pub(super) fn line(step: &Step, course: &Course) -> String {
    let run = &course.run;
    serde_json::json!({
        "operator": run.operator,
        "workstation": run.workstation,
        "run": run.id,
        "operation": course.operation,
        "cluster": course.cluster,
        "step": step.id.step,
        "script": step.digest,
        "since": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
    .to_string()
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
    let Ok(holder) = serde_json::from_str::<serde_json::Value>(line) else {
        return safe(line);
    };
    let field = |name| holder.get(name).and_then(|v| v.as_str()).unwrap_or("?");
    safe(&format!(
        "{} at {} runs {} there (run {}) since {}",
        field("operator"),
        field("workstation"),
        field("step"),
        field("run"),
        field("since")
    ))
}

/// What comes from a host is shown without anything that could act on a terminal.
pub(super) fn safe(text: &str) -> String {
    TextFilter::new(&[])
        .push(format!("{text}\n").as_bytes())
        .unwrap_or_default()
        .trim()
        .to_owned()
}
