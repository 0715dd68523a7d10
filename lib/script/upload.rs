//! A file that travels with a script.

use std::path::PathBuf;

/// A file that is pushed to a host, to `artifacts/<sha256>` below the tool's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The file here.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}
