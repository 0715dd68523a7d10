//! One host over SSH: a logged-in libssh2 session on which one request runs at a time.

mod auth;
mod bounded;
mod config;
mod connect;
mod host_key;
mod known_hosts;
mod openssh;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use ssh2::{Channel, ExtendedData, Session};

use super::link::Link;
use super::protocol::{self, Duplex, Exchange, ROOT, Rights, Start};
use super::{
    Connection, FIRST_WORD, Interrupter, LEAST_FIRST_WORD, Transport, TransportError,
    TransportErrorKind,
};
use crate::model::{Host, Sudo};
use crate::secret::{SecretReader, forms};
use auth::Credentials;
use connect::Wire;

/// How long a read waits before the connection is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(15);
/// How long a host may leave sent data lying, for a slow disk's sake, before it counts as lost.
const STUCK: Duration = Duration::from_secs(120);

/// Opens SSH connections; what is read here (keys, passwords) is read once for all hosts.
pub struct SshTransport {
    credentials: Arc<Credentials>,
    configured: Mutex<HashMap<IpAddr, Host>>,
    root: String,
    /// The operator's own, for each part of connecting.
    timeout: Option<Duration>,
}

impl Default for SshTransport {
    fn default() -> SshTransport {
        SshTransport {
            credentials: Arc::default(),
            configured: Mutex::default(),
            root: ROOT.to_owned(),
            timeout: None,
        }
    }
}

impl SshTransport {
    /// Makes a transport; nothing is read or connected yet.
    pub fn new() -> SshTransport {
        SshTransport::default()
    }

    /// Lets passwords and passphrases be read by this reader.
    pub fn with_secrets(mut self, reader: Arc<SecretReader>) -> SshTransport {
        self.credentials = Arc::new(Credentials::new(reader));
        self
    }

    /// Bounds how long a connection, the key exchange, the login and the host's first word may take,
    /// each; `None`: 4 s for the connection, 30 s for the first word, 10 s for the others. The first
    /// word has 5 s at least.
    pub fn with_timeout(mut self, timeout: impl Into<Option<Duration>>) -> SshTransport {
        self.timeout = timeout.into();
        self
    }

    /// Keeps the tool's files on the hosts below another folder: for tests.
    pub fn with_root(mut self, root: &str) -> SshTransport {
        root.clone_into(&mut self.root);
        self
    }
}

impl SshTransport {
    /// The host with what OpenSSH's configuration says of it; asked once for each.
    fn filled_in(&self, host: &Host) -> Result<Host, TransportError> {
        let known = |hosts: &HashMap<IpAddr, Host>| hosts.get(&host.address).cloned();
        let lock = || {
            self.configured
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(host) = known(&lock()) {
            return Ok(host);
        }
        // Not under the lock: fifty hosts are asked about at once.
        let filled = config::fill_in(host, self.timeout.unwrap_or(connect::TIMEOUT))?;
        lock().insert(host.address, filled.clone());
        Ok(filled)
    }
}

impl Transport for SshTransport {
    fn connect(&self, host: &Host, sudo: &Sudo) -> Result<Box<dyn Connection>, TransportError> {
        self.connect_interruptibly(host, sudo, &mut |_| {})
    }

