//! Whether a task runs, from what its host is known to have.

use super::facts::HostState;
use super::reason::{Made, decide};
use super::render::Rendered;
use super::resolve::Planner;
use super::step::{Decision, Reason};
use crate::job::Action;
use crate::operation::Task;

impl Planner<'_> {
    pub(super) fn decide(&self, task: &Task, rendered: &Rendered) -> Decision {
        let asked = |what: &str| {
            Decision::Run(vec![Reason::Asked {
                what: what.to_owned(),
            }])
        };
        let known = match self.facts.hosts.get(&task.host()) {
            Some(HostState::Known(known)) => Some(known),
            Some(HostState::Unknown { .. }) | None => None,
        };
        match task {
            Task::Probe { .. } | Task::Runs { .. } | Task::Exec { .. } | Task::Ks(_) => {
                asked(rendered.action)
            }
            Task::Remove { .. }
            | Task::Unbootstrap { .. }
            | Task::Job {
                action: Action::Start | Action::Stop | Action::Restart,
                ..
            } => match known {
                Some(host) if !host.receipts.contains_key(&rendered.name) => {
                    Decision::Skip("it isn't installed".to_owned())
                }
                _ => asked(rendered.action),
            },
            Task::Bootstrap { .. } | Task::Job { .. } => match known {
                Some(host) => {
                    let made = Made {
                        script: &rendered.script,
                        values: &rendered.values,
                        sources: &self.sources(task),
                    };
                    let decision = decide(&rendered.name, &made, host);
                    let decision = self.with_providers(decision, task);
                    if self.force {
                        forced(decision)
                    } else {
                        decision
                    }
                }
                None if self.force => asked("forced"),
                None => Decision::Run(vec![Reason::StateUnknown {
                    why: self.why_unknown(task),
                }]),
            },
        }
    }

    /// Names the components whose addresses a changed value was taken from.
    pub(super) fn with_providers(&self, mut decision: Decision, task: &Task) -> Decision {
        let Task::Job { component: own, .. } = task else {
            return decision;
        };
        if let Decision::Run(reasons) = &mut decision {
            for reason in reasons {
                if let Reason::ValueChanged {
                    place: Some(place),
                    provider,
                    ..
                } = reason
                {
                    let mut components = self.cluster.components.iter();
                    let found = components
                        .find(|component| component.instances.iter().any(|i| i.place == *place));
                    *provider = found.map(|c| c.name.clone()).filter(|name| name != own);
                }
            }
        }
        decision
    }

    pub(super) fn why_unknown(&self, task: &Task) -> String {
        match self.facts.hosts.get(&task.host()) {
            Some(HostState::Unknown { why, .. }) => why.clone(),
            _ => "the host wasn't asked".to_owned(),
        }
    }
}

/// What is asked for with `--force` runs; what has changed is named all the same.
fn forced(decision: Decision) -> Decision {
    let mut reasons = vec![Reason::Asked {
        what: "forced".to_owned(),
    }];
    if let Decision::Run(others) = decision {
        reasons.extend(others.into_iter().filter(Reason::is_change));
    }
    Decision::Run(reasons)
}
