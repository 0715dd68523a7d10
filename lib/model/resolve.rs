//! Makes the cluster out of the file: what is set on three levels is merged, paths get their
//! folder, defaults their values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::cluster::{Cluster, Component, Host, Instance, JobFacts};
use super::composite;
use super::global_ks::{GlobalKs, Room, Scheme};
use super::settings::{
    Artifact, HostKeyPolicy, Jump, PasswordSource, Release, ReleaseSource, SshConfig, SshSettings,
    Sudo, Vars,
};
use super::validate;
use crate::cluster_file::{
    At, ClusterFile, ConfigEntry, GlobalKsEntry, PasswordEntry, Problem, ReleaseEntry, RoomEntry,
    Server, SourceEntry, SshEntry, SudoEntry, Var,
};

impl ClusterFile {
    /// Returns the folder of site jobs, relative to the working directory or absolute.
    pub fn jobs_folder(&self) -> Option<PathBuf> {
        self.jobs_dir
            .as_ref()
            .map(|folder| in_folder(&self.path, &folder.value))
    }
}

impl Cluster {
    /// Validates a file against the known jobs and makes the cluster; `release` is the one of the
    /// command line, which wins.
    ///
    /// # Errors
    /// Everything in the file that doesn't fit together, each at its place.
    pub fn new(
        file: &ClusterFile,
        jobs: &[JobFacts],
        release: Option<Release>,
    ) -> Result<Cluster, Vec<Problem>> {
        let file = &composite::spelt_out(file, jobs);
        let problems = validate::check(file, jobs);
        if !problems.is_empty() {
            return Err(problems);
        }
        let components: Vec<Component> = file
            .components
            .iter()
            .filter_map(|name| {
                let server = file.server.iter().find(|s| s.name.value == name.value)?;
                Some(component(file, name, server))
            })
            .collect();
        let from_file = file
            .release
            .as_ref()
            .map(|entry| self::release(file, entry));
        Ok(Cluster {
            name: match &file.name {
                Some(name) => name.value.clone(),
                None => stem(&file.path),
            },
            file: file.path.clone(),
            hosts: hosts(file),
            components,
            release: release.or(from_file),
            sudo: sudo(file),
            jobs_dir: file.jobs_folder(),
            site_packages: file
                .site_packages
                .as_ref()
                .map(|folder| in_folder(&file.path, &folder.value)),
            vars: vars(&file.vars),
            global_ks: file.global_ks.as_ref().and_then(global_ks),
        })
    }

    /// Lists the components that can't be built because there is no release.
    pub fn needs_release(&self, jobs: &[JobFacts]) -> Vec<&str> {
        if self.release.is_some() {
            return Vec::new();
        }
        let drives = |job: &String| jobs.iter().any(|j| j.name == *job && j.needs_release);
        let needing = self
            .components
            .iter()
            .filter(|component| component.jobs.iter().any(drives));
        needing.map(|component| component.name.as_str()).collect()
    }
}

/// The scheme's name was validated.
fn global_ks(entry: &GlobalKsEntry) -> Option<GlobalKs> {
    let room = |room: &RoomEntry| Room {
        name: room.name.value.clone(),
        hosts: room.hosts.iter().map(|at| at.value).collect(),
        zone: room.zone.as_ref().map(|at| at.value.clone()),
        vip: room.vip.as_ref().map(|at| at.value),
        place: room.name.place,
    };
    Some(GlobalKs {
        scheme: Scheme::named(&entry.scheme.value)?,
        rooms: entry.rooms.iter().map(room).collect(),
        arbiter: entry.arbiter.as_ref().map(|at| at.value),
        recovery_pg: entry.recovery_pg.as_ref().is_some_and(|at| at.value),
        place: entry.scheme.place,
    })
}

fn component(file: &ClusterFile, name: &At<String>, server: &Server) -> Component {
    let rollout = |own: &Option<At<usize>>, all: &Option<At<usize>>| {
        own.as_ref().or(all.as_ref()).map(|at| at.value)
    };
    let instances = server
        .hosts
        .iter()
        .zip(0..)
        .map(|(entry, position)| Instance {
            address: entry.ip.value,
            index: entry.index.as_ref().map_or(position, |index| index.value),
            vars: vars(&entry.vars),
            place: entry.ip.place,
        });
    Component {
        name: name.value.clone(),
        jobs: match &server.jobs {
            Some(jobs) => jobs.iter().map(|job| job.value.clone()).collect(),
            None => vec![name.value.clone()],
        },
        instances: instances.collect(),
        max_in_flight: rollout(&server.rollout.max_in_flight, &file.rollout.max_in_flight),
        canaries: rollout(&server.rollout.canaries, &file.rollout.canaries).unwrap_or(0),
        max_failures: rollout(&server.rollout.max_failures, &file.rollout.max_failures),
        // A default for all never asks more of a component than it has.
        min_up: server.rollout.min_up.as_ref().map_or_else(
            || {
                let others = server.hosts.len().saturating_sub(1);
                file.rollout
                    .min_up
                    .as_ref()
                    .map_or(1, |at| at.value)
                    .min(others)
            },
            |at| at.value,
        ),
        vars: vars(&server.vars),
        place: name.place,
    }
}

