//! What a host itself remembers of a finished step.
//!
//! The planner writes all but the last four members; the supervisor on the host adds these when
//! the step ends (see `docs/on-host-protocol.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::adopt::Difference;
use super::belonging::Belonging;
use crate::script::Values;

/// The format's version; a receipt of another version counts as none.
const SCHEMA: u32 = 1;

/// A receipt as it lies on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was known before the step ran.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// The step's exit status; −1 until it's known.
    pub status: i32,
    /// Why the step was ended, if it was: `cancelled WHO`, `deadline SECONDS`, `output BYTES`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<String>,
    /// When it started, in seconds since 1970 by the host's clock.
    pub started: i64,
    /// When it ended, likewise.
    pub finished: i64,
    /// The boot in which it ran.
    pub boot_id: String,
}

/// The part of a receipt that the planner writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// The format's version.
    pub schema: u32,
    /// The step's name.
    pub step: String,
    /// What was asked: `deploy`, `bootstrap`.
    pub action: String,
    /// The script's SHA-256 in hex.
    pub script_sha256: String,
    /// What the script was made of.
    pub inputs: BTreeMap<String, RecordedInput>,
    /// The script itself, for comparing with the next; only where it holds no secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub script: Option<String>,
    /// The run's id.
    pub run: String,
    /// Who ran it.
    pub operator: String,
    /// From which machine.
    pub workstation: String,
    /// The tool's version.
    pub version: String,
    /// The files that the script was written in, each with its text's SHA-256 in hex.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub sources: BTreeMap<String, String>,
    /// The last run of it before this one that went well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub good: Option<Good>,
    /// The cluster's id; older versions wrote none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_id: Option<String>,
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_name: Option<String>,
    /// Where nothing ran because it was found there: in what it differs from what a run would make.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub adopted: Option<Vec<Difference>>,
}

/// What a step was made of when it last went well, to tell what differs where it fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Good {
    /// The run's id.
    pub run: String,
    /// The script's SHA-256 in hex.
    pub script_sha256: String,
    /// What the script was made of.
    pub inputs: BTreeMap<String, RecordedInput>,
    /// The files that it was written in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub sources: BTreeMap<String, String>,
}

/// One input as the receipt keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedInput {
    /// A value in clear.
    Value(Value),
    /// A secret's SHA-256 in hex.
    Secret(String),
}

impl RecordedInput {
    /// Shows the value as text; `None` for a secret.
    pub fn shown(&self) -> Option<String> {
        match self {
            RecordedInput::Value(Value::String(text)) => Some(text.clone()),
            RecordedInput::Value(other) => Some(other.to_string()),
            RecordedInput::Secret(_) => None,
        }
    }
}

impl Receipt {
    /// Reads a receipt; `None` when it's damaged or of another format, which counts as no receipt.
    pub fn parse(text: &str) -> Option<Receipt> {
        let receipt: Receipt = serde_json::from_str(text).ok()?;
        (receipt.stamp.schema == SCHEMA).then_some(receipt)
    }

    /// Whether the step's last run went well.
    pub fn is_good(&self) -> bool {
        self.status == 0 && self.stopped.is_none()
    }

    /// What the step was made of when it last went well, if it ever did.
    pub fn last_good(&self) -> Option<Good> {
        if !self.is_good() {
            return self.stamp.good.clone();
        }
        let stamp = &self.stamp;
        Some(Good {
            run: stamp.run.clone(),
            script_sha256: stamp.script_sha256.clone(),
            inputs: stamp.inputs.clone(),
            sources: stamp.sources.clone(),
        })
    }
}

impl Stamp {
    /// Writes the stamp of a step that is about to run.
    pub fn new(step: &str, action: &str, script: &str, values: &Values, run: &RunIdentity) -> Self {
        let holds_secret = values.iter().any(|(_, input)| input.secret);
        Stamp {
            schema: SCHEMA,
            step: step.to_owned(),
            action: action.to_owned(),
            script_sha256: sha256_hex(script.as_bytes()),
            inputs: record(values),
            script: (!holds_secret).then(|| script.to_owned()),
            run: run.id.clone(),
            operator: run.operator.clone(),
            workstation: run.workstation.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sources: BTreeMap::new(),
            good: None,
            cluster_id: None,
            cluster_name: None,
            adopted: None,
        }
    }

