//! What is sent to a host: the command that runs the loader, the supervisor's text, and the request
//! lines that follow it.

use std::time::Duration;

use crate::script::Upload;
use crate::transport::{OnLock, StepCall, StepRequest, TransportError, TransportErrorKind};

/// Where the tool keeps its files on a host.
pub(in crate::transport) const ROOT: &str = "/var/lib/paas-cluster-build";
/// What a host runs for every request: it says that it's there, by a word that only it was told, and
/// with whose rights; then it reads the supervisor's text, by its length, and runs it.
pub(super) const LOADER: &str = r#"printf "\npcb1 hello %s%s %s\n" "$0" "$1" "$(id -u)"; while IFS= read -r l; do case $l in "pcb1 "*) eval "$(head -c "${l#pcb1 }")"; exit;; esac; done"#;

pub(super) const SUPERVISOR: &str = include_str!("../../../deploy/supervisor/supervisor.sh");
pub(super) const WRAPPER: &str = include_str!("../../../deploy/supervisor/wrapper.sh");
pub(super) const BLOT: &str = include_str!("../../../deploy/supervisor/blot.sh");

/// The request line of a step; its blobs follow it.
pub(in crate::transport) fn step_line(
    root: &str,
    call: &StepCall<'_>,
) -> Result<String, TransportError> {
    let (StepCall::Start(StepRequest { run, step, .. })
    | StepCall::Follow { run, step, .. }
    | StepCall::Stop { run, step, .. }) = call;
    check_name(run)?;
    check_name(step)?;
    Ok(match call {
        StepCall::Start(request) => start_line(root, request),
        StepCall::Follow { offset, watch, .. } => {
            let role = if *watch { "watch" } else { "own" };
            format!("follow {root} {run} {step} {offset} {role}")
        }
        StepCall::Stop {
            offset, grace, by, ..
        } => format!(
            "stop {root} {run} {step} {offset} {} {}",
            grace.as_secs(),
            by.len()
        ),
    })
}

fn start_line(root: &str, request: &StepRequest<'_>) -> String {
    let on_lock = match request.on_lock {
        OnLock::Refuse => "refuse".to_owned(),
        OnLock::Wait(time) => format!("wait-{}", time.as_secs()),
        OnLock::TakeOver => "takeover".to_owned(),
    };
    format!(
        "run {root} {} {} {} {on_lock} {} {} {} {} {} {} {} {} {}",
        request.run,
        request.step,
        if request.keep_script { "yes" } else { "no" },
        // A deadline below a second is one: 0 means none.
        request.deadline.map_or(0, |time| time.as_secs().max(1)),
        request.output_cap,
        request.grace.as_secs(),
        request.settled_by,
        request.script.len(),
        request.receipt.len(),
        request.holder.len(),
        request.by.len(),
        request.redact.len(),
    )
}

/// The request line that cancels a run on a host.
pub(in crate::transport) fn cancel_line(
    root: &str,
    run: &str,
    by: &str,
    grace: Duration,
) -> Result<String, TransportError> {
    check_name(run)?;
    Ok(format!(
        "cancel {root} {run} {} {}",
        grace.as_secs(),
        by.len()
    ))
}

/// The request line of a query.
pub(in crate::transport) fn query_request(root: &str, nonce: &str, script: &str) -> String {
    format!("query {root} {nonce} {}", script.len())
}

/// The request line of a script whose output is listened to.
pub(in crate::transport) fn watch_request(root: &str, script: &str) -> String {
    format!("watch {root} {}", script.len())
}

/// The request line of a file.
pub(in crate::transport) fn put_request(
    root: &str,
    upload: &Upload,
) -> Result<String, TransportError> {
    check_name(&upload.sha256)?;
    Ok(format!("put {root} {} {}", upload.sha256, upload.bytes))
}

/// Makes a word that the host can't guess.
pub(in crate::transport) fn nonce() -> Result<String, TransportError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        TransportError::new(
            TransportErrorKind::LocalSetup,
            format!("no random numbers: {error}"),
        )
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A name becomes a folder on the host and a word of the request line.
pub(super) fn check_name(name: &str) -> Result<(), TransportError> {
    let is_fine = !name.is_empty()
        && !name.starts_with(['.', '-'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if is_fine {
        return Ok(());
    }
    let message = format!("`{name}` can't name a run or step: letters, digits and ._- can");
    Err(TransportError::new(TransportErrorKind::LocalSetup, message))
}

/// What the loader runs: the wrapper's text in a variable, then the supervisor; without the comment
/// lines, which are for readers and would travel with every step.
pub(super) fn supervisor_text() -> String {
    let wrapper = shell_words::quote(&without_comments(WRAPPER)).into_owned();
    let blot = shell_words::quote(&without_comments(BLOT)).into_owned();
    format!(
        "wrapper={wrapper}\nblot={blot}\n{}",
        without_comments(SUPERVISOR)
    )
}

pub(super) fn without_comments(script: &str) -> String {
    let lines = script.lines().filter(|line| {
        let text = line.trim_start();
        !text.is_empty() && !text.starts_with('#')
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}
