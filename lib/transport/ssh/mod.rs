//! One host over SSH: a logged-in libssh2 session on which one request runs at a time.

mod auth;
mod connect;
mod host_key;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use ssh2::{Channel, ExtendedData, Session};

use super::protocol::{self, Duplex, Exchange, LOADER, ROOT};
use super::{
    Connection, QueryOutput, StepEnd, StepRequest, Transport, TransportError, TransportErrorKind,
};
use crate::model::{Host, Sudo};
use crate::script::Upload;
use auth::Credentials;
use connect::Wire;

/// How long one blocking call waits before the connection is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(15);

/// Opens SSH connections; what is read here (keys, passwords) is read once for all hosts.
#[derive(Default)]
pub struct SshTransport {
    credentials: Arc<Credentials>,
}

impl SshTransport {
    /// Makes a transport; nothing is read or connected yet.
    pub fn new() -> SshTransport {
        SshTransport::default()
    }
}

impl Transport for SshTransport {
    fn connect(&self, host: &Host, sudo: &Sudo) -> Result<Box<dyn Connection>, TransportError> {
        let sudo_password = match sudo {
            Sudo::Password { source, .. } => Some(self.credentials.password(source)?),
            Sudo::Passwordless | Sudo::No => None,
        };
        let wire = connect::connect(host)?;
        let mut session = Session::new().map_err(|error| setup(&error.to_string()))?;
        wire.give_to(&mut session)?;
        host_key::prefer_plain_keys(&session);
        session.set_timeout(millis(connect::LOGIN_TIMEOUT));
        session
            .handshake()
            .map_err(|error| connect::handshake_error(host, &error))?;
        host_key::check(&session, host)?;
        self.credentials.log_in(&session, host)?;
        session.set_keepalive(true, QUIET.as_secs() as u32);
        session.set_timeout(millis(QUIET));
        let is_root = host.ssh.user == "root" || *sudo == Sudo::No;
        let command = match (&sudo_password, is_root) {
            (_, true) => format!("sh -c '{LOADER}'"),
            (None, false) => format!("sudo -n sh -c '{LOADER}'"),
            (Some(_), false) => format!("sudo -k -S -p '' sh -c '{LOADER}'"),
        };
        let sudo_password = sudo_password.filter(|_| !is_root);
        Ok(Box::new(SshConnection {
            session,
            wire,
            command,
            sudo_password,
        }))
    }
}

/// A logged-in host.
struct SshConnection {
    session: Session,
    wire: Wire,
    /// The one command that every request runs.
    command: String,
    sudo_password: Option<String>,
}

impl SshConnection {
    fn exchange(&self, request: &str, blobs: &[&[u8]]) -> Result<Exchange<Loader>, TransportError> {
        let opened = self.session.channel_session().and_then(|mut channel| {
            // Both outputs as one: a full standard error could otherwise stop everything.
            channel.handle_extended_data(ExtendedData::Merge)?;
            channel.exec(&self.command)?;
            Ok(channel)
        });
        let channel = opened.map_err(|error| protocol::lost(&error.into()))?;
        let loader = Loader {
            channel,
            session: self.session.clone(),
        };
        Exchange::open(loader, self.sudo_password.as_deref(), request, blobs)
    }
}

impl Connection for SshConnection {
    fn query(&mut self, script: &str) -> Result<QueryOutput, TransportError> {
        let nonce = protocol::nonce()?;
        let line = protocol::query_request(ROOT, &nonce, script);
        self.exchange(&line, &[script.as_bytes()])?.query(&nonce)
    }

    fn run_step(
        &mut self,
        request: &StepRequest<'_>,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<StepEnd, TransportError> {
        let line = protocol::step_request(ROOT, request)?;
        let blobs = [request.script, request.receipt, request.holder].map(str::as_bytes);
        self.exchange(&line, &blobs)?.follow(on_output)
    }

    fn put(
        &mut self,
        upload: &Upload,
        content: &mut dyn Read,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), TransportError> {
        let line = protocol::put_request(ROOT, upload)?;
        self.exchange(&line, &[])?.put(upload, content, on_progress)
    }

    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync> {
        match self.wire.try_clone() {
            Ok(wire) => Box::new(move || wire.shut_down(Shutdown::Both)),
            // Without a second handle the call can only end by its own timeout.
            Err(_) => Box::new(|| {}),
        }
    }
}

/// The loader's channel. A read that has waited for a while asks the server for a sign of life and
/// goes on: a silent step is no lost connection, and a lost one is found by TCP_USER_TIMEOUT.
struct Loader {
    channel: Channel,
    session: Session,
}

impl Read for Loader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.channel.read(buffer) {
                Err(error) if is_timeout(&error) => {
                    self.session.keepalive_send().map_err(io::Error::from)?;
                }
                other => return other,
            }
        }
    }
}

impl Write for Loader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.channel.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.channel.flush()
    }
}

impl Duplex for Loader {
    fn close_write(&mut self) -> io::Result<()> {
        self.channel.send_eof().map_err(io::Error::from)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn setup(what: &str) -> TransportError {
    TransportError::new(TransportErrorKind::LocalSetup, what)
}
