//! What changes in a step against what last ran on its host.

use super::adopt::Difference;
use super::facts::Facts;
use super::receipt::record;
use super::step::{Decision, Plan, Step, StepId};

/// What changes in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepDiff {
    /// Nothing is known to have run there before; the new script has so many lines.
    New(usize),
    /// The script's lines, as a unified difference.
    Script(String),
    /// The script holds secrets, so it wasn't kept; these of its values changed, each in words.
    Values(Vec<String>),
    /// It was adopted, and a run would change this, each in words.
    Adopted(Vec<String>),
    /// It's the same; it runs for another reason.
    Same,
}

/// Compares every step that runs with what last ran on its host.
pub fn differences(plan: &Plan, facts: &Facts) -> Vec<(StepId, StepDiff)> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let running = steps.filter(|step| matches!(step.decision, Decision::Run(_)));
    running
        .map(|step| (step.id.clone(), difference(step, facts)))
        .collect()
}

/// Lists, for every step that runs and sets something in the release's own files, which and what.
pub fn edits(plan: &Plan) -> Vec<(StepId, Vec<String>)> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let running = steps.filter(|step| matches!(step.decision, Decision::Run(_)));
    running
        .filter(|step| !step.edits.is_empty())
        .map(|step| (step.id.clone(), step.edits.clone()))
        .collect()
}

fn difference(step: &Step, facts: &Facts) -> StepDiff {
    let host = facts.known(step.id.host);
    let Some(receipt) = host.and_then(|host| host.receipts.get(&step.id.step)) else {
        return StepDiff::New(step.script.lines().count());
    };
    let adopted = receipt.stamp.adopted.iter().flatten();
    let adopted: Vec<String> = adopted.map(Difference::words).collect();
    if !adopted.is_empty() {
        return StepDiff::Adopted(adopted);
    }
    if receipt.stamp.script_sha256 == step.digest {
        return StepDiff::Same;
    }
    let has_secret = step.values.iter().any(|(_, input)| input.secret);
    match &receipt.stamp.script {
        Some(before) if !has_secret => {
            let diff = similar::TextDiff::from_lines(before.as_str(), step.script.as_str());
            let mut unified = diff.unified_diff();
            StepDiff::Script(unified.context_radius(2).to_string())
        }
        _ => StepDiff::Values(changed_values(step, &receipt.stamp.inputs)),
    }
}

/// Names each value that changed; a secret's two values are never shown.
fn changed_values(
    step: &Step,
    before: &std::collections::BTreeMap<String, super::receipt::RecordedInput>,
) -> Vec<String> {
    let now = record(&step.values);
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let changed = names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name));
    changed
        .map(|name| {
            let shown = |side: Option<&super::receipt::RecordedInput>| match side {
                None => "nothing".to_owned(),
                Some(input) => input.shown().unwrap_or_else(|| "a secret".to_owned()),
            };
            match (shown(before.get(name)), shown(now.get(name))) {
                (a, b) if a == b => format!("{name}: the secret changed"),
                (a, b) => format!("{name}: {a} → {b}"),
            }
        })
        .collect()
}
