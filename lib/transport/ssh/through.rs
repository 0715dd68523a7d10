//! The way through other hosts: OpenSSH's own `ssh -W` for jump hosts, or a `ProxyCommand`; a child
//! whose input and output carry the session.

use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::config::{Hop, Target, Way};
use super::gate::{Gate, Gates, Ticket};
use super::{openssh, setup};
use crate::model::{HostKeyPolicy, SshConfig};
use crate::transport::{TransportError, TransportErrorKind};

/// How much of what the child says is kept.
const SAID: usize = 4096;

/// How long the last words of a ProxyCommand are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What OpenSSH says where a connection was taken and cut before the login: by `MaxStartups`, or a
/// flaky network.
const CUT: [&str; 5] = [
    "kex_exchange_identification",
    "ssh_exchange_identification",
    "Connection closed by",
    "Connection reset by",
    "banner exchange",
];

/// What it says where trying again is of no use. An inner `ssh` then speaks of a cut as well.
const NO_WAY: [&str; 6] = [
    "connect to host",
    "Could not resolve hostname",
    "open failed",
    "Permission denied",
    "Host key verification failed",
    "Too many authentication failures",
];

/// Those of them that are true for everybody who wants to go through the same host.
const FOR_ALL: [&str; 2] = ["connect to host", "Could not resolve hostname"];

/// The child that carries a session.
pub(super) struct Carrier {
    child: Child,
    /// Reads what the child says, to its end.
    reader: Option<JoinHandle<()>>,
    heard: Arc<Mutex<Heard>>,
    gates: Vec<Arc<Gate>>,
    /// How many hosts are on the way, as far as that is known.
    hops: Option<usize>,
}

/// What the child has said.
#[derive(Default)]
struct Heard {
    said: String,
    /// How many hosts on the way have let it in.
    passed: usize,
    /// Held until the way is open.
    tickets: Vec<Ticket>,
}

/// Starts the child; it waits for its turn before each host that it goes through.
pub(super) fn start(
    target: &Target,
    timeout: Duration,
    gates: &Gates,
) -> Result<(UnixStream, Carrier), TransportError> {
    let failed = |error: io::Error| setup(&format!("the way to the host can't be begun: {error}"));
    let (mut command, before, hops) = match &target.way {
        Way::Through(hops) => {
            let mut command = openssh::ssh();
            command.args(hop(hops, &forward_target(target), target, timeout));
            let before = hops.iter().map(name).collect();
            (command, before, Some(hops.len()))
        }
        Way::Command(ready, written) => (shell(ready), vec![written.clone()], None),
        Way::Straight => unreachable!("a straight way needs no child"),
    };
    let gates = in_order(before, gates);
    let tickets = gates
        .iter()
        .map(Gate::enter)
        .collect::<Result<Vec<_>, _>>()?;
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let input: OwnedFd = theirs.try_clone().map_err(failed)?.into();
    let output: OwnedFd = theirs.into();
    let mut child = command
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let heard = Arc::new(Mutex::new(Heard {
        tickets,
        ..Heard::default()
    }));
    let reader = child.stderr.take().map(|stderr| {
        let heard = heard.clone();
        thread::spawn(move || listen(stderr, &heard, hops))
    });
    let carrier = Carrier {
        child,
        reader,
        heard,
        gates,
        hops,
    };
    Ok((ours, carrier))
}

/// The gates before these hosts, in one order for everybody: two that wait for each other would wait
/// for ever.
fn in_order(mut before: Vec<String>, gates: &Gates) -> Vec<Arc<Gate>> {
    before.sort();
    before.dedup();
    before.iter().map(|what| gates.before(what)).collect()
}

/// Keeps what the child says, and gives the places before its hosts back when all let it in.
fn listen(stderr: ChildStderr, heard: &Mutex<Heard>, hops: Option<usize>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        let mut heard = lock(heard);
        if hops.is_some() && line.starts_with("Authenticated to ") {
            heard.passed += 1;
            if Some(heard.passed) == hops {
                heard.tickets.clear();
            }
        } else if !line.is_empty() && heard.said.len() < SAID && !is_chatter(line) {
            let space = if heard.said.is_empty() { "" } else { " " };
            heard.said.push_str(space);
            heard.said.push_str(line);
        }
    }
}

/// What OpenSSH says at this level of talk where all is well.
fn is_chatter(line: &str) -> bool {
    const CHATTER: [&str; 3] = [
        "Transferred: ",
        "Bytes per second: ",
        "Warning: Permanently added",
    ];
    CHATTER.iter().any(|words| line.starts_with(words))
}

