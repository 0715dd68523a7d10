//! The wire to a host: TCP under a deadline, or a child that goes through other hosts
//! (`through.rs`).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use ssh2::Session;

use super::config::{Target, Way};
use super::gate::{Gates, Ticket};
use super::setup;
use super::through::{self, Carrier};
use crate::transport::{TransportError, TransportErrorKind};

/// How long the key exchange and the login may take, each, and the way through jump hosts.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How long TCP may take: a machine that is on answers one of the kernel's three attempts in that
/// time, and in a disaster everybody waits for those that are off.
const TCP_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the other side's first words are waited for before ours are said, since some wait for
/// these. The hosts on the way have let the connection in by then.
const OPENING: Duration = Duration::from_secs(3);
/// How long sent data may stay unacknowledged before the connection counts as lost.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What carries the SSH session.
pub(super) enum Wire {
    /// A connection to the host itself.
    Tcp(TcpStream),
    /// A socket to a child that goes through other hosts.
    Through(UnixStream, Arc<Mutex<Carrier>>),
}

impl Wire {
    /// Lets a session use the wire.
    pub(super) fn give_to(&self, session: &mut Session) -> Result<(), TransportError> {
        let failed = |error: io::Error| setup(&format!("the socket can't be shared: {error}"));
        match self {
            Wire::Tcp(stream) => session.set_tcp_stream(stream.try_clone().map_err(failed)?),
            Wire::Through(stream, _) => session.set_tcp_stream(stream.try_clone().map_err(failed)?),
        }
        Ok(())
    }

    pub(super) fn try_clone(&self) -> io::Result<Wire> {
        Ok(match self {
            Wire::Tcp(stream) => Wire::Tcp(stream.try_clone()?),
            Wire::Through(stream, child) => Wire::Through(stream.try_clone()?, child.clone()),
        })
    }

    /// Ends every call that is blocked on the wire.
    pub(super) fn shut_down(&self, how: Shutdown) {
        // A wire that's already down needs no second end.
        let _ = match self {
            Wire::Tcp(stream) => stream.shutdown(how),
            Wire::Through(stream, _) => stream.shutdown(how),
        };
    }

    /// Waits for the first bytes of the other side and returns them, without taking them from the
    /// wire; empty where it has ended or says nothing for a while.
    pub(super) fn first_bytes(&self, timeout: Duration) -> Vec<u8> {
        // Only a TCP stream can peek; what kind of socket it is doesn't matter to that.
        let socket = match self {
            Wire::Tcp(stream) => stream.try_clone(),
            Wire::Through(stream, _) => stream
                .try_clone()
                .map(|stream| TcpStream::from(OwnedFd::from(stream))),
        };
        // A wire that can't be waited on has no first bytes, and the handshake tells why.
        let Ok(socket) = socket else {
            return Vec::new();
        };
        let _ = socket.set_read_timeout(Some(timeout.min(OPENING).max(Duration::from_millis(1))));
        let mut buffer = [0; 512];
        let peeked = loop {
            match socket.peek(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                peeked => break peeked,
            }
        };
        let first = match peeked {
            Ok(count) => buffer[..count].to_vec(),
            Err(_) => Vec::new(),
        };
        // Whoever waits to go through the same hosts needn't wait for a silent target.
        if !first.is_empty() || peeked.is_err_and(|error| is_timeout(&error)) {
            self.is_open();
        }
        let _ = socket.set_read_timeout(None);
        first
    }

    /// Bounds how long each read of this process's own may take; a session has bounds of its own.
    pub(super) fn bound_reads(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Wire::Through(stream, _) => stream.set_read_timeout(Some(timeout)),
        }
    }

    fn is_open(&self) {
        if let Wire::Through(_, carrier) = self {
            lock(carrier).is_open();
        }
    }

    /// Says why the way through other hosts didn't open, where it didn't.
    pub(super) fn way_failure(&self) -> Option<TransportError> {
        match self {
            Wire::Tcp(_) => None,
            Wire::Through(_, carrier) => lock(carrier).failure(),
        }
    }
}

impl Read for &Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => (&*stream).read(buffer),
            Wire::Through(stream, _) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => (&*stream).write(bytes),
            Wire::Through(stream, _) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock(carrier: &Mutex<Carrier>) -> std::sync::MutexGuard<'_, Carrier> {
    carrier.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The last handle's carrier ends its child.
        if let Wire::Through(stream, carrier) = self
            && Arc::strong_count(carrier) == 1
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A wire, and the place before its host that is given back after the login.
pub(super) struct Begun {
    pub(super) wire: Wire,
    pub(super) ticket: Option<Ticket>,
}

