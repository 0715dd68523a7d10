//! How a service's health is asked for.

use serde::{Deserialize, Serialize};

/// One question that a healthy service answers; asked on the host itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// Something listens on this TCP port of the loopback address.
    Tcp(u16),
    /// `GET path` on this port of the loopback address answers with a 2xx status.
    Http {
        /// The port.
        port: u16,
        /// The path, beginning with a slash.
        path: String,
    },
    /// A shell command exits with 0.
    Command(String),
}
