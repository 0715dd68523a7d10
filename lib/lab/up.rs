//! Builds a lab: the base, the network, the disks, then all machines at once.
//!
//! Each step makes what is missing only, so that it also finishes an `up` that was interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use super::addresses;
use super::base;
use super::cgroup::Groups;
use super::disk::{Disk, Identity};
use super::error::{At, Error};
use super::known_hosts;
use super::names::Names;
use super::network;
use super::power;
use super::requirements;
use super::spec::{self, Spec};
use super::state::{self, Folders, MachineRecord, Record};
use super::suite::Suite;

/// How many machines boot at the same time.
const PARALLEL: usize = 4;

/// Builds the lab; the caller holds its lock and knows that this computer can run one.
pub(super) fn up(
    folders: &Folders,
    names: &Names,
    spec: &Spec,
    progress: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let lab = folders.lab(&spec.name);
    let old: Option<Record> = state::read_json(&state::record_path(&lab))?;
    let known: BTreeSet<_> = old
        .iter()
        .flat_map(|old| &old.machines)
        .map(|m| &m.name)
        .collect();
    for name in known
        .iter()
        .filter(|name| spec.machines.iter().all(|m| m.name != ***name))
    {
        progress(&format!(
            "{name}: not asked for any more; it stays until `lab down`"
        ));
    }
    let earlier_known_hosts = old.as_ref().and_then(|old| old.known_hosts.clone());
    let record = spec::merge(spec, old.clone(), Suite::usual()?)?;
    let suites: BTreeSet<_> = record
        .machines
        .iter()
        .map(|machine| machine.suite)
        .collect();
    let missing: Vec<_> = suites
        .iter()
        .copied()
        .flat_map(requirements::missing_for)
        .collect();
    if !missing.is_empty() {
        return Err(Error::CannotRun(missing));
    }
    refuse_collisions(folders, names, &record)?;
    std::fs::create_dir_all(lab.join("machines")).at("make", &lab)?;
    state::write_json(&state::record_path(&lab), &record)?;

    let mut bases = BTreeMap::new();
    for suite in suites {
        let base = base::ensure(folders, suite, &spec.preinstalled, progress)?;
        bases.insert(suite, base);
    }
    network::make(names, &record)?;
    for machine in &record.machines {
        make_disk(&lab, &bases[&machine.suite], &record, machine)?;
    }
    let addresses = record
        .machines
        .iter()
        .map(|machine| machine.address)
        .collect();
    if let Some(earlier) = earlier_known_hosts.filter(|it| Some(it) != record.known_hosts.as_ref())
    {
        known_hosts::clear(&earlier, &addresses)?;
    }
    let key = |machine: &MachineRecord| {
        disk(&lab, &machine.name)
            .public_key()
            .map(|key| (machine.address, key))
    };
    let keys: Vec<_> = record.machines.iter().map(key).collect::<Result<_, _>>()?;
    for file in [Some(lab.join("known_hosts")), record.known_hosts.clone()]
        .into_iter()
        .flatten()
    {
        known_hosts::set(&file, &keys)?;
    }

    let groups = Groups::new(names.chain())?;
    let rekeyed = old.is_none_or(|old| old.authorized_keys != record.authorized_keys);
    let done = AtomicUsize::new(0);
    at_once(&record.machines, progress, |machine, say| {
        let disk = disk(&lab, &machine.name);
        let on = power::is_on(&disk)?;
        if on && !disk.ready().exists() {
            // An interrupted `up` didn't see the end of this boot, so it starts again.
            power::kill(names, &groups, machine.index, &disk)?;
        }
        let stays = on && disk.ready().exists();
        if rekeyed {
            let leader = groups.leader(machine.index).filter(|_| stays);
            disk.reauthorize(leader, &record.user, &record.authorized_keys)?;
        }
        if !stays {
            boot(names, &groups, &record, machine, &disk)?;
        }
        let count = done.fetch_add(1, Ordering::Relaxed) + 1;
        let what = if stays { "was up already" } else { "is up" };
        let (name, address, all) = (&machine.name, machine.address, record.machines.len());
        say(format!("{name}: {what} at {address} ({count} of {all})"));
        Ok(())
    })
}

