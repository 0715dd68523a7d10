//! What a caller asks for, checked, and merged with the lab that is there already.
//!
//! Nothing is made here; `up` records the result and builds it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::addresses::{self, Net};
use super::error::Error;
use super::state::{MachineRecord, Record};
use super::suite::Suite;

/// The most machines of one lab; their index has three digits in the names of their links.
const MOST: usize = 250;

/// Describes a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The cluster's name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Its machines.
    pub machines: Vec<Machine>,
    /// The login of each machine, with `sudo` and no password.
    pub user: String,
    /// The public keys that may log in, one line each, as in an `authorized_keys` file.
    pub authorized_keys: Vec<String>,
    /// A `known_hosts` file to keep the machines' host keys in, for as long as the lab is there.
    pub known_hosts: Option<PathBuf>,
    /// Debian packages that new machines have from the start, so that trying something again and
    /// again doesn't install them again and again. In order, each once.
    pub preinstalled: Vec<String>,
}

/// Describes one machine of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name: letters, digits, dots, hyphens and underscores.
    pub name: String,
    /// Its address; only IPv4 is possible.
    pub address: IpAddr,
    /// Its room. Rooms have a network of their own and can be cut from each other.
    pub room: Option<String>,
    /// Its Debian release; none is the one that it has already and, for a new machine, the one that
    /// `PAAS_LAB_SUITE` names, or Debian 12.
    pub suite: Option<Suite>,
}

/// Checks that a lab's name can be a folder and part of other names.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.len() <= 63 && name.chars().all(fits) && !name.starts_with('-') {
        return Ok(());
    }
    Err(Error::BadSpec(vec![format!(
        "{name:?} can't be a lab's name; use up to 63 lower-case letters, digits and hyphens"
    )]))
}

