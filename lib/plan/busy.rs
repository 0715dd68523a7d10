//! Hosts on which something runs at this moment: what of it is joined, and what stands in the way.

use std::net::IpAddr;

use super::facts::{Busy, Facts};
use super::step::{Decision, Mode, Plan, Reason, Stage, Step};

/// A host on which another run's step stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Which.
    pub host: IpAddr,
    /// By whom.
    pub busy: Busy,
}

/// Joins a step that runs on its host already, with the same script, and that nobody follows: an
/// earlier controller of it is gone.
pub(super) fn join(step: &mut Step, busy: &Busy) {
    let is_the_same = busy.holder.step == step.id.step && busy.holder.script == step.digest;
    if step.mode == Mode::Supervised && is_the_same && !busy.followed {
        let run = busy.holder.run.clone();
        step.decision = Decision::Run(vec![Reason::StillRunning { run: run.clone() }]);
        step.mode = Mode::Follow { run, watch: false };
    }
}

/// Puts what is joined first: its host is free for other steps only afterwards, and what comes
/// before it in the plan was done when it was started.
pub(super) fn join_first(stages: &mut Vec<Stage>) {
    let mut joined = Vec::new();
    for stage in stages.iter_mut() {
        joined.extend(
            stage
                .steps
                .extract_if(.., |step| matches!(step.mode, Mode::Follow { .. })),
        );
    }
    if !joined.is_empty() {
        stages.retain(|stage| !stage.steps.is_empty());
        stages.insert(0, Stage::unlimited("what still runs", joined));
    }
}

/// Lists the hosts that the plan wants to change while another run's step has them.
pub fn blocked(plan: &Plan, facts: &Facts) -> Vec<Blocked> {
    let mut blocked: Vec<Blocked> = Vec::new();
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        let host = step.id.host;
        let Some(busy) = facts.known(host).and_then(|facts| facts.busy.as_ref()) else {
            continue;
        };
        let is_joined = || {
            let mut steps = plan.stages.iter().flat_map(|stage| &stage.steps);
            steps.any(|s| s.id.host == host && matches!(s.mode, Mode::Follow { .. }))
        };
        let changes = step.mode == Mode::Supervised && matches!(step.decision, Decision::Run(_));
        if changes && !is_joined() && !blocked.iter().any(|b| b.host == host) {
            let busy = busy.clone();
            blocked.push(Blocked { host, busy });
        }
    }
    blocked
}
