//! The cluster file as it was written: every value typed, with its place, nothing merged yet.

use std::net::IpAddr;
use std::path::PathBuf;

use super::Place;

/// A value with its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub place: Place,
    /// How many characters it takes on its first line.
    pub len: usize,
}

/// A cluster file that was read; what isn't in the file is `None` or empty.
///
/// Each value has the shape that the file's reference asks for; whether the values fit to each
/// other is the model's question.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterFile {
    /// The file itself; relative paths in it are relative to its folder.
    pub path: PathBuf,
    /// `name`.
    pub name: Option<At<String>>,
    /// `nats`, on top.
    pub nats: Option<At<IpAddr>>,
    /// `uaa`, on top.
    pub uaa: Option<At<IpAddr>>,
    /// `cc`, on top.
    pub cc: Option<At<IpAddr>>,
    /// `components`, in order.
    pub components: Vec<At<String>>,
    /// `server`, in the file's order.
    pub server: Vec<Server>,
    /// `ssh`, for all hosts.
    pub ssh: SshEntry,
    /// `sudo`.
    pub sudo: Option<SudoEntry>,
    /// `release`.
    pub release: Option<At<ReleaseEntry>>,
    /// `packages`, for all hosts.
    pub packages: Vec<At<String>>,
    /// `vars`, for all components.
    pub vars: Vec<Var>,
    /// How fast hosts are worked on, unless a component says otherwise.
    pub rollout: Rollout,
    /// `jobs_dir`, as written.
    pub jobs_dir: Option<At<String>>,
    /// `site_packages`, as written.
    pub site_packages: Option<At<String>>,
    /// `global_ks`.
    pub global_ks: Option<GlobalKsEntry>,
}

/// `global_ks`.
#[derive(Debug, Clone, PartialEq)]
pub struct GlobalKsEntry {
    /// `scheme`.
    pub scheme: At<String>,
    /// `rooms`, in order.
    pub rooms: Vec<RoomEntry>,
    /// `arbiter`.
    pub arbiter: Option<At<IpAddr>>,
    /// `recovery_pg`.
    pub recovery_pg: Option<At<bool>>,
}

/// An entry of `global_ks.rooms`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomEntry {
    /// `name`.
    pub name: At<String>,
    /// `hosts`.
    pub hosts: Vec<At<IpAddr>>,
    /// `zone`.
    pub zone: Option<At<String>>,
    /// `vip`.
    pub vip: Option<At<IpAddr>>,
}

/// A component's block under `server`.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The component's name.
    pub name: At<String>,
    /// `ip`.
    pub hosts: Vec<HostEntry>,
    /// Whether `hosts` lacks an entry that couldn't be read (and was reported).
    pub hosts_incomplete: bool,
    /// `jobs`, for a composite.
    pub jobs: Option<Vec<At<String>>>,
    /// `ssh`.
    pub ssh: SshEntry,
    /// `packages`.
    pub packages: Vec<At<String>>,
    /// `vars`.
    pub vars: Vec<Var>,
    /// `max_in_flight`, `canaries`, `max_failures`.
    pub rollout: Rollout,
}

/// An entry of `ip`.
#[derive(Debug, Clone, PartialEq)]
pub struct HostEntry {
    /// The address.
    pub ip: At<IpAddr>,
    /// `index`.
    pub index: Option<At<u32>>,
    /// `ssh`.
    pub ssh: SshEntry,
    /// `vars`.
    pub vars: Vec<Var>,
}

/// `ssh`, at any level; paths as written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SshEntry {
    /// `user`.
    pub user: Option<At<String>>,
    /// `port`.
    pub port: Option<At<u16>>,
    /// `identity`.
    pub identity: Option<At<String>>,
    /// `password`.
    pub password: Option<At<PasswordEntry>>,
    /// `jump`, outermost first.
    pub jump: Option<At<Vec<JumpEntry>>>,
    /// `known_hosts`.
    pub known_hosts: Option<At<String>>,
    /// `host_keys`: `accept-new`, `strict` or `off`.
    pub host_keys: Option<At<String>>,
    /// `config`.
    pub config: Option<At<ConfigEntry>>,
}

/// Whether OpenSSH's configuration is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigEntry {
    /// The usual files, or none.
    Use(bool),
    /// A file; the path as written.
    File(String),
}

/// A host to go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JumpEntry {
    /// The login user there, if given.
    pub user: Option<String>,
    /// Name or address.
    pub host: String,
    /// The port, if given.
    pub port: Option<u16>,
}

/// Where a password comes from; the path as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordEntry {
    /// An environment variable.
    Env(String),
    /// A file.
    File(String),
    /// A command.
    Command(String),
    /// The operator.
    Ask,
}

/// `sudo`.
#[derive(Debug, Clone, PartialEq)]
pub enum SudoEntry {
    /// `true` or `false`.
    Use(bool),
    /// A mapping.
    Password {
        /// `password`.
        password: PasswordEntry,
        /// `keep`.
        keep: bool,
    },
}

/// `release`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseEntry {
    /// `micro_paas`.
    pub micro_paas: Option<At<SourceEntry>>,
    /// `paas_release`.
    pub paas_release: At<SourceEntry>,
}

/// Where a package comes from; the path as written, digests in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEntry {
    /// `path`, perhaps with `sha256`.
    Path {
        /// The path.
        path: String,
        /// The digest.
        sha256: Option<String>,
    },
    /// `url` with `sha256`.
    Url {
        /// The address.
        url: String,
        /// The digest.
        sha256: String,
    },
    /// `git` with `ref`.
    Git {
        /// The repository.
        url: String,
        /// What to check out.
        reference: String,
    },
}

/// How fast the hosts of a component are worked on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollout {
    /// `max_in_flight`.
    pub max_in_flight: Option<At<usize>>,
    /// `canaries`.
    pub canaries: Option<At<usize>>,
    /// `max_failures`.
    pub max_failures: Option<At<usize>>,
    /// `min_up`.
    pub min_up: Option<At<usize>>,
}

/// One entry of `vars`.
#[derive(Debug, Clone, PartialEq)]
pub struct Var {
    /// Its name.
    pub name: At<String>,
    /// Its value, with the place of the value.
    pub value: At<serde_json::Value>,
}
