//! How a service's health is asked for.

use serde::{Deserialize, Serialize};

/// One question that a healthy service answers; asked on the host itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// Something listens on this TCP port of the host's address or of the loopback address.
    Tcp(u16),
    /// `GET path` on this port of the host's or the loopback address answers with a 2xx status.
    Http {
        /// The port.
        port: u16,
        /// The path, beginning with a slash.
        path: String,
    },
    /// A shell command exits with 0.
    Command(String),
}

impl Check {
    /// Looks whether it can be asked.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn validate(&self) -> Result<(), &'static str> {
        let is_path =
            |path: &str| path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic());
        match self {
            Check::Tcp(0) | Check::Http { port: 0, .. } => Err("a port is 1 to 65535"),
            Check::Http { path, .. } if !is_path(path) => {
                Err("a path begins with / and has neither spaces nor other than ASCII characters")
            }
            Check::Command(line) if line.contains('\0') => Err("a command holds no NUL character"),
            Check::Tcp(_) | Check::Http { .. } | Check::Command(_) => Ok(()),
        }
    }
}

/// Everything that tells whether a job's services are well, and where they say why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The release's components that must say `status` with 0, in the order of starting.
    pub services: Vec<String>,
    /// The systemd units that must be active, for jobs that drive no release.
    pub units: Vec<String>,
    /// Further questions.
    pub checks: Vec<Check>,
    /// The TCP ports to ask instead where the release's own command can't be believed.
    pub plain_ports: Option<Vec<u16>>,
    /// The services' own logs; relative to the login user's home.
    pub logs: Vec<String>,
    /// How long a start may take, in seconds.
    pub timeout: u32,
}
