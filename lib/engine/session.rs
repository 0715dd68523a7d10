//! One host's connection, opened when it's first needed and kept; one thing at a time on it.

use std::fs::File;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::events::EventSink;
use super::output::TextFilter;
use super::{Answer, Limits, Unreachable, is_query};
use crate::event::{Fact, StepResult};
use crate::model::{Host, Sudo};
use crate::plan::{RunIdentity, Step};
use crate::transport::{
    Connection, StepEnd, StepRequest, Transport, TransportError, TransportErrorKind,
};

/// Ends whatever a connection is blocked in.
type Interrupter = Box<dyn Fn() + Send + Sync>;

/// A host and the connection to it.
pub(super) struct Session {
    pub(super) host: Host,
    link: Mutex<Link>,
    /// Outside of `link`, which is held for as long as a step runs.
    interrupter: Mutex<Option<Interrupter>>,
}

enum Link {
    Closed,
    Open(Box<dyn Connection>),
    /// Not to be tried again in this run.
    Failed(Unreachable),
}

/// How a step's turn on its host went.
pub(super) enum Turn {
    /// It was started and ended so; a query has its answer.
    Ended(StepResult, Option<Answer>),
    /// The host can't be worked on, so it wasn't started.
    Unreachable(Unreachable),
}

impl Session {
    pub(super) fn new(host: Host) -> Session {
        Session {
            host,
            link: Mutex::new(Link::Closed),
            interrupter: Mutex::new(None),
        }
    }

    /// Ends what this host's connection is blocked in, from another thread.
    pub(super) fn interrupt(&self) {
        let interrupter = self
            .interrupter
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(interrupt) = interrupter.as_ref() {
            interrupt();
        }
    }

    /// Runs one step; blocks until it ended.
    pub(super) fn run(
        &self,
        step: &Step,
        transport: &dyn Transport,
        sudo: &Sudo,
        limits: &Limits,
        run: &RunIdentity,
        events: &EventSink,
    ) -> Turn {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match self.connect(&mut link, transport, sudo, events) {
            Ok(connection) => connection,
            Err(unreachable) => return Turn::Unreachable(unreachable),
        };
        let id = step.id.clone();
        events.send_blocking(Fact::StepStarted { id: id.clone() });
        let start = Instant::now();
        let (result, answer) = match carry_out(connection, step, limits, run, events) {
            Ok(ended) => ended,
            Err(error) => {
                if error.kind == TransportErrorKind::Lost {
                    *link = Link::Closed;
                }
                (StepResult::Unknown { why: error.message }, None)
            }
        };
        let took_ms = start.elapsed().as_millis() as u64;
        events.send_blocking(Fact::StepFinished {
            id,
            result: result.clone(),
            took_ms,
        });
        Turn::Ended(result, answer)
    }

    fn connect<'a>(
        &self,
        link: &'a mut Link,
        transport: &dyn Transport,
        sudo: &Sudo,
        events: &EventSink,
    ) -> Result<&'a mut dyn Connection, Unreachable> {
        if let Link::Closed = link {
            let host = self.host.address;
            events.send_blocking(Fact::HostConnecting { host });
            *link = match transport.connect(&self.host, sudo) {
                Ok(connection) => {
                    events.send_blocking(Fact::HostConnected { host });
                    *self
                        .interrupter
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = Some(connection.interrupter());
                    Link::Open(connection)
                }
                Err(TransportError { kind, message }) => Link::Failed(Unreachable {
                    kind,
                    error: message,
                }),
            };
        }
        match link {
            Link::Open(connection) => Ok(connection.as_mut()),
            Link::Failed(unreachable) => Err(unreachable.clone()),
            Link::Closed => unreachable!("a closed link was just opened or failed"),
        }
    }
}

/// Pushes what the step needs, runs it and follows it.
fn carry_out(
    connection: &mut dyn Connection,
    step: &Step,
    limits: &Limits,
    run: &RunIdentity,
    events: &EventSink,
) -> Result<(StepResult, Option<Answer>), TransportError> {
    if is_query(step.mode) {
        let output = connection.query(&step.script)?;
        let text = String::from_utf8_lossy(&output.output).into_owned();
        let answer = Answer {
            text,
            status: output.status,
            at: jiff::Timestamp::now(),
        };
        return Ok((result_of(output.status), Some(answer)));
    }
    for upload in &step.uploads {
        let mut file = File::open(&upload.path).map_err(|error| TransportError {
            kind: TransportErrorKind::LocalSetup,
            message: format!("{} can't be read: {error}", upload.path.display()),
        })?;
        let mut last_told = 0;
        connection.put(upload, &mut file, &mut |sent| {
            // A few lines for a large file, none for a small one.
            if sent - last_told >= 8 * 1024 * 1024 {
                last_told = sent;
                let id = step.id.clone();
                events.send_blocking(Fact::UploadProgress {
                    id,
                    sent,
                    total: upload.bytes,
                });
            }
        })?;
    }
    let holder = holder_line(step, run);
    let request = StepRequest {
        run: &run.id,
        step: &step.id.step,
        script: &step.script,
        receipt: &step.receipt,
        holder: &holder,
        keep_script: limits.keep_scripts,
    };
    let mut filter = TextFilter::new(&step.redact);
    let tell = |text: Option<String>| {
        if let Some(text) = text {
            events.send_blocking(Fact::StepOutput {
                id: step.id.clone(),
                text,
            });
        }
    };
    let end = connection.run_step(&request, &mut |bytes| tell(filter.push(bytes)));
    tell(filter.finish());
    let result = match end? {
        StepEnd::Exited(status) => result_of(status),
        StepEnd::Locked(holder) => StepResult::Locked {
            holder: describe_holder(&holder),
        },
        StepEnd::Unknown(why) => StepResult::Unknown { why },
    };
    Ok((result, None))
}

fn result_of(status: i32) -> StepResult {
    if status == 0 {
        StepResult::Succeeded
    } else {
        StepResult::Failed { status }
    }
}

/// What others are told while this step holds its host's lock.
fn holder_line(step: &Step, run: &RunIdentity) -> String {
    serde_json::json!({
        "operator": run.operator,
        "workstation": run.workstation,
        "run": run.id,
        "step": step.id.step,
        "since": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
    .to_string()
}

/// Puts another run's holder line into words; a line that isn't one of ours is shown as it is.
fn describe_holder(line: &str) -> String {
    if line.trim().is_empty() {
        return "another program holds the lock of the host and left no name".to_owned();
    }
    let Ok(holder) = serde_json::from_str::<serde_json::Value>(line) else {
        return TextFilter::new(&[])
            .push(format!("{line}\n").as_bytes())
            .unwrap_or_default();
    };
    let field = |name| {
        holder
            .get(name)
            .and_then(|v| v.as_str())
            .unwrap_or("?")
            .to_owned()
    };
    let words = format!(
        "{} at {} runs {} there (run {}) since {}",
        field("operator"),
        field("workstation"),
        field("step"),
        field("run"),
        field("since")
    );
    TextFilter::new(&[])
        .push(format!("{words}\n").as_bytes())
        .unwrap_or_default()
        .trim()
        .to_owned()
}