    /// Adds the files that the script was written in, and what the host remembers of the run before.
    pub(super) fn with_past(
        mut self,
        sources: BTreeMap<String, String>,
        before: Option<&Receipt>,
    ) -> Self {
        self.sources = sources;
        self.good = before.and_then(Receipt::last_good);
        self
    }

    /// Says whose the step is.
    pub fn of_cluster(mut self, belonging: Option<&Belonging>) -> Self {
        self.cluster_id = belonging.map(|belonging| belonging.id.clone());
        self.cluster_name = belonging.map(|belonging| belonging.name.clone());
        self
    }

    /// Whether both are of one step that is made of the same.
    pub(super) fn is_made_like(&self, other: &Stamp) -> bool {
        self.open_json()[..self.made_of_bytes()] == other.open_json()[..other.made_of_bytes()]
    }

    /// Counts the bytes at the beginning of the JSON object that say what the step is made of: all that
    /// stands before the run's id and the script.
    pub(super) fn made_of_bytes(&self) -> usize {
        let rest = Stamp {
            script: None,
            sources: BTreeMap::new(),
            good: None,
            adopted: None,
            cluster_id: None,
            cluster_name: None,
            ..self.clone()
        };
        let json = rest.open_json();
        json.rfind(",\"run\":").unwrap_or_default()
    }

    /// Returns the JSON object without its closing brace, for the supervisor to complete.
    pub fn open_json(&self) -> String {
        let mut json = serde_json::to_string(self).expect("a stamp is plain data");
        json.pop();
        json
    }
}

/// Who runs what, as receipts, locks and events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIdentity {
    /// The run's id.
    pub id: String,
    /// The operator's login name on this machine.
    pub operator: String,
    /// This machine's name.
    pub workstation: String,
}

/// Turns values into what a receipt keeps of them.
pub(super) fn record(values: &Values) -> BTreeMap<String, RecordedInput> {
    values
        .iter()
        .map(|(name, input)| {
            let kept = if input.secret {
                RecordedInput::Secret(sha256_hex(input.value.to_string().as_bytes()))
            } else {
                RecordedInput::Value(input.value.clone())
            };
            (name.to_owned(), kept)
        })
        .collect()
}

/// Computes a SHA-256 and writes it in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

/// Writes bytes in lower-case hex.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> RunIdentity {
        RunIdentity {
            id: "r1".into(),
            operator: "ada".into(),
            workstation: "desk".into(),
        }
    }

    #[test]
    fn a_completed_stamp_reads_back_as_a_receipt() {
        let mut values = Values::new();
        values.set("port", 4222);
        let stamp = Stamp::new("nats", "deploy", "true\n", &values, &identity());
        let text = format!(
            "{},\"status\":0,\"started\":1,\"finished\":2,\"boot_id\":\"b\"}}",
            stamp.open_json()
        );
        let receipt = Receipt::parse(&text).unwrap();
        assert_eq!(receipt.stamp, stamp);
        assert_eq!(receipt.status, 0);
        assert_eq!(receipt.stamp.script.as_deref(), Some("true\n"));
    }

    #[test]
    fn two_runs_of_the_same_begin_their_receipts_alike() {
        let stamp = |port: u16, run: &str| {
            let mut values = Values::new();
            values.set("port", port);
            let run = RunIdentity {
                id: run.into(),
                operator: ",\"run\":".into(),
                workstation: "desk".into(),
            };
            Stamp::new("nats", "deploy", "echo ',\"run\":'\n", &values, &run)
        };
        let beginning = |stamp: &Stamp| stamp.open_json()[..stamp.made_of_bytes()].to_owned();
        let first = beginning(&stamp(4222, "r1"));
        assert!(
            first.ends_with(r#""inputs":{"port":{"value":4222}}"#),
            "{first}"
        );
        assert_eq!(first, beginning(&stamp(4222, "r2")));
        assert_ne!(first, beginning(&stamp(4223, "r1")));
    }

    #[test]
    fn a_secret_leaves_neither_its_value_nor_the_script() {
        let mut values = Values::new();
        values.set_secret("password", "tr0ub4dor");
        let stamp = Stamp::new("uaa", "deploy", "echo tr0ub4dor\n", &values, &identity());
        assert!(!stamp.open_json().contains("tr0ub4dor"));
        assert_eq!(stamp.script, None);
    }

    #[test]
    fn a_damaged_receipt_counts_as_none() {
        assert_eq!(Receipt::parse("{\"schema\":1"), None);
        assert_eq!(Receipt::parse(""), None);
    }
}
