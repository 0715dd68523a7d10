//! Runs a plan: stage after stage, hosts at once under limits, and says what happens as events.
//!
//! It prints nothing, decides nothing about what should run (that's `plan`'s), and knows a host
//! only through `transport`.

mod cancel;
mod events;
mod follow;
mod holder;
mod output;
mod session;
mod stage;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use cancel::Cancel;
pub use events::{EventReceiver, EventSink, event_channel};
pub use output::TextFilter;
use session::Session;

use crate::event::{Fact, PlannedStep, StepResult};
use crate::model::{Host, Sudo};
use crate::plan::{Decision, Plan, RunIdentity, Stage, StepId};
use crate::transport::{OnLock, Transport, TransportErrorKind};

/// How much is done at once, how long things may take, and what is left on the hosts.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many hosts are worked on at once.
    pub forks: usize,
    /// Whether scripts stay on the hosts after their steps.
    pub keep_scripts: bool,
    /// What a step does when another run's step has its host.
    pub on_lock: OnLock,
    /// How long a look at a host may take, from the question to the whole answer; the operator's own
    /// command may take as long as it likes.
    pub look: Duration,
    /// For how long a lost connection is tried again.
    pub reconnect: Duration,
    /// When a step is ended by its host; never without.
    pub step_deadline: Option<Duration>,
    /// After how much silence of a step a warning is given; again whenever that has doubled.
    pub silence: Duration,
    /// How long a step that is ended may take to end by itself.
    pub grace: Duration,
    /// How many bytes of a step's output its host keeps.
    pub output_cap: u64,
}

impl Limits {
    /// Makes the limits of a command that only looks.
    pub fn with_forks(forks: u16) -> Limits {
        Limits {
            forks: usize::from(forks),
            ..Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            forks: 50,
            keep_scripts: false,
            on_lock: OnLock::Refuse,
            // Two minutes more than a check of health may take; the checks of a host run at once.
            look: Duration::from_secs(3 * 60),
            reconnect: Duration::from_secs(5 * 60),
            step_deadline: None,
            silence: Duration::from_secs(5 * 60),
            grace: Duration::from_secs(10),
            output_cap: 64 * 1024 * 1024,
        }
    }
}

/// Runs plans over connections that it keeps: one for each host, for as long as it lives.
pub struct Engine {
    transport: Arc<dyn Transport>,
    sudo: Sudo,
    limits: Limits,
    sessions: HashMap<IpAddr, Arc<Session>>,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How each step ended that was started.
    pub results: BTreeMap<StepId, StepResult>,
    /// What each query printed.
    pub outputs: BTreeMap<StepId, Answer>,
    /// The hosts that couldn't be worked on, with the reason.
    pub unreachable: BTreeMap<IpAddr, Unreachable>,
    /// How many steps were skipped because nothing was to be done.
    pub skipped: usize,
    /// How many steps were not started.
    pub not_started: usize,
    /// Whether the operator ended the run.
    pub cancelled: bool,
}

/// A host that can't be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// The kind, to branch on.
    pub kind: TransportErrorKind,
    /// What happened and what to try.
    pub error: String,
}

/// What a query's script printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its output as text; not filtered, since a program reads it.
    pub text: String,
    /// Its exit status.
    pub status: i32,
    /// When it was complete.
    pub at: jiff::Timestamp,
}

impl Outcome {
    /// Counts the steps that ran and succeeded.
    pub fn succeeded(&self) -> usize {
        self.results
            .values()
            .filter(|result| **result == StepResult::Succeeded)
            .count()
    }

    /// Counts the steps that were started and didn't succeed.
    pub fn failed(&self) -> usize {
        self.results.len() - self.succeeded()
    }

    /// Tells whether another run was in the way.
    pub fn is_locked(&self) -> bool {
        self.results
            .values()
            .any(|result| matches!(result, StepResult::Locked { .. }))
    }
}

