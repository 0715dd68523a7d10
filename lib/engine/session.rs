//! One host's connection, opened when it's first needed, kept, and opened again when it's lost; one
//! thing at a time on it.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::events::EventSink;
use super::follow::Supervised;
use super::{Answer, Cancel, Limits, Unreachable, output};
use crate::event::{Fact, StepResult};
use crate::model::{Host, Sudo};
use crate::plan::{Mode, RunIdentity, Step};
use crate::transport::{
    Connection, Interrupter, QueryOutput, Transport, TransportError, TransportErrorKind,
};

/// How often a connection that is cut before the login is tried at first.
const FIRST_TRIES: usize = 3;

/// The longest pause between two tries to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

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
    /// The operator ended the run before it was started.
    Cancelled,
}

/// What a session needs to know of the run that it works for.
#[derive(Clone)]
pub(super) struct Course {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) sudo: Sudo,
    pub(super) limits: Limits,
    pub(super) run: RunIdentity,
    /// The plan's cluster and operation, as the host shall know them.
    pub(super) cluster: String,
    pub(super) operation: String,
    pub(super) cancel: Cancel,
    pub(super) events: EventSink,
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
    pub(super) fn run(&self, step: &Step, course: &Course) -> Turn {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Link::Closed = *link {
            let host = self.host.address;
            course.events.send_blocking(Fact::HostConnecting { host });
            *link = match self.first_connection(course) {
                Ok(connection) => {
                    course.events.send_blocking(Fact::HostConnected { host });
                    Link::Open(connection)
                }
                Err(error) => Link::Failed(error.into()),
            };
        }
        if let Link::Failed(unreachable) = &*link {
            return Turn::Unreachable(unreachable.clone());
        }
        // After the interrupter is in place: a wish that comes from now on ends what blocks below.
        if course.cancel.level() >= 2 {
            return Turn::Cancelled;
        }
        let id = step.id.clone();
        course
            .events
            .send_blocking(Fact::StepStarted { id: id.clone() });
        let start = Instant::now();
        let mut line = Line {
            session: self,
            link: &mut link,
            course,
        };
        let (result, answer) = match carry_out(&mut line, step) {
            Ok(ended) => ended,
            Err(error) => {
                match error.kind {
                    TransportErrorKind::Lost => *link = Link::Closed,
                    // What it was asked goes on hanging: whatever comes next would wait as long.
                    TransportErrorKind::Timeout => *link = Link::Failed(error.clone().into()),
                    _ => {}
                }
                (StepResult::Unknown { why: error.message }, None)
            }
        };
        course.events.send_blocking(Fact::StepFinished {
            id,
            result: result.clone(),
            took_ms: start.elapsed().as_millis() as u64,
        });
        Turn::Ended(result, answer)
    }

    /// Connects for the first time. A connection that was begun and cut is tried again, since a
    /// flaky network is no reason to give up a host; one that was refused isn't.
    fn first_connection(&self, course: &Course) -> Result<Box<dyn Connection>, TransportError> {
        let mut pause = Duration::from_millis(500);
        for _ in 1..FIRST_TRIES {
            match self.open(course) {
                Err(error) if error.kind == TransportErrorKind::Protocol => {
                    if course.cancel.reached_within(1, jitter(pause)) {
                        return Err(error);
                    }
                }
                other => return other,
            }
            pause *= 2;
        }
        self.open(course)
    }

    fn open(&self, course: &Course) -> Result<Box<dyn Connection>, TransportError> {
        let interrupter = || {
            self.interrupter
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        // From the first moment on: a host that says nothing is waited for while connecting, too.
        let mut tell = |handle| *interrupter() = Some(handle);
        let transport = &course.transport;
        let opened = transport.connect_interruptibly(&self.host, &course.sudo, &mut tell);
        if opened.is_err() {
            // It would hold the wire open.
            *interrupter() = None;
        }
        opened
    }
}

impl From<TransportError> for Unreachable {
    fn from(TransportError { kind, message }: TransportError) -> Unreachable {
        Unreachable {
            kind,
            error: message,
        }
    }
}

/// A session's connection while a step uses it.
pub(super) struct Line<'a> {
    session: &'a Session,
    link: &'a mut Link,
    pub(super) course: &'a Course,
}

