//! One stage: its steps at once, under `--forks`, `max_in_flight`, `canaries`, `max_failures` and
//! the room that `min_up` leaves; leaders last.

use std::collections::VecDeque;

use tokio::task::JoinSet;

use super::session::{Course, Turn};
use super::{ActiveRun, is_runnable};
use crate::event::{Fact, StepResult};
use crate::plan::{Decision, Stage, Step, StepId};

/// Runs a stage; where an earlier one stands against it, its steps are named as not started.
pub(super) async fn run(active: &mut ActiveRun<'_>, stage: &Stage) {
    let events = active.events;
    let mut work = Work {
        active,
        stage,
        failures: 0,
    };
    if let Some(reason) = work.active.stop.clone() {
        for step in &stage.steps {
            work.give_up(step, &reason).await;
        }
        return;
    }
    events
        .send(Fact::StageStarted {
            stage: stage.name.clone(),
        })
        .await;
    for step in &stage.steps {
        if let Decision::Skip(reason) = &step.decision {
            work.active.outcome.skipped += 1;
            let fact = Fact::StepSkipped {
                id: step.id.clone(),
                reason: reason.clone(),
            };
            events.send(fact).await;
        }
    }
    let runnable: Vec<&Step> = stage
        .steps
        .iter()
        .filter(|step| is_runnable(&step.decision))
        .collect();
    let leaders = runnable.len() - stage.leaders.min(runnable.len());
    let (followers, leaders) = runnable.split_at(leaders);
    let (canaries, others) = followers.split_at(stage.canaries.min(followers.len()));
    if !canaries.is_empty() && !others.is_empty() {
        work.tell_held(others.iter().copied(), "a canary goes first")
            .await;
    }
    work.run_all(canaries, Some(0)).await;
    if work.failures > 0 {
        for step in others {
            work.give_up(step, "a canary failed").await;
        }
    } else {
        work.run_all(others, stage.max_failures).await;
    }
    if work.failures > 0 {
        for step in leaders {
            work.give_up(step, "it leads, and another one failed").await;
        }
    } else {
        work.run_all(leaders, stage.max_failures).await;
    }
    let failed = work.failures;
    events
        .send(Fact::StageFinished {
            stage: stage.name.clone(),
            failed,
        })
        .await;
    active.stop = if failed > 0 && active.stops_after_failure {
        Some(format!("{} failed", stage.name))
    } else if active.cancel.level() > 0 {
        Some("the run was cancelled".to_owned())
    } else {
        None
    };
}

/// A stage at work.
struct Work<'a, 'r> {
    active: &'a mut ActiveRun<'r>,
    stage: &'a Stage,
    failures: usize,
}

impl Work<'_, '_> {
    /// Runs steps at once as far as the limits allow; gives up the rest after too many failures
    /// or when the operator cancels.
    async fn run_all(&mut self, steps: &[&Step], max_failures: Option<usize>) {
        let mut waiting: VecDeque<&Step> = steps.iter().copied().collect();
        let mut running: JoinSet<(StepId, Turn)> = JoinSet::new();
        let mut told: Option<String> = None;
        loop {
            while running.len() < self.at_once() && self.why_stop(max_failures).is_none() {
                let Some(step) = waiting.pop_front() else {
                    break;
                };
                self.spawn(step, &mut running);
            }
            let why = (!running.is_empty()).then(|| self.why_hold()).flatten();
            if let Some(why) = why.filter(|why| !waiting.is_empty() && told.as_ref() != Some(why)) {
                self.tell_held(waiting.iter().copied(), &why).await;
                told = Some(why);
            }
            tokio::select! {
                ended = running.join_next() => match ended {
                    Some(Ok((id, turn))) => self.note(id, turn).await,
                    Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                    None => break,
                },
                () = self.active.cancel.reached(2) => {
                    self.hurry(&mut running).await;
                    break;
                }
            }
        }
        for step in waiting {
            let why = self
                .why_stop(max_failures)
                .unwrap_or_else(|| "cancelled".to_owned());
            self.give_up(step, &why).await;
        }
    }

    /// How many steps may run at once now; a failed one's instance is down and takes its room.
    fn at_once(&self) -> usize {
        let forks = self.active.engine.limits.forks;
        let in_flight = self.stage.max_in_flight.unwrap_or(usize::MAX);
        let room = self.stage.room.unwrap_or(usize::MAX);
        forks
            .min(in_flight)
            .max(1)
            .min(room.saturating_sub(self.failures))
    }