/// Connects to a host, straight or through others; `timeout` is the operator's own.
pub(super) fn connect(
    target: &Target,
    timeout: Option<Duration>,
    gates: &Gates,
) -> Result<Begun, TransportError> {
    if target.way == Way::Straight {
        let ticket = gates
            .before(&format!("{}:{}", target.name, target.port))
            .enter()?;
        Ok(Begun {
            wire: straight(target, timeout.unwrap_or(TCP_TIMEOUT))?,
            ticket: Some(ticket),
        })
    } else {
        let (stream, carrier) = through::start(target, timeout.unwrap_or(TIMEOUT), gates)?;
        Ok(Begun {
            wire: Wire::Through(stream, Arc::new(Mutex::new(carrier))),
            ticket: None,
        })
    }
}

fn straight(target: &Target, timeout: Duration) -> Result<Wire, TransportError> {
    let target = address_of(target)?;
    let open = || -> io::Result<TcpStream> {
        let socket = Socket::new(
            Domain::for_address(target),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.connect_timeout(&target.into(), timeout)?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(USER_TIMEOUT))?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    };
    open()
        .map(Wire::Tcp)
        .map_err(|error| connect_error(target, timeout, &error))
}

/// The address to connect to: the cluster file's, or that of the name which is configured for it.
fn address_of(target: &Target) -> Result<SocketAddr, TransportError> {
    let Target { name, port, .. } = target;
    if target.name == target.address.to_string() {
        return Ok(SocketAddr::new(target.address, *port));
    }
    let unknown = |why: String| {
        TransportError::new(
            TransportErrorKind::NoRoute,
            format!("the HostName {name} of OpenSSH's configuration can't be resolved: {why}"),
        )
    };
    (name.as_str(), *port)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?
        .next()
        .ok_or_else(|| unknown("it has no address".to_owned()))
}

/// Says why TCP didn't connect and what to look at.
fn connect_error(target: SocketAddr, timeout: Duration, error: &io::Error) -> TransportError {
    use TransportErrorKind::{NoRoute, Refused, Timeout};
    let (kind, message) = match error.kind() {
        ErrorKind::ConnectionRefused => (
            Refused,
            format!(
                "{} answers, but nothing listens on port {}; is sshd running there, and is ssh.port \
                 right?",
                target.ip(),
                target.port()
            ),
        ),
        ErrorKind::TimedOut => (
            Timeout,
            format!(
                "no answer from {} within {} s; is the machine on, and does a firewall drop port {}?",
                target.ip(),
                timeout.as_secs(),
                target.port()
            ),
        ),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => (
            NoRoute,
            format!(
                "no way to {} from here ({error}); check address, route and cable",
                target.ip()
            ),
        ),
        _ => (NoRoute, format!("can't connect to {target}: {error}")),
    };
    TransportError::new(kind, message)
}

/// Says why the key exchange failed; `first` is what the other side began with.
pub(super) fn handshake_error(port: u16, first: &[u8], error: &ssh2::Error) -> TransportError {
    const BANNER: [i32; 2] = [-2, -13]; // no banner received; the socket was closed
    const TIMEOUT: [i32; 2] = [-9, -30]; // timed out; waiting for data timed out
    let said = super::said(&String::from_utf8_lossy(first));
    let said = match said.is_empty() || said.starts_with("SSH-") {
        true => String::new(),
        false => format!("; it said: {said}"),
    };
    match error.code() {
        ssh2::ErrorCode::Session(code) if TIMEOUT.contains(&code) && first.is_empty() => {
            TransportError::new(
                TransportErrorKind::Timeout,
                format!(
                    "port {port} took the connection but said nothing; is sshd behind it, and is \
                     the machine overloaded?"
                ),
            )
        }
        ssh2::ErrorCode::Session(code) if BANNER.contains(&code) && !first.starts_with(b"SSH-") => {
            TransportError::new(
                TransportErrorKind::Protocol,
                format!(
                    "port {port} closed the connection before it named itself: no SSH server, or \
                     one that refuses this address (MaxStartups, PerSourcePenalties, \
                     hosts.deny){said}"
                ),
            )
        }
        ssh2::ErrorCode::Session(code) if TIMEOUT.contains(&code) => TransportError::new(
            TransportErrorKind::Timeout,
            format!("the SSH key exchange at port {port} was begun and didn't end in time{said}"),
        ),
        _ => TransportError::new(
            TransportErrorKind::Protocol,
            format!("the SSH key exchange failed: {}{said}", error.message()),
        ),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
