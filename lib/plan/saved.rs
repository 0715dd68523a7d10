//! A plan as a file: what was decided, from which state, for `apply` to carry out exactly that.
//!
//! It holds no secret: a script that has one is known by its digest alone, and is rendered again
//! when the plan is applied.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::receipt::{Receipt, sha256_hex};
use super::step::{Decision, Plan, Step};

/// The format's version; a file of another one isn't read.
pub const FORMAT: u32 = 1;

/// A plan that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// The format's version.
    pub format: u32,
    /// The version of the tool that made it.
    pub version: String,
    /// When it was made.
    pub made: jiff::Timestamp,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster file, as it was named.
    pub cluster_file: PathBuf,
    /// The operation's name.
    pub operation: String,
    /// The components that were named; all without any.
    pub components: Vec<String>,
    /// The `--limit`s.
    pub limits: Vec<String>,
    /// Whether it was made with `--force`.
    pub force: bool,
    /// Every step, in order.
    pub steps: Vec<SavedStep>,
}

/// One step of a kept plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedStep {
    /// Its stage.
    pub stage: String,
    /// Its name.
    pub step: String,
    /// Its host.
    pub host: IpAddr,
    /// Whether it runs, and why.
    pub decision: Decision,
    /// The script's SHA-256 in hex.
    pub script_sha256: String,
    /// The script, where it holds no secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub script: Option<String>,
    /// The SHA-256 of what the host remembered of it; `None` when that was nothing.
    pub receipt_sha256: Option<String>,
}

impl SavedPlan {
    /// Keeps a plan and the state that it was made from.
    pub fn new(plan: &Plan, facts: &Facts, cluster_file: PathBuf) -> SavedPlan {
        let keep = |stage: &str, step: &Step| {
            let host = facts.known(step.id.host);
            let receipt = host.and_then(|host| host.receipts.get(&step.id.step));
            let has_secret = step.values.iter().any(|(_, input)| input.secret);
            SavedStep {
                stage: stage.to_owned(),
                step: step.id.step.clone(),
                host: step.id.host,
                decision: step.decision.clone(),
                script_sha256: step.digest.clone(),
                script: (!has_secret).then(|| step.script.clone()),
                receipt_sha256: receipt.map(state),
            }
        };
        let stages = plan.stages.iter();
        SavedPlan {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made: jiff::Timestamp::now(),
            cluster: plan.cluster.clone(),
            cluster_file,
            operation: plan.operation.clone(),
            components: Vec::new(),
            limits: Vec::new(),
            force: false,
            steps: stages
                .flat_map(|stage| stage.steps.iter().map(|step| keep(&stage.name, step)))
                .collect(),
        }
    }

    /// Reads a kept plan.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn parse(text: &str) -> Result<SavedPlan, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        match serde_json::from_str::<Format>(text) {
            Ok(Format { format }) if format != FORMAT => {
                return Err(format!(
                    "it has format {format}, and this version reads format {FORMAT}; make the plan \
                     again"
                ));
            }
            _ => {}
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Names everything in which a plan that was made now differs, in words; nothing when it's the
    /// same in all that matters.
    pub fn differences(&self, now: &SavedPlan) -> Vec<String> {
        let key = |step: &SavedStep| (step.stage.clone(), step.step.clone(), step.host);
        let mut rest: BTreeMap<_, &SavedStep> = now.steps.iter().map(|s| (key(s), s)).collect();
        let mut found = Vec::new();
        for then in &self.steps {
            let name = format!("{} on {}", then.step, then.host);
            let Some(now) = rest.remove(&key(then)) else {
                found.push(format!("{name}: it's no longer in the plan"));
                continue;
            };
            if then.script_sha256 != now.script_sha256 {
                found.push(format!(
                    "{name}: its script is another one (cluster file, release, secret or tool changed)"
                ));
            } else if then.receipt_sha256 != now.receipt_sha256 {
                found.push(format!("{name}: the host's receipt has changed since"));
            } else if runs(&then.decision) != runs(&now.decision) {
                let word = |decision| if runs(decision) { "run" } else { "skip" };
                found.push(format!(
                    "{name}: the plan says {}, and now it would {} (its health has changed)",
                    word(&then.decision),
                    word(&now.decision)
                ));
            }
        }
        let more = rest.values();
        found.extend(more.map(|s| format!("{} on {}: it isn't in the plan", s.step, s.host)));
        found
    }
}

fn runs(decision: &Decision) -> bool {
    matches!(decision, Decision::Run(_))
}

fn state(receipt: &Receipt) -> String {
    let text = serde_json::to_string(receipt).expect("a receipt is plain data");
    sha256_hex(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Reason;

    fn saved(step: &str, script: &str, receipt: Option<&str>, decision: Decision) -> SavedPlan {
        SavedPlan {
            format: FORMAT,
            version: "1".into(),
            made: jiff::Timestamp::UNIX_EPOCH,
            cluster: "c".into(),
            cluster_file: "cluster.yml".into(),
            operation: "build".into(),
            components: Vec::new(),
            limits: Vec::new(),
            force: false,
            steps: vec![SavedStep {
                stage: "nats".into(),
                step: step.into(),
                host: "127.0.0.1".parse().unwrap(),
                decision,
                script_sha256: script.into(),
                script: None,
                receipt_sha256: receipt.map(str::to_owned),
            }],
        }
    }

    #[test]
    fn every_difference_that_matters_is_named() {
        let new = || Decision::Run(vec![Reason::New]);
        let then = saved("nats", "a", Some("r"), new());
        let other_reason = saved(
            "nats",
            "a",
            Some("r"),
            Decision::Run(vec![Reason::ScriptChanged]),
        );
        assert!(then.differences(&other_reason).is_empty());
        for (now, words) in [
            (saved("nats", "b", Some("r"), new()), "script"),
            (saved("nats", "a", None, new()), "receipt"),
            (
                saved("nats", "a", Some("r"), Decision::Skip("".into())),
                "now it would skip",
            ),
            (saved("uaa", "a", Some("r"), new()), "no longer in the plan"),
        ] {
            let found = then.differences(&now);
            assert!(found[0].contains(words), "{found:?}");
        }
    }

    #[test]
    fn only_its_own_format_is_read_and_nothing_unknown() {
        let text =
            serde_json::to_string(&saved("nats", "a", None, Decision::Skip("x".into()))).unwrap();
        assert!(SavedPlan::parse(&text).is_ok());
        let newer = text.replace("\"format\":1", "\"format\":2");
        assert!(SavedPlan::parse(&newer).unwrap_err().contains("format 2"));
        let more = text.replace("\"force\":false", "\"force\":false,\"forse\":true");
        assert!(SavedPlan::parse(&more).unwrap_err().contains("forse"));
        assert!(SavedPlan::parse("{").unwrap_err().contains("line 1"));
    }
}
