//! One host over SSH: a logged-in libssh2 session on which one request runs at a time.

mod agent_relay;
mod auth;
mod blob;
mod bounded;
mod candidates;
mod config;
mod connect;
mod gate;
mod host_cert;
mod host_key;
mod identity;
mod kex;
mod known_hosts;
mod openssh;
mod refusal;
mod through;
mod tokens;
mod unhonoured;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
use config::Target;
use connect::{Begun, Wire};
use gate::Gates;
use unhonoured::Unhonoured;

/// How long a read waits before the connection is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(15);
/// How long a host may leave sent data lying, for a slow disk's sake, before it counts as lost.
const STUCK: Duration = Duration::from_secs(120);

/// Opens SSH connections; what is read here (keys, passwords) is read once for all hosts.
pub struct SshTransport {
    credentials: Arc<Credentials>,
    targets: Mutex<HashMap<IpAddr, Arc<Target>>>,
    gates: Gates,
    /// What has been told of what isn't honoured.
    told: Mutex<BTreeSet<Unhonoured>>,
    root: String,
    /// The operator's own, for each part of connecting.
    timeout: Option<Duration>,
}

impl Default for SshTransport {
    fn default() -> SshTransport {
        SshTransport {
            credentials: Arc::default(),
            targets: Mutex::default(),
            gates: Gates::default(),
            told: Mutex::default(),
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
    /// Tells what OpenSSH's configuration says and this tool doesn't do, of all hosts that were
    /// connected to: each setting once, and only to the first who asks.
    pub fn unhonoured(&self) -> Vec<String> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings: BTreeMap<&Unhonoured, BTreeSet<IpAddr>> = BTreeMap::new();
        for (address, target) in targets.iter() {
            for setting in target.unhonoured.iter().filter(|one| !one.is_usual) {
                settings.entry(setting).or_default().insert(*address);
            }
        }
        let news = settings
            .into_iter()
            .filter(|(setting, _)| told.insert((*setting).clone()));
        news.map(|(setting, hosts)| {
            let first = hosts.iter().next().map(IpAddr::to_string);
            let others = match hosts.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            format!(
                "OpenSSH's configuration has {setting}: {}{others}",
                first.unwrap_or_default()
            )
        })
        .collect()
    }

    /// How a host is logged in to, with what OpenSSH's configuration says of it; asked once for each.
    fn target(&self, host: &Host) -> Result<Arc<Target>, TransportError> {
        let lock = || self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&host.address).cloned();
        if let Some(target) = known.filter(|target| target.ssh == host.ssh) {
            return Ok(target);
        }
        // Not under the lock: fifty hosts are asked about at once.
        let limit = self.timeout.unwrap_or(connect::TIMEOUT);
        let target = Arc::new(config::target(host, limit)?);
        lock().insert(host.address, target.clone());
        Ok(target)
    }

    /// Makes the key exchange over a wire, and sees that the host is the one that is known.
    fn meet(&self, target: &Target, wire: &Wire) -> Result<Session, TransportError> {
        let timeout = self.timeout.unwrap_or(connect::TIMEOUT);
        let mut session = Session::new().map_err(|error| setup(&error.to_string()))?;
        wire.give_to(&mut session)?;
        let certified = host_key::prefer_known_keys(&session, target, timeout)?;
        target.algorithms.prefer(&session);
        session.set_timeout(millis(timeout));
        let first = wire.first_bytes(timeout);
        if let Err(error) = session.handshake() {
            return Err(match wire.way_failure() {
                Some(why) => why,
                None => self.handshake_error(target, &session, &first, &error),
            });
        }
        host_key::check(&session, target, certified.as_ref())?;
        Ok(session)
    }

    /// Says why the key exchange failed; where no method is common, what each side has.
    fn handshake_error(
        &self,
        target: &Target,
        session: &Session,
        first: &[u8],
        error: &ssh2::Error,
    ) -> TransportError {
        let mut told = connect::handshake_error(target.port, first, error);
        // What took too long had nothing to compare.
        if told.kind != TransportErrorKind::Timeout
            && first.starts_with(b"SSH-")
            && let Ok(Begun { wire, .. }) = connect::connect(target, self.timeout, &self.gates)
            && wire.bound_reads(connect::TIMEOUT).is_ok()
            && let Ok(offers) = kex::offers(&wire)
            && let Some(difference) = kex::compare(session, &offers)
        {
            told.kind = TransportErrorKind::Host;
            told.message = format!("no common method for the SSH key exchange: {difference}");
        }
        told
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
        let target = self.target(host)?;
        let Begun { wire, ticket } = connect::connect(&target, self.timeout, &self.gates)?;
        let wire = Arc::new(wire);
        tell(interrupter(&wire));
        let session = self.meet(&target, &wire)?;
        self.credentials.log_in(&session, &target)?;
        // From here on the host counts it no longer among those that haven't logged in.
        drop(ticket);
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

/// Makes one line of a server's own words, for a message; bounded.
fn said(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    let line = words.join(" ");
    let shown = line.chars().filter(|letter| !letter.is_control());
    shown.take(1000).collect()
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
