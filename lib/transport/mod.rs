//! One host: connect, run a supervised step and follow it, ask it something, push a file.
//!
//! The engine sees only the two traits; SSH is the real one, the local one runs the same on-host
//! protocol on this machine for tests.

mod link;
mod local;
#[cfg_attr(
    not(feature = "ssh"),
    allow(dead_code, unused_imports, reason = "only SSH needs all of it")
)]
mod protocol;
#[cfg(feature = "ssh")]
mod ssh;

use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

pub use local::{LocalConnection, LocalTransport};
#[cfg(fuzzing)]
pub use protocol::read_reply;
#[cfg(feature = "ssh")]
pub use ssh::SshTransport;

use crate::model::{Host, Sudo};
use crate::script::Upload;

/// How long a host may take from its login to its first word, and from a request to the
/// supervisor's.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// The least that it has, however soon the operator wants to know of machines that are off: sudo may
/// ask a directory server.
const LEAST_FIRST_WORD: Duration = Duration::from_secs(5);

/// Opens connections.
pub trait Transport: Send + Sync {
    /// Connects and logs in; blocks.
    ///
    /// # Errors
    /// Why the host can't be worked on, with what to try.
    fn connect(&self, host: &Host, sudo: &Sudo) -> Result<Box<dyn Connection>, TransportError>;

    /// The same; as soon as there is something that can be waited for, `tell` gets the handle by
    /// which another thread ends the wait.
    ///
    /// # Errors
    /// As [`Transport::connect`].
    fn connect_interruptibly(
        &self,
        host: &Host,
        sudo: &Sudo,
        tell: &mut dyn FnMut(Interrupter),
    ) -> Result<Box<dyn Connection>, TransportError> {
        let connection = self.connect(host, sudo)?;
        tell(connection.interrupter());
        Ok(connection)
    }
}

/// Ends whatever a connection is blocked in, from another thread.
pub type Interrupter = Box<dyn Fn() + Send + Sync>;

/// One logged-in host. Every method blocks; one at a time.
pub trait Connection: Send {
    /// Runs a read-only script as root and returns what it printed; bounded to 4 MiB.
    ///
    /// # Errors
    /// A lost connection, or a trailer that never came.
    fn query(&mut self, script: &str) -> Result<QueryOutput, TransportError>;

    /// The same within a time: a host from which no whole answer comes in it doesn't answer.
    ///
    /// # Errors
    /// As [`Connection::query`]; `Timeout` when the time is over. The connection is then of no use.
    fn query_within(
        &mut self,
        script: &str,
        limit: Duration,
    ) -> Result<QueryOutput, TransportError> {
        let _ = limit;
        self.query(script)
    }

    /// Runs a script that changes nothing, as root, and hands on what it prints as it comes, until its
    /// end or until `on_output` has enough; then the script is ended. `signs` is how often it prints
    /// something at least, where that is known: a longer silence is a lost connection.
    ///
    /// # Errors
    /// A lost connection; the script's own end is no error, whatever its exit status.
    fn watch(
        &mut self,
        script: &str,
        signs: Option<Duration>,
        on_output: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), TransportError>;

    /// Lists texts that belong in no output of this connection: every form of the password that
    /// was sent on it.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Has the on-host supervisor start, follow or end a step, and follows it to its end.
    ///
    /// # Errors
    /// A connection that was lost before the end was heard of.
    fn supervise(
        &mut self,
        call: &StepCall<'_>,
        on_news: &mut dyn FnMut(StepNews<'_>),
    ) -> Result<StepEnd, TransportError>;

    /// Ends what runs of a run on the host, and lets nothing more of it start there; returns how
    /// many steps were being ended. It doesn't wait for their end.
    ///
    /// # Errors
    /// A lost connection, or a host that can't write the mark.
    fn cancel_run(&mut self, run: &str, by: &str, grace: Duration)
    -> Result<usize, TransportError>;

    /// Puts a file into the host's `artifacts/` unless it's there already (by its digest).
    ///
    /// # Errors
    /// A lost connection, a full disk, a digest that doesn't match.
    fn put(
        &mut self,
        upload: &Upload,
        content: &mut dyn Read,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), TransportError>;

    /// Returns a handle by which another thread ends whatever this connection is blocked in.
    fn interrupter(&self) -> Interrupter;
}

/// What the supervisor is asked to do with a step.
#[derive(Debug, Clone)]
pub enum StepCall<'a> {
    /// Start it; if it was started before under the same run and name, follow it from its first
    /// byte instead.
    Start(StepRequest<'a>),
    /// Follow it from a byte of its output on.
    Follow {
        /// The run's id.
        run: &'a str,
        /// The step's name.
        step: &'a str,
        /// How many bytes of its output are known already.
        offset: u64,
        /// Whether the follower only looks on; else it counts as the step's controller.
        watch: bool,
    },
    /// End it (TERM for its processes, KILL after the grace) and follow it to that end.
    Stop {
        /// The run's id.
        run: &'a str,
        /// The step's name.
        step: &'a str,
        /// How many bytes of its output are known already.
        offset: u64,
        /// How long it may take to end by itself.
        grace: Duration,
        /// Who asked, as the receipt shall say.
        by: &'a str,
    },
}

/// What a supervised step is started with.
#[derive(Debug, Clone)]
pub struct StepRequest<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The step's name; names its folder and receipt.
    pub step: &'a str,
    /// The script.
    pub script: &'a str,
    /// The receipt's JSON object without its closing brace.
    pub receipt: &'a str,
    /// How many bytes at the receipt's beginning say what the step is made of. Where the host has a
    /// receipt by now that begins with the same and tells of a good end, nothing is started. 0 where
    /// the step runs whatever the host remembers.
    pub settled_by: usize,
    /// Who is to be named to others while the lock is held: one line of JSON.
    pub holder: &'a str,
    /// What is blotted out of the output that stays on the host: a script for sed that replaces
    /// texts by others of the same length; empty for nothing.
    pub redact: &'a str,
    /// Who asks, for those whose steps are ended for this one.
    pub by: &'a str,
    /// Whether the script stays on the host after the step.
    pub keep_script: bool,
    /// What to do when another step has the host.
    pub on_lock: OnLock,
    /// When the host ends the step by itself; never without.
    pub deadline: Option<Duration>,
    /// How many bytes of its output the host keeps: the first MiB and the newest.
    pub output_cap: u64,
    /// How long a step that is ended may take to end by itself.
    pub grace: Duration,
}

