//! How a running step names itself: the line that lies beside the host's lock and in the folder of
//! its run.

use serde::{Deserialize, Serialize};

/// Who runs which step of which run, and since when.
///
/// Read from a host, so every field may be missing or hold anything; it's made printable where it
/// is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// The operator's login name.
    pub operator: String,
    /// The operator's machine.
    pub workstation: String,
    /// The run's id.
    pub run: String,
    /// The operation's name.
    pub operation: String,
    /// The cluster's name.
    pub cluster: String,
    /// The step's name.
    pub step: String,
    /// The script's SHA-256 in hex.
    pub script: String,
    /// When it was sent, by the operator's clock, in RFC 3339.
    pub since: String,
}

impl Holder {
    /// Reads a holder's line; `None` when it isn't one.
    pub fn parse(line: &str) -> Option<Holder> {
        serde_json::from_str(line).ok()
    }

    /// Writes the line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("a holder is plain text")
    }

    /// Puts it into words: `ada at desk runs nats there (run …) since …`.
    pub fn words(&self) -> String {
        let or = |text: &str| if text.is_empty() { "?" } else { text }.to_owned();
        format!(
            "{} at {} runs {} there (run {}) since {}",
            or(&self.operator),
            or(&self.workstation),
            or(&self.step),
            or(&self.run),
            or(&self.since)
        )
    }
}