    fn connect_interruptibly(
        &self,
        host: &Host,
        sudo: &Sudo,
        tell: &mut dyn FnMut(Interrupter),
    ) -> Result<Box<dyn Connection>, TransportError> {
        let sudo_password = match sudo {
            Sudo::Password { source, .. } => Some(self.credentials.password(source)?),
            Sudo::Passwordless | Sudo::No => None,
        };
        let host = &self.filled_in(host)?;
        let wire = Arc::new(connect::connect(host, self.timeout)?);
        tell(interrupter(&wire));
        let mut session = Session::new().map_err(|error| setup(&error.to_string()))?;
        wire.give_to(&mut session)?;
        host_key::prefer_known_keys(&session, host)?;
        session.set_timeout(millis(self.timeout.unwrap_or(connect::TIMEOUT)));
        session
            .handshake()
            .map_err(|error| wire.handshake_error(host, &error))?;
        host_key::check(&session, host)?;
        self.credentials.log_in(&session, host)?;
        session.set_keepalive(true, QUIET.as_secs() as u32);
        let rights = match sudo {
            Sudo::No => Rights::Own,
            _ if host.ssh.user == "root" => Rights::Own,
            Sudo::Passwordless => Rights::Sudo,
            Sudo::Password { .. } => Rights::SudoWithPassword,
        };
        let connection = SshConnection {
            session,
            wire,
            rights,
            as_root: rights != Rights::Own || host.ssh.user == "root",
            sudo_password: sudo_password.filter(|_| rights == Rights::SudoWithPassword),
            root: self.root.clone(),
            first_word: self
                .timeout
                .map_or(FIRST_WORD, |timeout| timeout.max(LEAST_FIRST_WORD)),
            ready: RefCell::default(),
        };
        // So a host that doesn't let its loader work is told from one on which a request fails.
        let loader = connection.loader().map_err(not_yet)?;
        connection.ready.replace(Some(loader));
        Ok(Box::new(connection))
    }
}

/// A connection that breaks before the host's first word was never one: that is tried again as any
/// login that was cut.
fn not_yet(error: TransportError) -> TransportError {
    match error.kind {
        TransportErrorKind::Lost => TransportError::new(
            TransportErrorKind::Protocol,
            format!("the login worked, and then {}", error.message),
        ),
        _ => error,
    }
}

/// A logged-in host.
pub(in crate::transport) struct SshConnection {
    /// A loader that has said its first word and waits for the next request.
    ready: RefCell<Option<BufReader<Loader>>>,
    session: Session,
    wire: Arc<Wire>,
    rights: Rights,
    /// Whether the loader has to find itself root.
    as_root: bool,
    sudo_password: Option<SecretString>,
    root: String,
    /// How long the host may take to say its first word.
    first_word: Duration,
}

impl SshConnection {
    /// Starts the loader and hears its first word.
    fn loader(&self) -> Result<BufReader<Loader>, TransportError> {
        let start = Start::new(self.rights, self.as_root)?;
        self.session.set_timeout(millis(self.first_word));
        let opened = self.session.channel_session().and_then(|mut channel| {
            // What a login shell's own files print to standard error; the command joins its own.
            channel.handle_extended_data(ExtendedData::Merge)?;
            channel.exec(&start.command())?;
            Ok(channel)
        });
        let channel = opened.map_err(|error| {
            self.wire.shut_down(Shutdown::Both);
            protocol::lost(&error.into())
        })?;
        let mut loader = BufReader::new(Loader {
            channel,
            session: self.session.clone(),
            wire: self.wire.clone(),
            broken: false,
            signs: None,
            until: None,
        });
        let password = self.sudo_password.as_ref().map(|p| p.expose_secret());
        let passed = start.pass(&mut loader, password, &Link::secrets(self), self.first_word);
        // Whatever stands behind it isn't waited for.
        loader.get_mut().broken |= passed.is_err();
        passed.map(|()| loader)
    }
}

/// Makes a handle by which another thread ends whatever waits on the wire.
fn interrupter(wire: &Wire) -> Interrupter {
    match wire.try_clone() {
        Ok(wire) => Box::new(move || wire.shut_down(Shutdown::Both)),
        // Without a second handle the call can only end by its own timeout.
        Err(_) => Box::new(|| {}),
    }
}

impl Link for SshConnection {
    type Loader<'a> = Loader;

    fn root(&self) -> &str {
        &self.root
    }

    fn secrets(&self) -> Vec<String> {
        let password = self.sudo_password.as_ref();
        password.map_or_else(Vec::new, |password| forms(password.expose_secret()))
    }

    fn first_word(&self) -> Duration {
        self.first_word
    }

    fn exchange(&self, request: &str, blobs: &[&[u8]]) -> Result<Exchange<Loader>, TransportError> {
        let ready = self.ready.take();
        let loader = match ready {
            Some(loader) => loader,
            None => self.loader()?,
        };
        Exchange::open(loader, Link::secrets(self), request, blobs)
    }

    fn interrupter(&self) -> Interrupter {
        interrupter(&self.wire)
    }
}

/// The loader's channel. A read that has waited for a while asks the server for a sign of life and
/// goes on: a silent step is no lost connection, and a lost one is found by TCP_USER_TIMEOUT.
pub(in crate::transport) struct Loader {
    channel: Channel,
    session: Session,
    wire: Arc<Wire>,
    broken: bool,
    /// The longest silence that isn't a lost connection, where one is known.
    signs: Option<Duration>,
    /// When a read has to be done.
    until: Option<Instant>,
}

impl Loader {
    /// How long one look for something to read may take.
    fn patience(&self) -> Duration {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        // Zero would mean that there is no end to it.
        let left = self.until.map_or(QUIET, left);
        left.clamp(Duration::from_millis(1), QUIET)
    }

    fn is_out_of_time(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn note<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        self.broken |= outcome.is_err();
        outcome
    }
}

impl Read for Loader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            self.session.set_timeout(millis(self.patience()));
            let outcome = match self.channel.read(buffer) {
                // The kernel over there is alive, or TCP_USER_TIMEOUT had ended this; but nothing
                // else is.
                Err(error)
                    if is_timeout(&error)
                        && self.signs.is_some_and(|signs| since.elapsed() > signs) =>
                {
                    Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the host doesn't answer any more",
                    ))
                }
                Err(error) if is_timeout(&error) && self.is_out_of_time() => {
                    Err(io::ErrorKind::TimedOut.into())
                }
                Err(error) if is_timeout(&error) => match self.session.keepalive_send() {
                    Ok(_) => continue,
                    Err(error) => Err(error.into()),
                },
                other => other,
            };
            return self.note(outcome);
        }
    }
}

impl Write for Loader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.set_timeout(millis(STUCK));
        // Not noted as broken: a command that has ended closed only its channel.
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

    fn expect_signs(&mut self, every: Duration) {
        self.signs = Some(every);
    }

    fn expect_by(&mut self, moment: Option<Instant>) {
        self.until = moment;
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.session.set_timeout(millis(QUIET));
        if self.broken {
            // Else freeing the channel waits for a server that isn't there any more.
            self.wire.shut_down(Shutdown::Both);
        }
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
