//! What a plan would do to another cluster's components: that is told, and wants the operator's word.

use std::net::IpAddr;

use super::belonging::Owner;
use super::facts::Facts;
use super::receipt::{RecordedInput, Stamp};
use super::step::{Decision, Mode, Plan, Step};
use crate::operation::BOOTSTRAP;

/// The inputs of a bootstrap that another cluster's components run on.
const RELEASE_INPUTS: [&str; 4] = [
    "micro_paas_sha256",
    "release_sha256",
    "release_git",
    "release_ref",
];

/// Another cluster's component that a plan would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Where.
    pub host: IpAddr,
    /// Which step.
    pub step: String,
    /// The other cluster's name.
    pub cluster: String,
    /// Its id; `None` where an older version of the tool built it.
    pub id: Option<String>,
}

/// Lists what of other clusters the plan would replace, restart or take away.
pub fn foreign(plan: &Plan, facts: &Facts) -> Vec<Foreign> {
    let mut found = Vec::new();
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        let runs = step.mode == Mode::Supervised && matches!(step.decision, Decision::Run(_));
        if !runs || !matters(step, facts) {
            continue;
        }
        if let Owner::Other { name, id } = facts.owner(step.id.host, &step.id.step) {
            found.push(Foreign {
                host: step.id.host,
                step: step.id.step.clone(),
                cluster: name,
                id,
            });
        }
    }
    found
}

/// Clusters may share a machine: its preparation is another's matter only where that one's release
/// would be replaced or taken away.
fn matters(step: &Step, facts: &Facts) -> bool {
    if step.id.step != BOOTSTRAP {
        return true;
    }
    let receipts = facts.known(step.id.host).map(|host| &host.receipts);
    let Some(receipt) = receipts.and_then(|receipts| receipts.get(BOOTSTRAP)) else {
        return false;
    };
    let stamp: &Stamp = &receipt.stamp;
    RELEASE_INPUTS.iter().any(|name| {
        let then = match stamp.inputs.get(*name) {
            Some(RecordedInput::Value(value)) => value.as_str().unwrap_or_default(),
            _ => "",
        };
        let now = step.values.get(name).and_then(|input| input.value.as_str());
        !then.is_empty() && now != Some(then)
    })
}