/// Boots one machine of the lab.
pub(super) fn boot(
    names: &Names,
    groups: &Groups,
    record: &Record,
    machine: &MachineRecord,
    disk: &Disk,
) -> Result<(), Error> {
    let base = &disk.base()?;
    if !base.is_dir() {
        let gone = format!(
            "the base of {}'s disk, {}, is gone",
            machine.name,
            base.display()
        );
        return Err(Error::Refused(vec![format!(
            "{gone}; run `lab down`, then `lab up`"
        )]));
    }
    let room = record
        .rooms
        .iter()
        .position(|room| *room == machine.room)
        .unwrap_or(0);
    let (name, index, bridge) = (machine.name.as_str(), machine.index, names.bridge(room));
    let suite = machine.suite;
    power::boot(
        names,
        groups,
        &power::Boot {
            name,
            index,
            bridge,
            disk,
            base,
            suite,
        },
    )
}

/// The disk of a machine.
pub(super) fn disk(lab: &Path, machine: &str) -> Disk {
    Disk::new(lab.join("machines").join(machine))
}

fn make_disk(
    lab: &Path,
    base: &Path,
    record: &Record,
    machine: &MachineRecord,
) -> Result<(), Error> {
    let identity = Identity {
        name: &machine.name,
        address: machine.address,
        gateway: spec::gateway(record, machine.address),
        user: &record.user,
        authorized_keys: &record.authorized_keys,
    };
    disk(lab, &machine.name).make(base, &identity)
}

/// Refuses a lab whose addresses already lead somewhere else, before anything is made.
fn refuse_collisions(folders: &Folders, names: &Names, record: &Record) -> Result<(), Error> {
    let labs = folders.labs()?;
    let owner = |device: &str| {
        labs.iter()
            .find(|lab| Names::new(&folders.state, lab).owns_link(device))
            .cloned()
    };
    let networks = record.gateways.keys().copied();
    let found = addresses::collisions(
        networks,
        &network::routes()?,
        &network::nameservers(),
        names,
        owner,
    );
    if found.is_empty() {
        Ok(())
    } else {
        Err(Error::Refused(found))
    }
}

/// Works on machines a few at a time; one that fails doesn't stop the others.
fn at_once(
    machines: &[MachineRecord],
    progress: &mut dyn FnMut(&str),
    work: impl Fn(&MachineRecord, &dyn Fn(String)) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let (sender, receiver) = mpsc::channel::<String>();
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(machines.len()) {
            let (sender, next, failed, work) = (sender.clone(), &next, &failed, &work);
            scope.spawn(move || {
                // Nobody reads any more once the receiver is gone; the work goes on.
                let say = |text| drop(sender.send(text));
                while let Some(machine) = machines.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(machine, &say) {
                        failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(error);
                    }
                }
            });
        }
        drop(sender);
        for text in receiver {
            progress(&text);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failed.len() {
        0 => Ok(()),
        1 => Err(failed.remove(0)),
        _ => Err(Error::Several(failed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(index: usize) -> MachineRecord {
        let address = std::net::Ipv4Addr::new(10, 98, 1, 1);
        MachineRecord {
            index,
            name: format!("m{index}"),
            address,
            room: None,
            suite: Suite::Bookworm,
        }
    }

    #[test]
    fn a_failing_machine_does_not_stop_the_others() {
        let machines: Vec<_> = (0..9).map(machine).collect();
        let mut said = Vec::new();
        let result = at_once(
            &machines,
            &mut |text| said.push(text.to_owned()),
            |machine, say| {
                if machine.index % 4 == 0 {
                    return Err(Error::NotRunning(machine.name.clone()));
                }
                say(machine.name.clone());
                Ok(())
            },
        );
        assert_eq!(said.len(), 6);
        assert!(matches!(result, Err(Error::Several(errors)) if errors.len() == 3));
    }
}