impl Line<'_> {
    /// Returns the connection, which stands unless it was just found lost.
    pub(super) fn connection(&mut self) -> Result<&mut dyn Connection, TransportError> {
        match self.link {
            Link::Open(connection) => Ok(connection.as_mut()),
            _ => Err(TransportError {
                kind: TransportErrorKind::Lost,
                message: "the connection was lost".to_owned(),
            }),
        }
    }

    /// Connects again after a loss, in growing pauses with jitter, for as long as `time` allows.
    /// A stronger wish of the operator's than `level` ends it.
    pub(super) fn reconnect(
        &mut self,
        lost: &TransportError,
        time: Duration,
        level: u32,
    ) -> Result<(), TransportError> {
        let (host, events) = (self.session.host.address, &self.course.events);
        *self.link = Link::Closed;
        events.send_blocking(Fact::ConnectionLost {
            host,
            error: lost.message.clone(),
        });
        events.send_blocking(Fact::HostConnecting { host });
        let until = Instant::now() + time;
        let mut pause = Duration::from_millis(250);
        loop {
            let error = match self.session.open(self.course) {
                Ok(connection) => {
                    *self.link = Link::Open(connection);
                    events.send_blocking(Fact::HostConnected { host });
                    return Ok(());
                }
                Err(error) => error,
            };
            let pausing = jitter(pause).min(until.saturating_duration_since(Instant::now()));
            let hopeless = matches!(
                error.kind,
                TransportErrorKind::HostKey | TransportErrorKind::LocalSetup
            );
            if hopeless
                || pausing.is_zero()
                || self.course.cancel.reached_within(level + 1, pausing)
            {
                let kind = error.kind.name().to_owned();
                events.send_blocking(Fact::HostUnreachable {
                    host,
                    kind,
                    error: error.message.clone(),
                });
                *self.link = Link::Failed(error.clone().into());
                return Err(error);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Between half of a pause and the whole, so that a thousand hosts don't come back at once.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random numbers all wait alike, which is slower and does no harm.
    let share = match getrandom::fill(&mut byte) {
        Ok(()) => f64::from(byte[0]) / 255.0,
        Err(_) => 1.0,
    };
    pause.mul_f64(0.5 + share / 2.0)
}

/// Pushes what the step needs, runs it and follows it.
fn carry_out(
    line: &mut Line<'_>,
    step: &Step,
) -> Result<(StepResult, Option<Answer>), TransportError> {
    match &step.mode {
        Mode::Query => {
            let said = ask(line, step)?;
            let mut text = String::from_utf8_lossy(&said.output).into_owned();
            // What a program reads stays as it is; what the operator reads holds no password.
            if !step.is_read_only() {
                text = output::without(text, &line.connection()?.secrets());
            }
            let answer = Answer {
                text,
                status: said.status,
                at: jiff::Timestamp::now(),
            };
            Ok((StepResult::of_status(said.status), Some(answer)))
        }
        Mode::CancelRun { run } => {
            let run_of_ours = &line.course.run;
            let by = format!("{} at {}", run_of_ours.operator, run_of_ours.workstation);
            let grace = line.course.limits.grace;
            let ended = line.connection()?.cancel_run(run, &by, grace)?;
            let answer = Answer {
                text: ended.to_string(),
                status: 0,
                at: jiff::Timestamp::now(),
            };
            Ok((StepResult::Succeeded, Some(answer)))
        }
        Mode::Supervised => {
            push_files(line, step)?;
            Ok((Supervised::start(line, step).until_its_end(), None))
        }
        Mode::Follow { run, watch } => {
            if !watch {
                line.course.events.send_blocking(Fact::StepJoined {
                    id: step.id.clone(),
                    started_by: run.clone(),
                });
            }
            let supervised = Supervised::join(line, step, run, *watch);
            Ok((supervised.until_its_end(), None))
        }
    }
}

/// Asks a query; one that changes nothing is asked once more over a new connection where the first
/// was lost. A command of the operator's is never sent twice.
fn ask(line: &mut Line<'_>, step: &Step) -> Result<QueryOutput, TransportError> {
    if !step.is_read_only() {
        return line.connection()?.query(&step.script);
    }
    let limit = line.course.limits.look;
    match line.connection()?.query_within(&step.script, limit) {
        Err(lost) if lost.kind == TransportErrorKind::Lost => {
            let level = line.course.cancel.level();
            line.reconnect(&lost, ASK_AGAIN.min(line.course.limits.reconnect), level)?;
            line.connection()?.query_within(&step.script, limit)
        }
        said => said,
    }
}

/// For how long a connection is tried again for a question.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Pushes the step's files; a lost connection is made anew, since what has arrived is kept.
fn push_files(line: &mut Line<'_>, step: &Step) -> Result<(), TransportError> {
    for upload in &step.uploads {
        loop {
            let mut file = File::open(&upload.path).map_err(|error| TransportError {
                kind: TransportErrorKind::LocalSetup,
                message: format!("{} can't be read: {error}", upload.path.display()),
            })?;
            let mut last_told = 0;
            let events = line.course.events.clone();
            let pushed = line.connection()?.put(upload, &mut file, &mut |sent| {
                // A few lines for a large file, none for a small one.
                if sent >= last_told + 8 * 1024 * 1024 {
                    last_told = sent;
                    let id = step.id.clone();
                    events.send_blocking(Fact::UploadProgress {
                        id,
                        sent,
                        total: upload.bytes,
                    });
                }
            });
            match pushed {
                Ok(()) => break,
                Err(error) if error.kind == TransportErrorKind::Lost => {
                    let level = line.course.cancel.level();
                    if level >= 2 {
                        return Err(error);
                    }
                    line.reconnect(&error, line.course.limits.reconnect, level)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
