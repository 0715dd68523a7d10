//! One host: connect, run a supervised step and follow it, ask it something, push a file.
//!
//! The engine sees only the two traits; SSH is the real one, the local one runs the same on-host
//! protocol on this machine for tests.

mod link;
mod local;
mod protocol;
mod ssh;

use std::io::Read;

pub use local::{LocalConnection, LocalTransport};
pub use ssh::SshTransport;

use crate::model::{Host, Sudo};
use crate::script::Upload;

/// Opens connections.
pub trait Transport: Send + Sync {
    /// Connects and logs in; blocks.
    ///
    /// # Errors
    /// Why the host can't be worked on, with what to try.
    fn connect(&self, host: &Host, sudo: &Sudo) -> Result<Box<dyn Connection>, TransportError>;
}

/// One logged-in host. Every method blocks; one at a time.
pub trait Connection: Send {
    /// Runs a read-only script as root and returns what it printed; bounded to 4 MiB.
    ///
    /// # Errors
    /// A lost connection, or a trailer that never came.
    fn query(&mut self, script: &str) -> Result<QueryOutput, TransportError>;

    /// Hands a script to the on-host supervisor and follows it to its end.
    ///
    /// # Errors
    /// A connection that was lost before the end was heard of.
    fn run_step(
        &mut self,
        request: &StepRequest<'_>,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<StepEnd, TransportError>;

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
    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync>;
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
    /// Who is to be named to others while the lock is held: one line of JSON.
    pub holder: &'a str,
    /// Whether the script stays on the host after the step.
    pub keep_script: bool,
}

/// How a followed step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// It exited with this status, as the supervisor recorded it.
    Exited(i32),
    /// Another step holds the host's lock; the line that its holder left.
    Locked(String),
    /// There is no recorded exit status, and here is why.
    Unknown(String),
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
    /// The host said something that the protocol doesn't know, or can't carry out a request.
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
