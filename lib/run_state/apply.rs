//! The transitions: which event is possible when, and what it changes.
//!
//! Each transition checks everything before it changes anything, so a refused event leaves no
//! trace.

use std::net::IpAddr;

use super::illegal::{IllegalEvent, Obstacle, name, subject};
use super::tail::{LOG_LINES, Tail};
use super::{
    HostState, Link, Note, Phase, RunInfo, RunState, StagePhase, StageState, StepState, Upload,
};
use crate::event::{Event, Fact, PlannedStep};
use crate::plan::{Decision, StepId};

type Applied = Result<(), Obstacle>;

impl RunState {
    /// Takes one event in.
    ///
    /// # Errors
    /// An event that can't happen in this state; nothing is changed then.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        self.transition(event).map_err(|obstacle| IllegalEvent {
            event: name(&event.fact),
            subject: subject(&event.fact),
            obstacle,
        })?;
        self.now_ms = self.now_ms.max(event.elapsed_ms);
        Ok(())
    }

    fn transition(&mut self, event: &Event) -> Applied {
        match (&self.run, &event.fact) {
            (Some(run), _) if run.id != event.run => {
                return Err(Obstacle::OtherRun(run.id.clone()));
            }
            (Some(_), Fact::RunStarted { .. }) => return Err(Obstacle::RunStarted),
            (None, Fact::RunStarted { .. }) => {}
            (None, _) => return Err(Obstacle::NoRun),
            (Some(_), _) if self.over => return Err(Obstacle::RunOver),
            (Some(_), _) => {}
        }
        match &event.fact {
            Fact::RunStarted {
                cluster,
                operation,
                operator,
                workstation,
                steps,
            } => {
                self.plan(steps)?;
                self.run = Some(RunInfo {
                    id: event.run.clone(),
                    cluster: cluster.clone(),
                    operation: operation.clone(),
                    operator: operator.clone(),
                    workstation: workstation.clone(),
                    started: event.time,
                });
                Ok(())
            }
            Fact::HostConnecting { host } => self.connecting(*host),
            Fact::HostConnected { host } => self.connected(*host),
            Fact::HostUnreachable { host, kind, error } => self.unreachable_now(*host, kind, error),
            Fact::ConnectionLost { host, error } => self.lost(*host, error),
            Fact::StageStarted { stage } => self.open_stage_named(stage),
            Fact::StageFinished { stage, failed } => self.close_stage(stage, *failed),
            Fact::StepSkipped { id, reason } => self.skip(id, reason),
            Fact::StepStarted { id } => self.start(id, event.elapsed_ms),
            Fact::UploadProgress { id, sent, total } => self.upload(id, *sent, *total),
            Fact::StepOutput { id, text } => {
                let step = self.running_step(id)?;
                let step = &mut self.steps[step];
                step.hear(text);
                // It speaks again, or what it waited for is over.
                if matches!(step.note, Some(Note::Silent(_) | Note::Waiting(_))) {
                    step.note = None;
                }
                Ok(())
            }
            Fact::StepJoined { id, started_by } => self.note(id, Note::Joined(started_by.clone())),
            Fact::StepWaiting { id, holder } => self.note(id, Note::Waiting(holder.clone())),
            Fact::StepTookOver { id, holder } => self.note(id, Note::TookOver(holder.clone())),
            Fact::StepFoundDone { id, holder } => self.note(id, Note::FoundDone(holder.clone())),
            Fact::StepsHeld { stage, why, steps } => self.hold(stage, why, steps),
            Fact::StepSilent { id, seconds } => self.note(id, Note::Silent(*seconds)),
            Fact::OutputDropped { id, bytes } => {
                let step = self.running_step(id)?;
                self.steps[step].dropped += bytes;
                Ok(())
            }
            Fact::StepFinished {
                id,
                result,
                took_ms,
            } => {
                let step = self.running_step(id)?;
                self.steps[step].phase = Phase::Finished {
                    result: result.clone(),
                    took_ms: *took_ms,
                };
                self.host_mut(id.host)?.running = None;
                Ok(())
            }
            Fact::StepNotStarted { id, reason } => {
                let step = self.planned_step(id)?;
                self.steps[step].note = None;
                self.steps[step].phase = Phase::NotStarted {
                    reason: reason.clone(),
                };
                Ok(())
            }
            Fact::CancelRequested { times, .. } => {
                agree("times", (*times).into(), u64::from(self.cancels) + 1)?;
                self.cancels = *times;
                Ok(())
            }
            Fact::StepsFound { steps } => self.extend(steps),
            Fact::RunFinished {
                succeeded,
                skipped,
                failed,
                not_started,
            } => self.finish([*succeeded, *skipped, *failed, *not_started]),
        }
    }

    fn plan(&mut self, planned: &[PlannedStep]) -> Applied {
        let mut next = RunState::default();
        next.announce(planned)?;
        *self = next;
        Ok(())
    }

    /// A run that is followed shows its steps as they turn up.
    fn extend(&mut self, found: &[PlannedStep]) -> Applied {
        for step in found {
            let stage = self.stages.iter().find(|s| s.name == step.stage);
            if let Some(stage) = stage.filter(|s| s.phase == StagePhase::Finished) {
                return Err(Obstacle::Stage(stage.phase));
            }
        }
        let mut next = self.clone();
        next.announce(found)?;
        *self = next;
        Ok(())
    }

    fn announce(&mut self, planned: &[PlannedStep]) -> Applied {
        for step in planned {
            let index = self.steps.len();
            if self.index.insert(step.id.clone(), index).is_some() {
                return Err(Obstacle::StepTwice);
            }
            if !self.stages.iter().any(|s| s.name == step.stage) {
                self.stages.push(StageState {
                    name: step.stage.clone(),
                    phase: StagePhase::Waiting,
                });
            }
            self.hosts.entry(step.id.host).or_insert(HostState {
                link: Link::Untried,
                running: None,
            });
            self.steps.push(StepState {
                stage: step.stage.clone(),
                id: step.id.clone(),
                decision: step.decision.clone(),
                phase: Phase::Planned,
                upload: None,
                tail: Tail::default(),
                logs: Tail::of(LOG_LINES),
                shows_logs: false,
                note: None,
                dropped: 0,
            });
        }
        Ok(())
    }

    fn note(&mut self, id: &StepId, note: Note) -> Applied {
        let step = self.running_step(id)?;
        self.steps[step].note = Some(note);
        Ok(())
    }

    /// Only what could start is held back.
    fn hold(&mut self, stage: &str, why: &str, held: &[StepId]) -> Applied {
        let open = self.stage_index(stage)?;
        if self.stages[open].phase != StagePhase::Open {
            return Err(Obstacle::Stage(self.stages[open].phase));
        }
        let steps: Vec<usize> = held
            .iter()
            .map(|id| self.planned_step(id))
            .collect::<Result<_, _>>()?;
        for step in &steps {
            let step = &self.steps[*step];
            if step.stage != stage || !matches!(step.decision, Decision::Run(_)) {
                return Err(Obstacle::DecidedOtherwise);
            }
        }
        for step in steps {
            self.steps[step].note = Some(Note::Held(why.to_owned()));
        }
        Ok(())
    }

    /// A host may be tried again after it was lost, also when nobody told that it was.
    fn connecting(&mut self, host: IpAddr) -> Applied {
        let state = self.hosts.get(&host).ok_or(Obstacle::HostNotPlanned)?;
        match (&state.link, state.running) {
            (Link::Connecting, _) => return Err(Obstacle::Host(Link::Connecting)),
            (Link::Untried | Link::Connected, Some(step)) => {
                return Err(Obstacle::HostBusy(self.steps[step].id.clone()));
            }
            _ => {}
        }
        self.host_mut(host)?.link = Link::Connecting;
        Ok(())
    }

    fn connected(&mut self, host: IpAddr) -> Applied {
        let host = self.host_mut(host)?;
        if host.link != Link::Connecting {
            return Err(Obstacle::Host(host.link.clone()));
        }
        host.link = Link::Connected;
        Ok(())
    }

    /// Only what stood can be lost, and only a running step makes it worth trying again.
    fn lost(&mut self, host: IpAddr, error: &str) -> Applied {
        let host = self.host_mut(host)?;
        if !matches!(host.link, Link::Untried | Link::Connected) || host.running.is_none() {
            return Err(Obstacle::Host(host.link.clone()));
        }
        host.link = Link::Lost {
            error: error.to_owned(),
        };
        Ok(())
    }

    /// A host may be given up while its step runs; the step's own end is told apart from that.
    fn unreachable_now(&mut self, host: IpAddr, kind: &str, error: &str) -> Applied {
        let host = self.host_mut(host)?;
        if matches!(host.link, Link::Unreachable { .. }) {
            return Err(Obstacle::Host(host.link.clone()));
        }
        host.link = Link::Unreachable {
            kind: kind.to_owned(),
            error: error.to_owned(),
        };
        Ok(())
    }

    fn open_stage_named(&mut self, name: &str) -> Applied {
        let stage = self.stage_index(name)?;
        if self.stages[stage].phase != StagePhase::Waiting {
            return Err(Obstacle::Stage(self.stages[stage].phase));
        }
        if let Some(other) = self.open_stage() {
            return Err(Obstacle::StageOpen(other.name.clone()));
        }
        for earlier in &self.stages[..stage] {
            self.all_ended(&earlier.name)?;
        }
        self.stages[stage].phase = StagePhase::Open;
        Ok(())
    }

    /// A stage in which nothing had to start may be finished without having been opened. Steps
    /// that couldn't start may be counted among the failed ones: they hold up the run as well.
    fn close_stage(&mut self, name: &str, failed: usize) -> Applied {
        let stage = self.stage_index(name)?;
        if self.stages[stage].phase == StagePhase::Finished {
            return Err(Obstacle::Stage(StagePhase::Finished));
        }
        self.all_ended(name)?;
        let of_stage = || self.steps.iter().filter(|s| s.stage == name);
        let least = of_stage().filter(|s| s.failed()).count();
        let not_started = |s: &&StepState| matches!(s.phase, Phase::NotStarted { .. });
        let most = least + of_stage().filter(not_started).count();
        agree("failed", failed as u64, failed.clamp(least, most) as u64)?;
        self.stages[stage].phase = StagePhase::Finished;
        Ok(())
    }

    fn skip(&mut self, id: &StepId, reason: &str) -> Applied {
        let step = self.planned_step(id)?;
        if !matches!(self.steps[step].decision, Decision::Skip(_)) {
            return Err(Obstacle::DecidedOtherwise);
        }
        self.steps[step].phase = Phase::Skipped {
            reason: reason.to_owned(),
        };
        Ok(())
    }

    fn start(&mut self, id: &StepId, now_ms: u64) -> Applied {
        let step = self.planned_step(id)?;
        self.may_work(step)?;
        self.steps[step].phase = Phase::Running { since_ms: now_ms };
        self.steps[step].note = None;
        self.host_mut(id.host)?.running = Some(step);
        Ok(())
    }

    /// Files may go before the step's start or during it.
    fn upload(&mut self, id: &StepId, sent: u64, total: u64) -> Applied {
        let step = self.step_index(id)?;
        match &self.steps[step].phase {
            Phase::Planned => self.may_work(step)?,
            Phase::Running { .. } => {}
            ended => return Err(Obstacle::Step(ended.clone())),
        }
        if sent > total {
            return Err(Obstacle::Count {
                what: "sent",
                said: sent,
                counted: total,
            });
        }
        self.steps[step].upload = Some(Upload { sent, total });
        Ok(())
    }

    fn finish(&mut self, said: [usize; 4]) -> Applied {
        if let Some(step) = self.steps.iter().find(|s| !s.ended()) {
            return Err(Obstacle::StepOpen(step.id.clone()));
        }
        if let Some(stage) = self.open_stage() {
            return Err(Obstacle::StageOpen(stage.name.clone()));
        }
        let counts = self.counts();
        let counted = [
            ("succeeded", counts.succeeded),
            ("skipped", counts.skipped),
            ("failed", counts.failed),
            ("not_started", counts.not_started),
        ];
        for (said, (what, counted)) in said.into_iter().zip(counted) {
            agree(what, said as u64, counted as u64)?;
        }
        self.over = true;
        Ok(())
    }

    /// Checks that work for a step may be done on its host now.
    fn may_work(&self, step: usize) -> Applied {
        let step = &self.steps[step];
        if !matches!(step.decision, Decision::Run(_)) {
            return Err(Obstacle::DecidedOtherwise);
        }
        let stage = self.stage_index(&step.stage)?;
        if self.stages[stage].phase != StagePhase::Open {
            return Err(Obstacle::Stage(self.stages[stage].phase));
        }
        let host = self
            .hosts
            .get(&step.id.host)
            .ok_or(Obstacle::HostNotPlanned)?;
        // Untried is as good as connected: a connection may stand from a run before this one.
        if !matches!(host.link, Link::Untried | Link::Connected) {
            return Err(Obstacle::Host(host.link.clone()));
        }
        match host.running {
            Some(other) => Err(Obstacle::HostBusy(self.steps[other].id.clone())),
            None => Ok(()),
        }
    }

    fn all_ended(&self, stage: &str) -> Applied {
        let mut steps = self.steps.iter().filter(|s| s.stage == stage);
        match steps.find(|s| !s.ended()) {
            Some(step) => Err(Obstacle::StepOpen(step.id.clone())),
            None => Ok(()),
        }
    }

    fn planned_step(&self, id: &StepId) -> Result<usize, Obstacle> {
        let step = self.step_index(id)?;
        match &self.steps[step].phase {
            Phase::Planned => Ok(step),
            other => Err(Obstacle::Step(other.clone())),
        }
    }

    fn running_step(&self, id: &StepId) -> Result<usize, Obstacle> {
        let step = self.step_index(id)?;
        match &self.steps[step].phase {
            Phase::Running { .. } => Ok(step),
            other => Err(Obstacle::Step(other.clone())),
        }
    }

    fn step_index(&self, id: &StepId) -> Result<usize, Obstacle> {
        self.index.get(id).copied().ok_or(Obstacle::StepNotPlanned)
    }

    fn stage_index(&self, name: &str) -> Result<usize, Obstacle> {
        let found = self.stages.iter().position(|s| s.name == name);
        found.ok_or(Obstacle::StageNotPlanned)
    }

    fn host_mut(&mut self, host: IpAddr) -> Result<&mut HostState, Obstacle> {
        self.hosts.get_mut(&host).ok_or(Obstacle::HostNotPlanned)
    }
}

fn agree(what: &'static str, said: u64, counted: u64) -> Applied {
    if said == counted {
        Ok(())
    } else {
        Err(Obstacle::Count {
            what,
            said,
            counted,
        })
    }
}