/// Checks everything that is wrong in a specification by itself.
pub(super) fn check(spec: &Spec) -> Result<(), Error> {
    check_name(&spec.name)?;
    let mut problems = Vec::new();
    let login = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !spec
        .user
        .starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        || spec.user.len() > 32
        || !spec.user.chars().all(login)
    {
        problems.push(format!("{:?} can't be a login", spec.user));
    }
    if spec
        .authorized_keys
        .iter()
        .any(|key| key.trim().contains('\n'))
    {
        problems.push("a public key has to be one line".into());
    }
    if spec.machines.is_empty() {
        problems.push("it has no machines".into());
    }
    if spec.machines.len() > MOST {
        problems.push(format!(
            "it has {} machines, more than {MOST}",
            spec.machines.len()
        ));
    }
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeMap::new());
    for machine in &spec.machines {
        let name = &machine.name;
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts || name.len() > 63 || !name.chars().all(fits) {
            problems.push(format!("{name:?} can't be a machine's name"));
        }
        if !names.insert(name) {
            problems.push(format!("machine {name} is there twice"));
        }
        match machine.address {
            IpAddr::V6(address) => problems.push(format!(
                "machine {name} is at {address}; the lab can do IPv4 only, so far"
            )),
            IpAddr::V4(address) => {
                if let Some(why) = addresses::unfit(address) {
                    problems.push(format!("machine {name} is at {address}, which {why}"));
                }
                if let Some(other) = addresses.insert(address, name) {
                    problems.push(format!("machines {other} and {name} are both at {address}"));
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::BadSpec(problems))
    }
}

/// Merges a checked specification into what is there: machines that are new are added, those that
/// are there stay as they are, and those that aren't asked for any more stay, too.
/// New machines for which nothing else is asked get the suite `usual`.
pub(super) fn merge(spec: &Spec, old: Option<Record>, usual: Suite) -> Result<Record, Error> {
    let mut problems = Vec::new();
    let mut record = old.unwrap_or_else(|| Record {
        user: spec.user.clone(),
        authorized_keys: Vec::new(),
        known_hosts: None,
        machines: Vec::new(),
        rooms: Vec::new(),
        gateways: BTreeMap::new(),
    });
    if record.user != spec.user {
        problems.push(format!(
            "the lab's login is {}, not {}",
            record.user, spec.user
        ));
    }
    record.authorized_keys.clone_from(&spec.authorized_keys);
    record.known_hosts.clone_from(&spec.known_hosts);
    for machine in &spec.machines {
        let IpAddr::V4(address) = machine.address else {
            continue;
        };
        if !record.rooms.contains(&machine.room) {
            record.rooms.push(machine.room.clone());
        }
        if let Some(there) = record
            .machines
            .iter()
            .find(|there| there.name == machine.name)
        {
            if there.address != address || there.room != machine.room {
                problems.push(format!("machine {} is at {}", there.name, place(there)));
            }
            if machine.suite.is_some_and(|suite| suite != there.suite) {
                problems.push(format!(
                    "machine {} has {} already",
                    there.name, there.suite
                ));
            }
            continue;
        }
        if let Some(there) = record
            .machines
            .iter()
            .find(|there| there.address == address)
        {
            problems.push(format!("machine {} is at {}", there.name, place(there)));
            continue;
        }
        if record.gateways.values().any(|&gateway| gateway == address) {
            problems.push(format!("{address} is the lab's own gateway now"));
            continue;
        }
        record.machines.push(MachineRecord {
            index: record.machines.len(),
            name: machine.name.clone(),
            address,
            room: machine.room.clone(),
            suite: machine.suite.unwrap_or(usual),
        });
    }
    for (base, used) in addresses::networks(&record.machines) {
        match addresses::highest_free(base, &used) {
            Some(free) => {
                record.gateways.entry(base).or_insert(free);
            }
            None => problems.push(format!("{} is full", Net { base, length: 24 })),
        }
    }
    if problems.is_empty() {
        return Ok(record);
    }
    let remedy = "run `lab down` first to make it anew";
    Err(Error::Refused(
        problems
            .into_iter()
            .map(|one| format!("{one}; {remedy}"))
            .collect(),
    ))
}

fn place(machine: &MachineRecord) -> String {
    let room = machine.room.as_ref().map(|room| format!(" in room {room}"));
    format!("{}{} already", machine.address, room.unwrap_or_default())
}

/// The gateway of an address; the record has one for each of its machines.
pub(super) fn gateway(record: &Record, address: Ipv4Addr) -> Ipv4Addr {
    let base = Net::around(address).base;
    record.gateways.get(&base).copied().unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(machines: &[(&str, &str)]) -> Spec {
        let machine = |&(name, address): &(&str, &str)| Machine {
            name: name.into(),
            address: address.parse().unwrap(),
            room: None,
            suite: None,
        };
        Spec {
            name: "test".into(),
            machines: machines.iter().map(machine).collect(),
            user: "paas".into(),
            authorized_keys: vec!["ssh-ed25519 AAAA x\n".into()],
            known_hosts: None,
            preinstalled: Vec::new(),
        }
    }

    #[test]
    fn every_problem_is_said_at_once() {
        let mut bad = spec(&[
            ("a", "10.98.1.1"),
            ("a", "10.98.1.2"),
            ("../b", "10.98.1.1"),
            ("c", "fd00::1"),
            ("d", "127.0.0.1"),
        ]);
        bad.user = "Root!".into();
        let text = check(&bad).unwrap_err().to_string();
        for part in [
            "Root!",
            "a is there twice",
            "../b",
            "both at 10.98.1.1",
            "IPv4",
            "loopback",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        bad.name = "Not A Name".into();
        assert!(check(&bad).is_err());
        assert!(check(&spec(&[("nats_1", "10.98.1.1")])).is_ok());
    }

    #[test]
    fn machines_are_added_and_the_others_stay() {
        let first = merge(&spec(&[("a", "10.98.1.1")]), None, Suite::Bookworm).unwrap();
        let second = merge(
            &spec(&[("b", "10.98.2.1")]),
            Some(first.clone()),
            Suite::Bookworm,
        )
        .unwrap();
        assert_eq!(second.machines[0], first.machines[0]);
        assert_eq!(
            (second.machines[1].index, second.machines[1].name.as_str()),
            (1, "b")
        );
        assert_eq!(
            gateway(&second, Ipv4Addr::new(10, 98, 2, 1)),
            Ipv4Addr::new(10, 98, 2, 254)
        );
    }

    #[test]
    fn what_would_move_a_machine_is_refused() {
        let there = merge(&spec(&[("a", "10.98.1.1")]), None, Suite::Bookworm).unwrap();
        for machines in [("a", "10.98.1.2"), ("b", "10.98.1.1"), ("c", "10.98.1.254")] {
            let error =
                merge(&spec(&[machines]), Some(there.clone()), Suite::Bookworm).unwrap_err();
            assert!(error.to_string().contains("lab down"), "{error}");
        }
    }

    #[test]
    fn a_machine_keeps_its_suite() {
        let mut asked = spec(&[("a", "10.98.1.1"), ("b", "10.98.1.2")]);
        asked.machines[1].suite = Some(Suite::Trixie);
        let there = merge(&asked, None, Suite::Bookworm).unwrap();
        let suites = |record: &Record| record.machines.iter().map(|m| m.suite).collect::<Vec<_>>();
        assert_eq!(suites(&there), [Suite::Bookworm, Suite::Trixie]);
        // Whoever asks for none gets what is there.
        asked.machines[1].suite = None;
        let again = merge(&asked, Some(there.clone()), Suite::Bookworm).unwrap();
        assert_eq!(suites(&again), suites(&there));
        asked.machines[0].suite = Some(Suite::Trixie);
        let error = merge(&asked, Some(there), Suite::Bookworm)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("machine a has bookworm already; run `lab down`"),
            "{error}"
        );
    }
}