fn hosts(file: &ClusterFile) -> Vec<Host> {
    let mut packages: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    let names = |list: &[At<String>]| -> Vec<String> {
        list.iter().map(|package| package.value.clone()).collect()
    };
    for (server, entry) in validate::used_entries(file) {
        let of_host = packages.entry(entry.ip.value).or_default();
        of_host.extend(names(&file.packages));
        of_host.extend(names(&server.packages));
    }
    let mut hosts: Vec<Host> = Vec::new();
    for (server, entry) in validate::used_entries(file) {
        if hosts.iter().any(|host| host.address == entry.ip.value) {
            continue;
        }
        hosts.push(Host {
            address: entry.ip.value,
            ssh: ssh(file, &[&entry.ssh, &server.ssh, &file.ssh]),
            packages: packages
                .remove(&entry.ip.value)
                .unwrap_or_default()
                .into_iter()
                .collect(),
            place: entry.ip.place,
        });
    }
    hosts
}

/// Merges `ssh` key by key; the first level that sets a key wins.
pub(super) fn ssh(file: &ClusterFile, levels: &[&SshEntry]) -> SshSettings {
    fn first<T: Clone>(
        levels: &[&SshEntry],
        key: impl Fn(&SshEntry) -> &Option<At<T>>,
    ) -> Option<T> {
        levels
            .iter()
            .find_map(|level| key(level).as_ref().map(|at| at.value.clone()))
    }
    let path = |written: String| in_folder(&file.path, &written);
    SshSettings {
        user: first(levels, |l| &l.user).unwrap_or_else(|| "paas".to_owned()),
        port: first(levels, |l| &l.port).unwrap_or(22),
        port_is_set: first(levels, |l| &l.port).is_some(),
        identity: first(levels, |l| &l.identity).map(path),
        password: first(levels, |l| &l.password)
            .map(|entry| password(file, &entry, "the password of the login user")),
        jump: first(levels, |l| &l.jump)
            .unwrap_or_default()
            .into_iter()
            .map(|jump| Jump {
                user: jump.user,
                host: jump.host,
                port: jump.port.unwrap_or(22),
            })
            .collect(),
        known_hosts: first(levels, |l| &l.known_hosts).map(path),
        host_keys: match first(levels, |l| &l.host_keys).as_deref() {
            Some("strict") => HostKeyPolicy::Strict,
            Some("off") => HostKeyPolicy::Off,
            _ => HostKeyPolicy::AcceptNew,
        },
        config: match first(levels, |l| &l.config) {
            Some(ConfigEntry::File(written)) => SshConfig::File(path(written)),
            Some(ConfigEntry::Use(false)) => SshConfig::Off,
            Some(ConfigEntry::Use(true)) | None => SshConfig::Usual,
        },
    }
}

fn sudo(file: &ClusterFile) -> Sudo {
    match &file.sudo {
        None | Some(SudoEntry::Use(true)) => Sudo::Passwordless,
        Some(SudoEntry::Use(false)) => Sudo::No,
        Some(SudoEntry::Password {
            password: source,
            keep,
        }) => Sudo::Password {
            source: password(file, source, "the password for sudo"),
            keep: *keep,
        },
    }
}

fn password(file: &ClusterFile, entry: &PasswordEntry, what: &str) -> PasswordSource {
    match entry {
        PasswordEntry::Env(name) => PasswordSource::Env(name.clone()),
        PasswordEntry::File(path) => PasswordSource::File(in_folder(&file.path, path)),
        PasswordEntry::Command(line) => PasswordSource::Command {
            line: line.clone(),
            folder: folder_of(&file.path),
        },
        PasswordEntry::Ask => PasswordSource::Ask(what.to_owned()),
    }
}

/// The folder that a cluster file lies in.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn release(file: &ClusterFile, entry: &At<ReleaseEntry>) -> Release {
    let artifact = |source: &SourceEntry| match source {
        SourceEntry::Path { path, sha256 } => Some(Artifact::Path {
            path: in_folder(&file.path, path),
            sha256: sha256.clone(),
        }),
        SourceEntry::Url { url, sha256 } => Some(Artifact::Url {
            url: url.clone(),
            sha256: sha256.clone(),
        }),
        SourceEntry::Git { .. } => None,
    };
    let source = &entry.value.paas_release.value;
    let paas_release = match source {
        SourceEntry::Git { url, reference } => ReleaseSource::Git {
            url: url.clone(),
            reference: reference.clone(),
        },
        other => ReleaseSource::Artifact(artifact(other).expect("git was matched above")),
    };
    Release {
        micro_paas: entry
            .value
            .micro_paas
            .as_ref()
            .and_then(|at| artifact(&at.value)),
        paas_release,
        place: Some(entry.place),
    }
}

fn vars(entries: &[Var]) -> Vars {
    entries
        .iter()
        .map(|var| {
            (
                var.name.value.clone(),
                (var.value.value.clone(), var.value.place),
            )
        })
        .collect()
}

/// A path of the file, relative to the file's folder; `~` is the operator's home.
fn in_folder(file: &Path, written: &str) -> PathBuf {
    if let Some(rest) = written.strip_prefix("~/")
        && let Some(home) = std::env::var_os("HOME")
    {
        return PathBuf::from(home).join(rest);
    }
    file.parent().unwrap_or(Path::new("")).join(written)
}

/// The cluster's name where the file gives none. It names a folder, so it gets what `name` may have:
/// every other character becomes a hyphen.
fn stem(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = stem.chars().map(plain).collect();
    match name.trim_matches('-') {
        "" => "cluster".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_the_file_can_name_a_folder() {
        for (file, name) in [
            ("config/four-machines.yml", "four-machines"),
            ("my cluster.yml", "my-cluster"),
            ("..yml", "cluster"),
            ("", "cluster"),
        ] {
            assert_eq!(stem(Path::new(file)), name, "{file}");
        }
    }
}
