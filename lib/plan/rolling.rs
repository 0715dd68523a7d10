//! Keeps a component up while its instances are restarted or deployed anew: how many at once, in
//! which order, and when it can't be done at all.

use super::facts::HostState;
use super::resolve::{PlanError, Planner};
use super::step::{Decision, Mode, Stage, Step};
use crate::job::Action;
use crate::model::Component;
use crate::operation::{Outline, Task};

impl Planner<'_> {
    /// Bounds and orders a stage that takes instances of a component down.
    ///
    /// # Errors
    /// So many are down already that `min_up` couldn't be kept.
    pub(super) fn keep_up(&self, stage: &mut Stage, outline: &Outline) -> Result<(), PlanError> {
        let Some(Task::Job {
            component,
            action: Action::Deploy | Action::Restart,
            ..
        }) = outline.tasks.first()
        else {
            return Ok(());
        };
        let Some(component) = self.cluster.component(component) else {
            return Ok(());
        };
        let disturbs = |step: &Step| {
            step.mode == Mode::Supervised && matches!(step.decision, Decision::Run(_))
        };
        let name = stage.name.clone();
        let is_up = |host| self.is_up(&name, host);
        let up = component
            .instances
            .iter()
            .filter(|i| is_up(i.address))
            .count();
        let takes_down = stage
            .steps
            .iter()
            .any(|step| disturbs(step) && is_up(step.id.host));
        // What is wholly down is started all together, also by a restart, which goes one by one
        // otherwise; what is down may be worked on at any time.
        if up == 0 {
            stage.max_in_flight = component.max_in_flight;
            stage.max_failures = component.max_failures;
            return Ok(());
        }
        if !takes_down {
            return Ok(());
        }
        // What is down comes first, whatever it says of itself, so that it is up before the next is
        // taken down; a leader last.
        let leads = |step: &Step| {
            let host = self.facts.known(step.id.host);
            is_up(step.id.host) && host.is_some_and(|host| host.leads.contains(&name))
        };
        stage
            .steps
            .sort_by_key(|step| (leads(step), is_up(step.id.host)));
        stage.leaders = stage
            .steps
            .iter()
            .filter(|s| leads(s) && disturbs(s))
            .count();
        if self.below_min_up {
            return Ok(());
        }
        let room = up.saturating_sub(component.min_up);
        // A host that can't be reached doesn't come up by a step.
        let comes_up = |step: &&Step| {
            let host = step.id.host;
            disturbs(step) && !is_up(host) && self.facts.known(host).is_some()
        };
        let brought_up = stage.steps.iter().filter(comes_up).count();
        if up + brought_up <= component.min_up {
            return Err(no_room(component, up));
        }
        // Without room now, all that are down are brought up first, one by one and to the first
        // failure; then enough are up for the next to go down.
        stage.room = Some(room.max(1));
        Ok(())
    }

    /// Tells whether an instance works as far as is known: a host that can't be reached is down.
    fn is_up(&self, step: &str, host: std::net::IpAddr) -> bool {
        match self.facts.hosts.get(&host) {
            Some(HostState::Known(known)) => {
                known.receipts.contains_key(step) && !matches!(known.health.get(step), Some(Err(_)))
            }
            Some(HostState::Unknown { .. }) | None => false,
        }
    }
}

fn no_room(component: &Component, up: usize) -> PlanError {
    let all = component.instances.len();
    PlanError {
        message: format!(
            "{} has {up} of {all} instances up, and min_up is {}: none can be taken down. Bring the \
             others up first, or say --below-min-up",
            component.name, component.min_up
        ),
        place: Some(component.place),
    }
}
