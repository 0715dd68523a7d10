//! The lab's network on this computer: one bridge for each room, routed to each other and out.
//!
//! Power and disks are elsewhere; a link here is just a cable that can be pulled.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::addresses::{self, Bridge, Net, Route};
use super::command;
use super::error::{At, Error};
use super::firewall;
use super::names::Names;
use super::state::{self, Lock, Record};

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// What forwarding was before the first lab. Forwarding is this whole computer's, so this is in a
/// fixed place, whatever folder a lab's state is in.
const EARLIER: &str = "/run/paas-cluster-build-lab.json";
/// Held while forwarding changes.
const HOST_LOCK: &str = "/run/paas-cluster-build-lab.lock";

/// Reads this computer's routes.
pub(super) fn routes() -> Result<Vec<Route>, Error> {
    addresses::routes(&command::run(
        "ip",
        ["-json", "-4", "route", "show", "table", "all"],
    )?)
}

/// Makes what is missing of the lab's bridges, routes and rules.
pub(super) fn make(names: &Names, record: &Record) -> Result<(), Error> {
    for bridge in addresses::bridges(record) {
        make_bridge(names, &bridge)?;
    }
    let networks: BTreeMap<_, _> = addresses::networks(&record.machines);
    let networks: Vec<Net> = networks
        .keys()
        .map(|&base| Net { base, length: 24 })
        .collect();
    firewall::open(names, &networks)?;
    start_forwarding()
}

fn make_bridge(names: &Names, bridge: &Bridge) -> Result<(), Error> {
    let name = names.bridge(bridge.room);
    if !exists(&name) {
        let mac = names.bridge_mac(bridge.room);
        command::run(
            "ip",
            ["link", "add", &name, "address", &mac, "type", "bridge"],
        )?;
    }
    command::run("ip", ["link", "set", &name, "up"])?;
    for address in &bridge.addresses {
        command::run(
            "ip",
            ["address", "replace", &address.to_string(), "dev", &name],
        )?;
    }
    for (machine, gateway) in &bridge.single {
        let (machine, gateway) = (format!("{machine}/32"), gateway.to_string());
        command::run(
            "ip",
            ["route", "replace", &machine, "dev", &name, "src", &gateway],
        )?;
    }
    if !bridge.single.is_empty() {
        // Machines look for the whole /24 on their own bridge, so it answers for the other rooms;
        // at once, since the usual random delay (0.8 s) is meant for real proxies.
        write(&format!("/proc/sys/net/ipv4/conf/{name}/proxy_arp"), "1")?;
        write(&format!("/proc/sys/net/ipv4/neigh/{name}/proxy_delay"), "0")?;
    }
    Ok(())
}

/// Says whether an interface is there.
pub(super) fn exists(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).exists()
}

/// Pulls or plugs the cable of an interface; one that isn't there is fine.
pub(super) fn plug(interface: &str, plugged: bool) -> Result<(), Error> {
    let to = if plugged { "up" } else { "down" };
    tolerate_gone(
        interface,
        command::run("ip", ["link", "set", interface, to]),
    )
}

/// Removes an interface; one that isn't there is fine.
pub(super) fn remove(interface: &str) -> Result<(), Error> {
    if !exists(interface) {
        return Ok(());
    }
    tolerate_gone(interface, command::run("ip", ["link", "delete", interface]))
}

/// The kernel may remove a dead machine's link between our look and our command.
fn tolerate_gone(interface: &str, result: Result<String, Error>) -> Result<(), Error> {
    match result {
        Err(_) if !exists(interface) => Ok(()),
        other => other.map(drop),
    }
}

/// Removes every interface and rule of a lab; returns how many there were.
pub(super) fn unmake(names: &Names) -> Result<usize, Error> {
    let folder = Path::new("/sys/class/net");
    let entries = folder.read_dir().at("read", folder)?.flatten();
    let interfaces = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let ours: Vec<_> = interfaces
        .filter(|interface| names.owns_link(interface))
        .collect();
    for interface in &ours {
        remove(interface)?;
    }
    Ok(ours.len() + firewall::close(names)?)
}

/// Lists the name servers that machines will use.
pub(super) fn nameservers() -> Vec<Ipv4Addr> {
    let text = resolver().1;
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers
        .filter_map(|server| server.trim().parse().ok())
        .collect()
}

/// Finds a resolv.conf that also works in a machine: one that names only this computer's own
/// resolver doesn't, but systemd-resolved keeps the real one beside it.
pub(super) fn resolver() -> (PathBuf, String) {
    let usual = PathBuf::from("/etc/resolv.conf");
    let text = std::fs::read_to_string(&usual).unwrap_or_default();
    let mut servers = text
        .lines()
        .filter(|line| line.trim_start().starts_with("nameserver"));
    if servers.all(|line| line.contains(" 127.") || line.contains(" ::1")) {
        let upstream = PathBuf::from("/run/systemd/resolve/resolv.conf");
        if let Ok(text) = std::fs::read_to_string(&upstream) {
            return (upstream, text);
        }
    }
    (usual, text)
}

/// What forwarding was before the first lab.
#[derive(Debug, Serialize, Deserialize)]
struct Earlier {
    forward: String,
    /// The value means nothing after a restart of this computer.
    boot: String,
}

/// Lets packets through this computer; the earlier value is remembered for the last `down`.
fn start_forwarding() -> Result<(), Error> {
    let _lock = host_lock()?;
    let now = read(FORWARD)?;
    let path = Path::new(EARLIER);
    let boot = boot_id()?;
    let known: Option<Earlier> = state::read_json(path)?;
    if known.is_none_or(|earlier| earlier.boot != boot) {
        state::write_json(
            path,
            &Earlier {
                forward: now.clone(),
                boot,
            },
        )?;
    }
    if now == "1" {
        Ok(())
    } else {
        write(FORWARD, "1")
    }
}

/// Puts forwarding back to what it was, unless another lab needs it.
pub(super) fn stop_forwarding() -> Result<(), Error> {
    let path = Path::new(EARLIER);
    if !path.exists() {
        return Ok(());
    }
    let lock = host_lock()?;
    // A lab makes its bridges before it asks for forwarding, so none is missed here.
    if interfaces()?
        .iter()
        .any(|interface| Names::any_lab(interface))
    {
        return Ok(());
    }
    if let Some(earlier) = state::read_json::<Earlier>(path)?
        && earlier.boot == boot_id()?
        && earlier.forward != read(FORWARD)?
    {
        write(FORWARD, &earlier.forward)?;
    }
    state::remove_file(path)?;
    lock.remove()
}

/// Keeps two labs from changing this computer's own settings at once.
fn host_lock() -> Result<Lock, Error> {
    Lock::take(Path::new(HOST_LOCK), &mut || ())
}

fn interfaces() -> Result<Vec<String>, Error> {
    let folder = Path::new("/sys/class/net");
    let entries = folder.read_dir().at("read", folder)?.flatten();
    Ok(entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

fn boot_id() -> Result<String, Error> {
    read("/proc/sys/kernel/random/boot_id")
}

fn read(path: &str) -> Result<String, Error> {
    let text = std::fs::read_to_string(path).at("read", Path::new(path))?;
    Ok(text.trim().to_owned())
}

fn write(path: &str, value: &str) -> Result<(), Error> {
    std::fs::write(path, value).at("write", Path::new(path))
}
