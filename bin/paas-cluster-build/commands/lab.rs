//! `lab`: the file's machines on this computer.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use paas_cluster_build::lab::{Lab, Machine, Spec, State, Suite};
use paas_cluster_build::model::Cluster;

use crate::args::{Common, LabAction, SuiteChoice};
use crate::exit::{Exit, Failure};
use crate::history::LabNote;
use crate::workspace::Workspace;

/// Carries out a lab subcommand.
pub fn lab(common: &Common, action: &LabAction) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let cluster = &workspace.cluster;
    let mut progress = |text: &str| errln!("{text}");
    let name = lab_name(&cluster.name);
    let lab = Lab::open(&name).map_err(failed)?;
    let noted = noted(action).map(|(what, host)| {
        let hosts = cluster.hosts.iter().map(|host| host.address);
        let hosts = hosts.filter(|address| host.is_none_or(|name| names(name, *address)));
        LabNote::begin(common, &cluster.name, what, hosts.collect())
    });
    let done = act(&workspace, &lab, name, action, &mut progress);
    if let Some(note) = noted {
        note.end(done.as_ref().is_ok_and(|exit| *exit == Exit::Done));
    }
    done
}

/// What of the lab's actions is kept among the runs: those that change machines, each with the
/// machine that it's about.
fn noted(action: &LabAction) -> Option<(&'static str, Option<&str>)> {
    Some(match action {
        LabAction::Up { .. } => ("lab up", None),
        LabAction::Down => ("lab down", None),
        LabAction::Kill { host } => ("lab kill", Some(host)),
        LabAction::Boot { host } => ("lab boot", Some(host)),
        LabAction::Cut { host } => ("lab cut", Some(host)),
        LabAction::Heal { host } => ("lab heal", Some(host)),
        LabAction::CutRooms { .. } => ("lab cut-rooms", None),
        LabAction::HealRooms { .. } => ("lab heal-rooms", None),
        LabAction::Status | LabAction::Ssh { .. } => return None,
    })
}

fn names(name: &str, address: IpAddr) -> bool {
    machine_name(name) == machine_name(&address.to_string())
}

fn act(
    workspace: &Workspace,
    lab: &Lab,
    name: String,
    action: &LabAction,
    progress: &mut dyn FnMut(&str),
) -> Result<Exit, Failure> {
    let cluster = &workspace.cluster;
    match action {
        LabAction::Up { preinstall, suite } => {
            let mut spec = spec(cluster, name)?;
            choose_suites(&mut spec, suite)?;
            if *preinstall {
                spec.preinstalled = packages(workspace);
            }
            let lab = Lab::of(spec).map_err(failed)?;
            lab.up(progress).map_err(failed)?;
        }
        LabAction::Down => {
            lab.down(progress).map_err(failed)?;
        }
        LabAction::Status => {
            for machine in lab.status().map_err(failed)? {
                let state = match machine.state {
                    State::Running => "running",
                    State::Stopped => "stopped",
                    State::Cut => "cut off",
                    State::Missing => "missing",
                };
                let memory = machine.memory.map_or(String::new(), |bytes| {
                    format!("  {} MiB", bytes / 1024 / 1024)
                });
                let (address, suite) = (machine.address.to_string(), machine.suite);
                outln!("{address:<16} {state:<8} {suite:<8}{memory}");
            }
        }
        LabAction::Ssh { host, command } => {
            return ssh(lab, cluster, &machine_name(host), command);
        }
        LabAction::Kill { host } => lab.kill(&machine_name(host)).map_err(failed)?,
        LabAction::Boot { host } => lab.boot(&machine_name(host)).map_err(failed)?,
        LabAction::Cut { host } => lab.cut(&machine_name(host)).map_err(failed)?,
        LabAction::Heal { host } => lab.heal(&machine_name(host)).map_err(failed)?,
        LabAction::CutRooms { a, b } => lab.cut_rooms(a, b).map_err(failed)?,
        LabAction::HealRooms { a, b } => lab.heal_rooms(a, b).map_err(failed)?,
    }
    Ok(Exit::Done)
}