    /// What keeps further steps from starting beside those that run, where it's the cluster file's
    /// word; that there are only so many forks is no news.
    fn why_hold(&self) -> Option<String> {
        let forks = self.active.engine.limits.forks;
        let in_flight = self.stage.max_in_flight.unwrap_or(usize::MAX);
        match self.stage.room {
            Some(room) if room <= forks.min(in_flight) => {
                let more = room.saturating_sub(self.failures);
                Some(format!(
                    "min_up: {more} of {} may be down at once",
                    self.stage.name
                ))
            }
            _ if in_flight < forks => Some(format!("max_in_flight: {in_flight} at once")),
            _ => None,
        }
    }

    async fn tell_held<'s>(&self, steps: impl Iterator<Item = &'s Step>, why: &str) {
        let fact = Fact::StepsHeld {
            stage: self.stage.name.clone(),
            why: why.to_owned(),
            steps: steps.map(|step| step.id.clone()).collect(),
        };
        self.active.events.send(fact).await;
    }

    fn spawn(&self, step: &Step, running: &mut JoinSet<(StepId, Turn)>) {
        let session = self.active.engine.session(step.id.host);
        let active = &self.active;
        let course = Course {
            transport: active.engine.transport.clone(),
            sudo: active.engine.sudo.clone(),
            limits: active.engine.limits.clone(),
            run: active.run.clone(),
            cluster: active.cluster.clone(),
            operation: active.operation.clone(),
            cancel: active.cancel.clone(),
            events: active.events.clone(),
        };
        let step = step.clone();
        running.spawn_blocking(move || {
            let turn = session.run(&step, &course);
            (step.id, turn)
        });
    }

    async fn note(&mut self, id: StepId, turn: Turn) {
        match turn {
            Turn::Ended(result, answer) => {
                if result != StepResult::Succeeded {
                    self.failures += 1;
                }
                if let Some(answer) = answer {
                    self.active.outcome.outputs.insert(id.clone(), answer);
                }
                self.active.outcome.results.insert(id, result);
            }
            Turn::Cancelled => {
                self.active.outcome.not_started += 1;
                let reason = "the run was cancelled".to_owned();
                self.active
                    .events
                    .send(Fact::StepNotStarted { id, reason })
                    .await;
            }
            Turn::Unreachable(unreachable) => {
                self.failures += 1;
                self.active.outcome.not_started += 1;
                // Told once in each run, also when an earlier run has found it.
                let fact = Fact::HostUnreachable {
                    host: id.host,
                    kind: unreachable.kind.name().to_owned(),
                    error: unreachable.error.clone(),
                };
                if self
                    .active
                    .outcome
                    .unreachable
                    .insert(id.host, unreachable)
                    .is_none()
                {
                    self.active.events.send(fact).await;
                }
                let reason = "its host can't be reached".to_owned();
                self.active
                    .events
                    .send(Fact::StepNotStarted { id, reason })
                    .await;
            }
        }
    }

    fn why_stop(&self, max_failures: Option<usize>) -> Option<String> {
        if self.active.cancel.level() > 0 {
            return Some("the run was cancelled".to_owned());
        }
        if self.stage.room.is_some_and(|room| self.failures >= room) {
            return Some(format!(
                "min_up: no more of {} may be down",
                self.stage.name
            ));
        }
        let borne = max_failures?;
        (self.failures > borne).then(|| {
            let hosts = if self.failures == 1 { "host" } else { "hosts" };
            format!("{} {hosts} of {} failed", self.failures, self.stage.name)
        })
    }

    /// Wakes the sessions of the running steps at each further wish of the operator's: they see
    /// its strength, and end their steps or leave them alone.
    async fn hurry(&mut self, running: &mut JoinSet<(StepId, Turn)>) {
        let mut level = self.active.cancel.level();
        self.interrupt();
        loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    Some(Ok((id, turn))) => self.note(id, turn).await,
                    Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                    None => return,
                },
                () = self.active.cancel.reached(level + 1) => {
                    level += 1;
                    self.interrupt();
                }
            }
        }
    }

    fn interrupt(&self) {
        for step in &self.stage.steps {
            self.active.engine.session(step.id.host).interrupt();
        }
    }

    async fn give_up(&mut self, step: &Step, reason: &str) {
        self.active.outcome.not_started += 1;
        let fact = Fact::StepNotStarted {
            id: step.id.clone(),
            reason: reason.to_owned(),
        };
        self.active.events.send(fact).await;
    }
}
