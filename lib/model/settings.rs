//! How hosts are entered and what is put on them: the settings of a cluster, already merged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cluster_file::Place;

/// Values for templates from `vars`, each with its place in the file.
pub type Vars = BTreeMap<String, (serde_json::Value, Place)>;

/// How to log in to one host: global, component's and host's `ssh`, merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSettings {
    /// The login user; `paas` unless set.
    pub user: String,
    /// The port; 22 unless set.
    pub port: u16,
    /// Whether the port was set here; else OpenSSH's configuration may name another.
    pub port_is_set: bool,
    /// The key to use first, or a public half that chooses one of the agent's.
    pub identity: Option<PathBuf>,
    /// Where the login password comes from, if one is used.
    pub password: Option<PasswordSource>,
    /// The hosts to go through, outermost first.
    pub jump: Vec<Jump>,
    /// The known_hosts file; `~/.ssh/known_hosts` unless set.
    pub known_hosts: Option<PathBuf>,
    /// What to do about a host key.
    pub host_keys: HostKeyPolicy,
    /// Whose configuration fills in what isn't set here.
    pub config: SshConfig,
}

/// Where OpenSSH's own configuration is looked at for what the cluster file leaves open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SshConfig {
    /// The user's and the system's, as `ssh` does.
    #[default]
    Usual,
    /// This file.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// A host that connections go through: `[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// The login user there, if it differs.
    pub user: Option<String>,
    /// Name or address.
    pub host: String,
    /// The port; 22 unless set.
    pub port: u16,
}

/// Where a password comes from; never the password itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PasswordSource {
    /// An environment variable of this process.
    Env(String),
    /// A file that only its owner can read; its first line is the password.
    File(PathBuf),
    /// A command line of this machine's shell; the first line that it prints is the password.
    Command {
        /// What is run.
        line: String,
        /// Where: the cluster file's folder.
        folder: PathBuf,
    },
    /// The operator, with these words for what is wanted.
    Ask(String),
}

/// What is done about a host's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeyPolicy {
    /// An unknown key is noted, a changed one stops that host.
    #[default]
    AcceptNew,
    /// Only a known key is accepted.
    Strict,
    /// Keys aren't looked at.
    Off,
}

/// How commands get root's rights on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sudo {
    /// `sudo` without a password (nothing is needed when the login user is root).
    #[default]
    Passwordless,
    /// The login user is root; sudo isn't used.
    No,
    /// `sudo` with a password; `keep` lets bootstrap set up passwordless sudo for the user.
    Password {
        /// Where the password comes from.
        source: PasswordSource,
        /// Whether bootstrap writes a sudoers rule that makes later runs passwordless.
        keep: bool,
    },
}

/// The two packages that a host gets before its components start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The compiled dependencies, unpacked into the login user's home.
    pub micro_paas: Option<Artifact>,
    /// The release itself, unpacked or cloned to `paas-release.git` in the login user's home.
    pub paas_release: ReleaseSource,
    /// Where `release` stands in the file; `None` when it came from the command line.
    pub place: Option<Place>,
}

/// Where the release comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseSource {
    /// A folder or archive.
    Artifact(Artifact),
    /// A git repository and the branch, tag or commit to check out.
    Git {
        /// Anything that `git clone` takes; the host itself must reach it.
        url: String,
        /// Branch, tag or commit.
        reference: String,
    },
}

/// A package: a local file or folder that is pushed, or a URL that each host fetches by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Artifact {
    /// A `.tar.gz` file or a folder on this machine.
    Path {
        /// Absolute, or relative to the working directory.
        path: PathBuf,
        /// The expected SHA-256 in hex, where the file names it (never for a folder).
        sha256: Option<String>,
    },
    /// A `.tar.gz` at a URL.
    Url {
        /// The address.
        url: String,
        /// The expected SHA-256 in hex.
        sha256: String,
    },
}