fn ssh(lab: &Lab, cluster: &Cluster, host: &str, command: &[String]) -> Result<Exit, Failure> {
    let mut words = lab.ssh_command(host).map_err(failed)?;
    let identity = cluster
        .hosts
        .first()
        .and_then(|host| host.ssh.identity.as_ref());
    if let Some(identity) = identity {
        let with_key = ["-i".to_owned(), identity.display().to_string()];
        words.splice(1..1, with_key);
    }
    words.extend(command.iter().cloned());
    let status = Command::new(&words[0]).args(&words[1..]).status()?;
    Ok(if status.success() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The machine that has an address; its name is taken as it is.
fn machine_name(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => format!("host-{address}").replace(['.', ':'], "-"),
        Err(_) => host.to_owned(),
    }
}

fn failed(error: paas_cluster_build::lab::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

/// A lab's name has no underscores or dots; the cluster's may.
fn lab_name(cluster: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    cluster.chars().map(plain).collect()
}

/// Describes the machines that the file names; makes the key that it names, if it isn't there.
fn spec(cluster: &Cluster, name: String) -> Result<Spec, Failure> {
    let mut users: Vec<&str> = cluster
        .hosts
        .iter()
        .map(|host| host.ssh.user.as_str())
        .collect();
    users.dedup();
    let [user] = users[..] else {
        return Err(Failure::usage("the lab needs one login user for all hosts"));
    };
    let first = cluster.hosts.first().map(|host| &host.ssh);
    let keys = match first.and_then(|ssh| ssh.identity.as_ref()) {
        Some(identity) => vec![public_key(identity)?],
        None => usual_public_keys()?,
    };
    let machine = |host: &paas_cluster_build::model::Host| Machine {
        name: machine_name(&host.address.to_string()),
        address: host.address,
        room: room_of(cluster, host.address),
        suite: None,
    };
    Ok(Spec {
        name,
        machines: cluster.hosts.iter().map(machine).collect(),
        user: user.to_owned(),
        authorized_keys: keys,
        known_hosts: first.and_then(|ssh| ssh.known_hosts.clone()),
        preinstalled: Vec::new(),
    })
}

/// Gives each machine the release that was asked for: by its address, or else for all.
fn choose_suites(spec: &mut Spec, choices: &[SuiteChoice]) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let known: BTreeSet<IpAddr> = spec
        .machines
        .iter()
        .map(|machine| machine.address)
        .collect();
    let named = choices.iter().flat_map(|choice| &choice.hosts);
    for stranger in named.filter(|host| !known.contains(host)) {
        problems.push(format!("--suite: the file has no host {stranger}"));
    }
    for machine in &mut spec.machines {
        let chosen = |names_it: &dyn Fn(&SuiteChoice) -> bool| -> BTreeSet<Suite> {
            let choices = choices.iter().filter(|choice| names_it(choice));
            choices.map(|choice| choice.suite).collect()
        };
        let mut found = chosen(&|choice| choice.hosts.contains(&machine.address));
        if found.is_empty() {
            found = chosen(&|choice| choice.hosts.is_empty());
        }
        if found.len() > 1 {
            let address = machine.address;
            problems.push(format!("--suite: {address} can't have two releases"));
        }
        machine.suite = found.pop_first();
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::usage(problems.join("\n"))),
    }
}

/// The room of the global control plane that a host stands in; an arbiter has one of its own.
fn room_of(cluster: &Cluster, host: IpAddr) -> Option<String> {
    let ks = cluster.global_ks.as_ref()?;
    let arbiter = || (ks.arbiter == Some(host)).then(|| "arbiter".to_owned());
    ks.room_of(host)
        .map(|room| room.name.clone())
        .or_else(arbiter)
}

/// What the file and its components' jobs install.
fn packages(workspace: &Workspace) -> Vec<String> {
    let cluster = &workspace.cluster;
    let hosts = cluster.hosts.iter().flat_map(|host| host.packages.clone());
    let jobs = cluster
        .components
        .iter()
        .flat_map(|component| &component.jobs);
    let jobs = jobs.filter_map(|name| workspace.jobs.iter().find(|job| job.name == *name));
    let all: BTreeSet<String> = hosts
        .chain(jobs.flat_map(|job| job.packages.clone()))
        .collect();
    all.into_iter().collect()
}

/// The public half of the file's key; a key that isn't there is made.
fn public_key(identity: &Path) -> Result<String, Failure> {
    if !identity.exists() {
        if let Some(folder) = identity.parent() {
            fs::create_dir_all(folder)?;
        }
        let made = Command::new("ssh-keygen")
            .args([
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "paas-cluster-build lab",
                "-f",
            ])
            .arg(identity)
            .status()?;
        if !made.success() {
            return Err(Failure::usage(format!(
                "{} can't be made",
                identity.display()
            )));
        }
        errln!("made the key {}", identity.display());
    }
    let output = Command::new("ssh-keygen")
        .arg("-y")
        .arg("-f")
        .arg(identity)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::usage(format!("{}: {said}", identity.display())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The operator's own public keys: a file that names no key is used with these.
fn usual_public_keys() -> Result<Vec<String>, Failure> {
    let folder = PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".ssh");
    let names = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];
    let keys: Vec<String> = names
        .iter()
        .filter_map(|name| fs::read_to_string(folder.join(name)).ok())
        .map(|key| key.trim().to_owned())
        .collect();
    if keys.is_empty() {
        return Err(Failure::usage(
            "the cluster file names no ssh.identity and there is no key in ~/.ssh; `ssh-keygen` \
             makes one",
        ));
    }
    Ok(keys)
}
