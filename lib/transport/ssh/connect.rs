//! The wire to a host: TCP under a deadline, or OpenSSH's own `ssh -W` through jump hosts.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use ssh2::Session;

use super::{openssh, setup};
use crate::model::{Host, HostKeyPolicy, Jump, SshSettings};
use crate::transport::{TransportError, TransportErrorKind};

/// How long the key exchange and the login may take, each, and the way through jump hosts.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How long TCP may take: a machine that is on answers one of the kernel's three attempts in that
/// time, and in a disaster everybody waits for those that are off.
const TCP_TIMEOUT: Duration = Duration::from_secs(4);
/// How long sent data may stay unacknowledged before the connection counts as lost.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What carries the SSH session.
pub(super) enum Wire {
    /// A connection to the host itself.
    Tcp(TcpStream),
    /// A socket to an `ssh -W` that goes through the jump hosts.
    Through(UnixStream, Arc<Mutex<Child>>),
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

    /// Says why the key exchange failed.
    pub(super) fn handshake_error(&self, host: &Host, error: &ssh2::Error) -> TransportError {
        if let Some(said) = self.last_words() {
            return TransportError::new(
                TransportErrorKind::NoRoute,
                format!("the way through the jump host didn't open; ssh said: {said}"),
            );
        }
        handshake_error(host, error)
    }

    /// What an `ssh -W` that gave up said.
    fn last_words(&self) -> Option<String> {
        let Wire::Through(_, child) = self else {
            return None;
        };
        let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
        // It won't say more, and its words can be read to their end.
        let _ = child.kill();
        let mut said = String::new();
        child
            .stderr
            .take()?
            .take(4096)
            .read_to_string(&mut said)
            .ok()?;
        Some(said.trim().replace(['\r', '\n'], " ")).filter(|said| !said.is_empty())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Wire::Through(stream, child) = self
            && Arc::strong_count(child) == 1
        {
            let _ = stream.shutdown(Shutdown::Both);
            let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Connects to a host, directly or through its jump hosts; `timeout` is the operator's own.
pub(super) fn connect(host: &Host, timeout: Option<Duration>) -> Result<Wire, TransportError> {
    if host.ssh.jump.is_empty() {
        direct(host, timeout.unwrap_or(TCP_TIMEOUT))
    } else {
        through(host, timeout.unwrap_or(TIMEOUT))
    }
}

fn direct(host: &Host, timeout: Duration) -> Result<Wire, TransportError> {
    let target = SocketAddr::new(host.address, host.ssh.port);
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

/// Says why the key exchange failed.
fn handshake_error(host: &Host, error: &ssh2::Error) -> TransportError {
    const BANNER: [i32; 2] = [-2, -13]; // no banner received; the socket was closed
    const TIMEOUT: [i32; 2] = [-9, -30]; // timed out; waiting for data timed out
    match error.code() {
        ssh2::ErrorCode::Session(code) if TIMEOUT.contains(&code) => TransportError::new(
            TransportErrorKind::Timeout,
            format!(
                "port {} took the connection but said nothing; is sshd behind it, and is the \
                 machine overloaded?",
                host.ssh.port
            ),
        ),
        ssh2::ErrorCode::Session(code) if BANNER.contains(&code) => TransportError::new(
            TransportErrorKind::Protocol,
            format!(
                "port {} closed the connection before it named itself: no SSH server, or one \
                 that refuses this address (MaxStartups, PerSourcePenalties, hosts.deny)",
                host.ssh.port
            ),
        ),
        _ => TransportError::new(
            TransportErrorKind::Protocol,
            format!("the SSH key exchange failed: {}", error.message()),
        ),
    }
}

/// Lets OpenSSH go through the jump hosts, each with its own configuration and the agent. The key,
/// the known_hosts file and the policy that are set for the host count for each of them too.
fn through(host: &Host, timeout: Duration) -> Result<Wire, TransportError> {
    let failed = |error: io::Error| setup(&format!("ssh, for the jump host, can't start: {error}"));
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let target = forward_target(&host.address.to_string(), host.ssh.port);
    let mut ssh = openssh::ssh();
    ssh.args(hop(&host.ssh.jump, &target, &host.ssh, timeout));
    let input: OwnedFd = theirs.try_clone().map_err(failed)?.into();
    let output: OwnedFd = theirs.into();
    let child = ssh
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    Ok(Wire::Through(ours, Arc::new(Mutex::new(child))))
}

/// The arguments of an `ssh` that goes through these jump hosts, the last of which connects to the
/// target. Those before it are an `ssh` of their own, which OpenSSH starts as its ProxyCommand:
/// its `-J` would not pass key, known_hosts and policy on.
fn hop(jumps: &[Jump], target: &str, settings: &SshSettings, timeout: Duration) -> Vec<String> {
    let (last, before) = jumps.split_last().expect("a jump was found");
    let mut arguments: Vec<String> = Vec::new();
    let mut option = |text: String| arguments.extend(["-o".to_owned(), text]);
    option("BatchMode=yes".to_owned());
    option("ExitOnForwardFailure=yes".to_owned());
    option(format!("ConnectTimeout={}", timeout.as_secs().max(1)));
    if let Some(known_hosts) = &settings.known_hosts {
        option(format!("UserKnownHostsFile=\"{}\"", known_hosts.display()));
    }
    let checking = match settings.host_keys {
        HostKeyPolicy::AcceptNew => "accept-new",
        HostKeyPolicy::Strict => "yes",
        HostKeyPolicy::Off => "no",
    };
    option(format!("StrictHostKeyChecking={checking}"));
    if !before.is_empty() {
        let through = hop(
            before,
            &forward_target(&last.host, last.port),
            settings,
            timeout,
        );
        let words = std::iter::once("ssh".to_owned()).chain(through);
        // A percent sign begins a token there.
        let command = shell_words::join(words).replace('%', "%%");
        option(format!("ProxyCommand={command}"));
    }
    if let Some(identity) = &settings.identity {
        arguments.extend(["-i".to_owned(), identity.display().to_string()]);
    }
    if let Some(user) = &last.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    arguments.extend(["-p".to_owned(), last.port.to_string()]);
    arguments.extend(["-W".to_owned(), target.to_owned()]);
    arguments.extend(["--".to_owned(), last.host.clone()]);
    arguments
}

/// Writes `host:port`, an IPv6 address in brackets.
fn forward_target(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
