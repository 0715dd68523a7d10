//! Power of one machine: boots it, waits until sshd answers, and pulls the plug.
//!
//! A machine outlives the program that booted it: its launcher has a session of its own, and its
//! only tie to this module is a lock that it holds as long as it runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::cgroup::Groups;
use super::command;
use super::disk::Disk;
use super::error::{At, Error};
use super::names::Names;
use super::network;
use super::state;
use super::suite::Suite;

/// What the launcher runs; its arguments are explained there.
const LAUNCH: &str = include_str!("launch.sh");
/// The most that a boot may take, on a busy computer, too.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the thread that waits for the launcher says when it is gone.
const GONE: &[u8] = b"GONE";

/// What it takes to boot one machine.
#[derive(Debug)]
pub(super) struct Boot<'a> {
    pub(super) name: &'a str,
    pub(super) index: usize,
    pub(super) bridge: String,
    pub(super) disk: &'a Disk,
    pub(super) base: &'a Path,
    pub(super) suite: Suite,
}

/// Says whether the power is on: whether a launcher holds the machine's lock.
pub(super) fn is_on(disk: &Disk) -> Result<bool, Error> {
    let path = disk.power();
    if !path.exists() {
        return Ok(false);
    }
    let file = File::open(&path).at("open", &path)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
    }
}

/// Says whether sshd listens inside of a machine. Reading the kernel's table costs sshd nothing,
/// while a probe that connects and leaves is penalised by newer versions.
pub(super) fn sshd_listens(leader: u32) -> bool {
    let table = |name| std::fs::read_to_string(format!("/proc/{leader}/net/{name}"));
    ["tcp", "tcp6"]
        .into_iter()
        .filter_map(|name| table(name).ok())
        .any(|text| listens(&text, 22))
}

/// Boots a machine and returns when its sshd listens.
pub(super) fn boot(names: &Names, groups: &Groups, boot: &Boot<'_>) -> Result<(), Error> {
    let disk = boot.disk;
    state::remove_file(&disk.ready())?;
    groups.end_machine(boot.index)?;
    // The link of a machine that lost its power may still be there.
    network::remove(&names.link(boot.index))?;
    let cgroups = groups.make(boot.index)?;

    // From a file and not as an argument, so that a listing of processes stays readable.
    let script = disk.folder().join("launch.sh");
    state::replace(&script, LAUNCH.as_bytes())?;
    let console = disk.console();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&console)
        .at("open", &console)?;
    let errors = log.try_clone().at("open", &console)?;
    let (socket, address, name) = notification_socket()?;
    let mut launcher = command::command("setsid");
    launcher
        .args(["unshare", "--mount", "--propagation", "private", "--", "sh"])
        .arg(script)
        .args([&names.machine(boot.index), &boot.bridge])
        .args([disk.folder(), boot.base])
        .args(cgroups)
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .current_dir("/")
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors));
    if boot.suite.needs_cgroup2() {
        // systemd-nspawn then gives the machine version 2 alone, on a computer that has both, too.
        launcher.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
    }
    let mut child = launcher
        .spawn()
        .at("start the launcher in", disk.folder())?;
    // Collects the launcher whenever it ends, and tells a boot that waits for it.
    std::thread::spawn(move || {
        let _ = child.wait();
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(GONE, &address));
    });

    let failed = |why: &str| {
        let text = std::fs::read(&console).unwrap_or_default();
        Error::Boot {
            machine: boot.name.to_owned(),
            why: why.to_owned(),
            log: console.clone(),
            tail: command::last_lines(&String::from_utf8_lossy(&text), 15),
        }
    };
    wait_until_ready(&socket).map_err(failed)?;
    if !groups.leader(boot.index).is_some_and(sshd_listens) {
        return Err(failed("it booted, but sshd doesn't listen"));
    }
    if disk.cut().exists() {
        network::plug(&names.link(boot.index), false)?;
    }
    std::fs::write(disk.ready(), "").at("write", &disk.ready())
}

/// Takes the power away: no process gets to say goodbye, no packet leaves any more.
pub(super) fn kill(names: &Names, groups: &Groups, index: usize, disk: &Disk) -> Result<(), Error> {
    network::plug(&names.link(index), false)?;
    if let Some(leader) = groups.leader(index) {
        command::kill_now(&[leader])?;
        // systemd-nspawn then cleans up behind itself; where it doesn't, the next lines do.
        if disk.power().exists() {
            let mut wait = command::command("flock");
            wait.args(["--timeout", "10"]).arg(disk.power()).arg("true");
            command::output(&mut wait)?;
        }
    }
    groups.end_machine(index)?;
    network::remove(&names.link(index))?;
    state::remove_file(&disk.ready())
}

/// Opens the socket that systemd-nspawn reports to. Its name is in no file system, so it leaves
/// nothing behind.
fn notification_socket() -> Result<(UnixDatagram, SocketAddr, String), Error> {
    let name = format!("paas-lab-{}", state::random_id()?);
    let place = Path::new("the notification socket");
    let address = SocketAddr::from_abstract_name(&name).at("name", place)?;
    let socket = UnixDatagram::bind_addr(&address).at("open", place)?;
    Ok((socket, address, name))
}

/// Waits for systemd in the machine to say that everything is started, sshd included.
fn wait_until_ready(socket: &UnixDatagram) -> Result<(), &'static str> {
    const LATE: &str = "it isn't ready after two minutes";
    let deadline = Instant::now() + PATIENCE;
    let mut message = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return Err(LATE);
        }
        match socket.recv(&mut message) {
            Ok(length) if &message[..length] == GONE => return Err("it stopped while booting"),
            Ok(length) if is_ready(&message[..length]) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(LATE),
        }
    }
}

fn is_ready(message: &[u8]) -> bool {
    message
        .split(|&byte| byte == b'\n')
        .any(|line| line == b"READY=1")
}

/// Looks for a listening socket in the text of /proc/net/tcp.
fn listens(table: &str, port: u16) -> bool {
    let end = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        local.is_some_and(|local| local.ends_with(&end)) && state == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_port_is_seen_and_a_connection_is_not() {
        let head = "  sl  local_address rem_address   st tx_queue\n";
        let listening = format!("{head}   0: 00000000:0016 00000000:0000 0A 00000000:00000000\n");
        let connected = format!("{head}   0: 0101620A:0016 0201620A:1F90 01 00000000:00000000\n");
        assert!(listens(&listening, 22));
        assert!(!listens(&listening, 80));
        assert!(!listens(&connected, 22));
    }

    #[test]
    fn only_a_whole_line_means_ready() {
        assert!(is_ready(b"READY=1\n"));
        assert!(is_ready(b"STATUS=up\nREADY=1"));
        assert!(!is_ready(b"STATUS=READY=1"));
    }

    #[test]
    fn the_power_is_on_while_the_lock_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path().into());
        assert!(!is_on(&disk).unwrap());
        let launcher = File::create(disk.power()).unwrap();
        assert!(!is_on(&disk).unwrap());
        launcher.lock().unwrap();
        assert!(is_on(&disk).unwrap());
    }
}