impl Carrier {
    /// Gives the places before the hosts back: the target itself has answered.
    pub(super) fn is_open(&self) {
        lock(&self.heard).tickets.clear();
    }

    /// Why the way didn't open, in the child's own words, if it said any.
    pub(super) fn failure(&mut self) -> Option<TransportError> {
        // It won't say more, and its words can be read to their end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What a ProxyCommand has left running may hold the pipe open; then what came is all.
        let until = Instant::now() + LAST_WORDS;
        if let Some(reader) = self.reader.take() {
            while self.hops.is_none() && !reader.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(5));
            }
            if self.hops.is_some() || reader.is_finished() {
                let _ = reader.join();
            }
        }
        let heard = lock(&self.heard);
        if heard.said.is_empty() {
            return None;
        }
        let passed = self.hops.is_some_and(|hops| heard.passed >= hops);
        let says = |words: &[&str]| words.iter().any(|words| heard.said.contains(words));
        let was_cut = !passed && says(&CUT) && !says(&NO_WAY);
        let for_all = !passed && self.hops == Some(1) && says(&FOR_ALL);
        let (kind, what) = match (was_cut, self.hops) {
            (true, _) => (
                TransportErrorKind::Protocol,
                "the connection to the jump host was cut before the login (MaxStartups, or a flaky \
                 network)",
            ),
            (false, Some(_)) => (
                TransportErrorKind::NoRoute,
                "the way through the jump host didn't open",
            ),
            (false, None) => (
                TransportErrorKind::NoRoute,
                "the ProxyCommand didn't reach the host",
            ),
        };
        let by = if self.hops.is_some() { "ssh" } else { "it" };
        let error = TransportError::new(kind, format!("{what}; {by} said: {}", heard.said));
        drop(heard);
        for gate in &self.gates {
            if was_cut {
                gate.narrow();
            } else if for_all {
                gate.shut(&error);
            }
        }
        Some(error)
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        lock(&self.heard).tickets.clear();
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operator's shell, which becomes the command, as OpenSSH runs it.
fn shell(command: &str) -> Command {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let mut shell = openssh::command(shell.as_deref().unwrap_or("/bin/sh".as_ref()));
    shell.args(["-c", &format!("exec {command}")]);
    shell
}

/// The ProxyCommand of an `ssh` to the same target; none where the way is straight.
pub(super) fn proxy_command(target: &Target, timeout: Duration) -> Option<String> {
    let command = match &target.way {
        Way::Straight => return None,
        Way::Command(ready, _) => ready.clone(),
        Way::Through(hops) => ssh_line(hop(hops, &forward_target(target), target, timeout)),
    };
    // A percent sign begins a token there.
    Some(command.replace('%', "%%"))
}

fn ssh_line(arguments: Vec<String>) -> String {
    shell_words::join(std::iter::once("ssh".to_owned()).chain(arguments))
}

/// The arguments of an `ssh` that goes through these jump hosts, the last of which connects to the
/// target. Those before it are an `ssh` of their own, which OpenSSH starts as its ProxyCommand:
/// its `-J` would not pass key, known_hosts and policy on. The key, the known_hosts file and the
/// policy of the cluster file count for each of them; else each has its own configuration.
fn hop(hops: &[Hop], to: &str, target: &Target, timeout: Duration) -> Vec<String> {
    let settings = &target.ssh;
    let (last, before) = hops.split_last().expect("a jump was found");
    let mut arguments: Vec<String> = Vec::new();
    if let SshConfig::File(path) = &settings.config {
        arguments.extend(["-F".to_owned(), path.display().to_string()]);
    }
    let mut option = |text: String| arguments.extend(["-o".to_owned(), text]);
    option("BatchMode=yes".to_owned());
    option("ExitOnForwardFailure=yes".to_owned());
    // At this level it tells when a host has let it in.
    option("LogLevel=VERBOSE".to_owned());
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
        let to = host_and_port(&last.host, last.port.unwrap_or(22));
        let command = ssh_line(hop(before, &to, target, timeout));
        option(format!("ProxyCommand={}", command.replace('%', "%%")));
    }
    if let Some(identity) = &settings.identity {
        arguments.extend(["-i".to_owned(), identity.display().to_string()]);
    }
    if let Some(user) = &last.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = last.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["-W".to_owned(), to.to_owned()]);
    arguments.extend(["--".to_owned(), last.host.clone()]);
    arguments
}

fn forward_target(target: &Target) -> String {
    host_and_port(&target.name, target.port)
}

fn name(hop: &Hop) -> String {
    host_and_port(&hop.host, hop.port.unwrap_or(22))
}

/// Writes `host:port`, an IPv6 address in brackets.
fn host_and_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