/// What to do when another step has the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLock {
    /// Say who has it and give up.
    Refuse,
    /// Wait so long for its end.
    Wait(Duration),
    /// End the other's step first, and let nothing more of its run start there.
    TakeOver,
}

/// What is heard while a step is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepNews<'a> {
    /// The step printed this.
    Output(&'a [u8]),
    /// So many bytes of its output weren't kept by the host.
    Dropped(u64),
    /// Nothing new; the host is there. At least every half minute.
    Alive,
    /// Another step has the host and is waited for; its holder's line.
    Waiting(&'a str),
    /// Another's step is being ended for this one; its holder's line.
    TookOver(&'a str),
}

/// How a followed step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// It exited with this status, as the supervisor recorded it.
    Exited(i32),
    /// It was ended; the status that it exited with, and why.
    Stopped {
        /// What the supervisor recorded; 143 after TERM, 137 after KILL.
        status: i32,
        /// Why.
        why: StopReason,
    },
    /// Another step holds the host's lock; the line that its holder left.
    Locked(String),
    /// The run was cancelled from elsewhere, so the step wasn't started; by whom.
    Refused(String),
    /// Another run did just the same meanwhile, so the step wasn't started; the line that it left.
    FoundDone(String),
    /// There is no recorded exit status, and here is why.
    Unknown(String),
}

/// Why a step was ended on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked: who.
    Cancelled(String),
    /// It ran for as long as it may: so many seconds.
    Deadline(String),
    /// It printed more than is kept, so many bytes, on a file system that can't drop a part of a
    /// file.
    Output(String),
}

/// What a query printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryOutput {
    /// Standard output and standard error, as they came.
    pub output: Vec<u8>,
    /// The exit status.
    pub status: i32,
}

/// Why a host can't be worked on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// The kind, to branch on.
    pub kind: TransportErrorKind,
    /// What happened, and what to try.
    pub message: String,
}

/// The kinds of transport errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// Nothing listens at the port.
    Refused,
    /// No answer in time.
    Timeout,
    /// There is no route to the address.
    NoRoute,
    /// The other side isn't an SSH server, or the key exchange failed.
    Protocol,
    /// No key or password was accepted.
    Auth,
    /// The host key is unknown (strict), changed or revoked.
    HostKey,
    /// root's rights can't be had.
    Sudo,
    /// A key, password or known_hosts file here can't be used.
    LocalSetup,
    /// The connection broke.
    Lost,
    /// The host said something that the protocol doesn't know, can't carry out a request, or has no
    /// method of the key exchange in common with this tool.
    Host,
}

impl TransportError {
    /// Makes an error of a kind.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> TransportError {
        TransportError {
            kind,
            message: message.into(),
        }
    }
}

impl TransportErrorKind {
    /// Names the kind as events have it.
    pub fn name(self) -> &'static str {
        match self {
            TransportErrorKind::Refused => "refused",
            TransportErrorKind::Timeout => "timeout",
            TransportErrorKind::NoRoute => "no_route",
            TransportErrorKind::Protocol => "protocol",
            TransportErrorKind::Auth => "auth",
            TransportErrorKind::HostKey => "host_key",
            TransportErrorKind::Sudo => "sudo",
            TransportErrorKind::LocalSetup => "local_setup",
            TransportErrorKind::Lost => "lost",
            TransportErrorKind::Host => "host",
        }
    }
}
