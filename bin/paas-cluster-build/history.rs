//! What is kept among the runs although it's no run of a plan: `exec`, and what was done to the lab.
//! A note that can't be written is left out; it is no reason to refuse the command.

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use paas_cluster_build::engine::EventReceiver;
use paas_cluster_build::event::{Event, Fact, PlannedStep, StepResult};
use paas_cluster_build::journal::Journal;
use paas_cluster_build::plan::{Decision, Reason, StepId};

use crate::args::Common;
use crate::conductor::state_dir;
use crate::identity;

/// Keeps the events of a run until it's over.
pub async fn keep(state: Option<&Path>, cluster: &str, run: &str, mut events: EventReceiver) {
    let journal = state.and_then(|state| Journal::create_aside(state, cluster, run).ok());
    let mut journal = journal;
    while let Some(event) = events.recv().await {
        if let Some(journal) = &mut journal {
            let _ = journal.event(&event);
        }
    }
}

/// Something that is done to the lab's machines.
pub struct LabNote {
    journal: Option<Journal>,
    run: String,
    start: Instant,
    steps: Vec<PlannedStep>,
}

impl LabNote {
    /// Notes that it begins: one that is never ended is listed as interrupted.
    pub fn begin(common: &Common, cluster: &str, what: &str, hosts: Vec<IpAddr>) -> LabNote {
        let identity = identity::new_run();
        let journal = state_dir(common).ok();
        let journal =
            journal.and_then(|state| Journal::create_aside(&state, cluster, &identity.id).ok());
        let step = |host: IpAddr| PlannedStep {
            stage: what.to_owned(),
            id: StepId {
                step: what.replace(' ', "-"),
                host,
            },
            decision: Decision::Run(vec![Reason::Asked {
                what: what.to_owned(),
            }]),
        };
        let mut note = LabNote {
            journal,
            run: identity.id,
            start: Instant::now(),
            steps: hosts.into_iter().map(step).collect(),
        };
        note.say(Fact::RunStarted {
            cluster: cluster.to_owned(),
            operation: what.to_owned(),
            operator: identity.operator,
            workstation: identity.workstation,
            steps: note.steps.clone(),
        });
        if let Some(step) = note.steps.first() {
            let stage = step.stage.clone();
            note.say(Fact::StageStarted { stage });
        }
        for step in note.steps.clone() {
            note.say(Fact::StepStarted { id: step.id });
        }
        note
    }

    /// Notes that it ended, for all machines alike.
    pub fn end(mut self, is_done: bool) {
        let took_ms = self.start.elapsed().as_millis() as u64;
        let result = StepResult::of_status(i32::from(!is_done));
        let failed = if is_done { 0 } else { self.steps.len() };
        for step in self.steps.clone() {
            let (id, result) = (step.id, result.clone());
            self.say(Fact::StepFinished {
                id,
                result,
                took_ms,
            });
        }
        if let Some(step) = self.steps.first() {
            let stage = step.stage.clone();
            self.say(Fact::StageFinished { stage, failed });
        }
        self.say(Fact::RunFinished {
            succeeded: self.steps.len() - failed,
            skipped: 0,
            failed,
            not_started: 0,
        });
    }

    fn say(&mut self, fact: Fact) {
        let event = Event {
            time: jiff::Timestamp::now(),
            elapsed_ms: self.start.elapsed().as_millis() as u64,
            run: self.run.clone(),
            fact,
        };
        if let Some(journal) = &mut self.journal {
            let _ = journal.event(&event);
        }
    }
}
