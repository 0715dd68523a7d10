//! One host over SSH: a logged-in libssh2 session on which one request runs at a time.

mod agent_relay;
mod auth;
mod blob;
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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use ssh2::{Channel, ExtendedData, Session};

use super::link::Link;
use super::protocol::{self, Duplex, Exchange, ROOT, Rights};
use super::{Connection, Transport, TransportError, TransportErrorKind};
use crate::model::{Host, Sudo};
use crate::secret::SecretReader;
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

    /// Bounds how long a connection, the key exchange and the login may take, each; `None`: 4 s for
    /// the connection, 10 s for the others.
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
    fn target(&self, host: &Host) -> Arc<Target> {
        let lock = || self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&host.address).cloned();
        if let Some(target) = known.filter(|target| target.host.ssh == host.ssh) {
            return target;
        }
        // Not under the lock: fifty hosts are asked about at once.
        let target = Arc::new(config::target(host));
        lock().insert(host.address, target.clone());
        target
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
        if first.starts_with(b"SSH-")
            && let Ok(Begun { wire, .. }) = connect::connect(target, self.timeout, &self.gates)
            && !wire.first_bytes(connect::TIMEOUT).is_empty()
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
        let sudo_password = match sudo {
            Sudo::Password { source, .. } => Some(self.credentials.password(source)?),
            Sudo::Passwordless | Sudo::No => None,
        };
        let target = self.target(host);
        let Begun { wire, ticket } = connect::connect(&target, self.timeout, &self.gates)?;
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
        let sudo_password = sudo_password.filter(|_| rights == Rights::SudoWithPassword);
        let command = protocol::command(rights);
        if let Some(password) = &sudo_password {
            try_sudo(&session, password.expose_secret())?;
        }
        Ok(Box::new(SshConnection {
            session,
            wire,
            command,
            sudo_password,
            root: self.root.clone(),
        }))
    }
}

/// Tries the password once, with nothing behind it: in a request, sudo would take what follows a
/// wrong password for further tries, and lock the account.
fn try_sudo(session: &Session, password: &str) -> Result<(), TransportError> {
    let lost = |error: &dyn std::fmt::Display| {
        TransportError::new(
            TransportErrorKind::Protocol,
            format!("the connection ended while sudo was tried: {error}"),
        )
    };
    let mut channel = session.channel_session().map_err(|e| lost(&e))?;
    channel
        .handle_extended_data(ExtendedData::Merge)
        .map_err(|e| lost(&e))?;
    channel.exec(protocol::TRY_SUDO).map_err(|e| lost(&e))?;
    channel
        .write_all(format!("{password}\n").as_bytes())
        .map_err(|e| lost(&e))?;
    channel.send_eof().map_err(|e| lost(&e))?;
    let mut said = Vec::new();
    (&mut channel)
        .take(4096)
        .read_to_end(&mut said)
        .map_err(|e| lost(&e))?;
    protocol::sudo_answer(&String::from_utf8_lossy(&said))
}

/// A logged-in host.
pub(in crate::transport) struct SshConnection {
    session: Session,
    wire: Wire,
    /// The one command that every request runs.
    command: String,
    sudo_password: Option<SecretString>,
    root: String,
}

impl Link for SshConnection {
    type Loader<'a> = Loader<'a>;

    fn root(&self) -> &str {
        &self.root
    }

    fn exchange(
        &self,
        request: &str,
        blobs: &[&[u8]],
    ) -> Result<Exchange<Loader<'_>>, TransportError> {
        self.session.set_timeout(millis(STUCK));
        let opened = self.session.channel_session().and_then(|mut channel| {
            // What a login shell's own files print to standard error; the command joins its own.
            channel.handle_extended_data(ExtendedData::Merge)?;
            channel.exec(&self.command)?;
            Ok(channel)
        });
        let channel = opened.map_err(|error| {
            self.wire.shut_down(Shutdown::Both);
            protocol::lost(&error.into())
        })?;
        let loader = Loader {
            channel,
            session: self.session.clone(),
            wire: &self.wire,
            broken: false,
            signs: None,
        };
        let password = self.sudo_password.as_ref().map(|p| p.expose_secret());
        Exchange::open(loader, password, request, blobs)
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
pub(in crate::transport) struct Loader<'a> {
    channel: Channel,
    session: Session,
    wire: &'a Wire,
    broken: bool,
    /// The longest silence that isn't a lost connection, where one is known.
    signs: Option<Duration>,
}

impl Loader<'_> {
    fn note<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        self.broken |= outcome.is_err();
        outcome
    }
}

impl Read for Loader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.set_timeout(millis(QUIET));
        let since = Instant::now();
        loop {
            let outcome = match self.channel.read(buffer) {
                // The kernel over there is alive, or TCP_USER_TIMEOUT had ended this; but nothing
                // else is.
                Err(error)
                    if is_timeout(&error)
                        && self.signs.is_some_and(|signs| since.elapsed() > signs) =>
                {
                    Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the host doesn't answer any more",
                    ))
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

impl Write for Loader<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.set_timeout(millis(STUCK));
        // Not noted as broken: a command that has ended closed only its channel.
        self.channel.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.channel.flush()
    }
}

impl Duplex for Loader<'_> {
    fn close_write(&mut self) -> io::Result<()> {
        self.channel.send_eof().map_err(io::Error::from)
    }

    fn expect_signs(&mut self, every: Duration) {
        self.signs = Some(every);
    }
}

impl Drop for Loader<'_> {
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