impl Engine {
    /// Makes an engine for these hosts; nothing is connected yet.
    pub fn new(
        transport: Arc<dyn Transport>,
        hosts: &[Host],
        sudo: &Sudo,
        limits: Limits,
    ) -> Engine {
        let sessions = hosts
            .iter()
            .map(|host| (host.address, Arc::new(Session::new(host.clone()))))
            .collect();
        Engine {
            transport,
            sudo: sudo.clone(),
            limits,
            sessions,
        }
    }

    /// Runs a plan to its end, or until the operator ends it.
    ///
    /// Later stages don't start after a failure; hosts beside a failed one in its stage go on.
    pub async fn run(
        &self,
        plan: &Plan,
        run: &RunIdentity,
        cancel: &Cancel,
        events: &EventSink,
    ) -> Outcome {
        let mut active = self.begin(plan, run, cancel, events).await;
        for stage in &plan.stages {
            active.stage(stage).await;
        }
        active.finish().await
    }

    /// Begins a run of which not all stages are known yet; the plan's are announced and not run.
    pub async fn begin<'a>(
        &'a self,
        plan: &Plan,
        run: &'a RunIdentity,
        cancel: &'a Cancel,
        events: &'a EventSink,
    ) -> ActiveRun<'a> {
        events
            .send(Fact::RunStarted {
                cluster: plan.cluster.clone(),
                operation: plan.operation.clone(),
                operator: run.operator.clone(),
                workstation: run.workstation.clone(),
                steps: plan.stages.iter().flat_map(announced).collect(),
            })
            .await;
        ActiveRun {
            engine: self,
            cluster: plan.cluster.clone(),
            operation: plan.operation.clone(),
            run,
            cancel,
            events,
            outcome: Outcome::default(),
            stop: None,
            stops_after_failure: true,
        }
    }

    fn session(&self, host: IpAddr) -> Arc<Session> {
        self.sessions[&host].clone()
    }
}

/// A run that has begun, stage by stage.
pub struct ActiveRun<'a> {
    engine: &'a Engine,
    cluster: String,
    operation: String,
    run: &'a RunIdentity,
    cancel: &'a Cancel,
    events: &'a EventSink,
    outcome: Outcome,
    /// Why no further stage may start.
    stop: Option<String>,
    stops_after_failure: bool,
}

impl ActiveRun<'_> {
    /// Lets later stages start also after a failure: for those that only look on.
    pub fn in_spite_of_failures(mut self) -> Self {
        self.stops_after_failure = false;
        self
    }

    /// Announces a stage that wasn't in the plan.
    pub async fn found(&self, stage: &Stage) {
        let steps = announced(stage).collect();
        self.events.send(Fact::StepsFound { steps }).await;
    }

    /// Runs an announced stage to its end, unless an earlier one stands against it.
    pub async fn stage(&mut self, stage: &Stage) {
        if self.stop.is_none() && self.cancel.level() > 0 {
            self.stop = Some("the run was cancelled".to_owned());
        }
        stage::run(self, stage).await;
    }

    /// Ends the run.
    pub async fn finish(mut self) -> Outcome {
        let outcome = &mut self.outcome;
        outcome.cancelled = self.cancel.level() > 0;
        self.events
            .send(Fact::RunFinished {
                succeeded: outcome.succeeded(),
                skipped: outcome.skipped,
                failed: outcome.failed(),
                not_started: outcome.not_started,
            })
            .await;
        self.outcome
    }
}

/// A stage's steps as events announce them; a query's like any other.
fn announced(stage: &Stage) -> impl Iterator<Item = PlannedStep> {
    stage.steps.iter().map(|step| PlannedStep {
        stage: stage.name.clone(),
        id: step.id.clone(),
        decision: step.decision.clone(),
    })
}

/// Tells whether a step is to be run at all.
fn is_runnable(decision: &Decision) -> bool {
    matches!(decision, Decision::Run(_))
}
