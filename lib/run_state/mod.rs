//! Folds the events of a run into its state: what is done, what runs, what failed.
//!
//! A checked state machine: an event that can't happen in the present state is an error and
//! changes nothing. It reads no clock and no file; replaying a journal gives the same state.

mod apply;
mod illegal;
mod step;
mod tail;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::plan::StepId;

pub use illegal::{IllegalEvent, Obstacle};
pub use step::{Note, Phase, StepState, Upload};
pub use tail::{TAIL_LINES, Tail};
pub use words::{cancel_words, dropped_words, duration_words, note_words, result_words};

/// The state of one run, as far as its events tell.
///
/// It is resilient against:
/// - an event that comes twice or too early, or whose forerunner is missing: it's refused, the
///   state stays as it was, and later events are judged against that;
/// - any amount of output: of each step only the tail is kept;
/// - an end that never comes (a killed controller, a torn journal): the state just isn't over.
///
/// It isn't resilient against:
/// - lost, doubled or swapped output: any text is legal while its step runs;
/// - a lost forerunner, beyond refusing what follows from it: nothing is guessed or repaired, and
///   without its `run_started` a whole run is refused;
/// - two events swapped that don't depend on each other, such as two hosts' steps;
/// - wrong clocks: times are taken as they come, only the newest elapsed time is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    run: Option<RunInfo>,
    over: bool,
    now_ms: u64,
    cancels: u32,
    steps: Vec<StepState>,
    index: HashMap<StepId, usize>,
    stages: Vec<StageState>,
    hosts: BTreeMap<IpAddr, HostState>,
}

/// What is known of a run from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// The run's id.
    pub id: String,
    /// The cluster's name.
    pub cluster: String,
    /// The operation's name.
    pub operation: String,
    /// The operator's login name.
    pub operator: String,
    /// The operator's machine.
    pub workstation: String,
    /// When it started.
    pub started: jiff::Timestamp,
}

/// A stage and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageState {
    /// Its name.
    pub name: String,
    /// How far.
    pub phase: StagePhase,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StagePhase {
    /// Nothing of it has started.
    Waiting,
    /// Its steps may run.
    Open,
    /// Each of its steps has ended in some way.
    Finished,
}

/// A host and whether it can be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostState {
    /// The connection.
    pub link: Link,
    /// The step that runs on it now, as an index into the steps.
    running: Option<usize>,
}

/// The connection to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not tried in this run; it may stand from one before.
    Untried,
    /// Being tried.
    Connecting,
    /// It stands.
    Connected,
    /// It was lost while a step ran, and is being tried again.
    Lost {
        /// What happened.
        error: String,
    },
    /// It failed or was lost for good.
    Unreachable {
        /// The kind: `refused`, `timeout`, `auth`, ….
        kind: String,
        /// What happened and what to try.
        error: String,
    },
}

/// How many steps are in which phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All steps of the plan.
    pub total: usize,
    /// Neither begun nor given up.
    pub planned: usize,
    /// Running now.
    pub running: usize,
    /// Ended with exit status 0.
    pub succeeded: usize,
    /// Ended in any other way: failed, unknown, locked, cancelled.
    pub failed: usize,
    /// Not run because nothing was to be done.
    pub skipped: usize,
    /// Given up before they started.
    pub not_started: usize,
}

impl Counts {
    /// Tells how many steps need nothing more in this run.
    pub fn ended(&self) -> usize {
        self.succeeded + self.failed + self.skipped + self.not_started
    }
}

impl RunState {
    /// Makes the state before the first event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what is known of the run, once it has started.
    pub fn run(&self) -> Option<&RunInfo> {
        self.run.as_ref()
    }

    /// Tells whether the run's end has been seen.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Returns the newest elapsed time of an event, in milliseconds since the run's start.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Tells how often the operator asked for the run to end.
    pub fn cancel_requests(&self) -> u32 {
        self.cancels
    }

    /// Lists all steps in the plan's order.
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// Finds a step.
    pub fn step(&self, id: &StepId) -> Option<&StepState> {
        self.index.get(id).map(|&i| &self.steps[i])
    }

    /// Lists the stages in the plan's order.
    pub fn stages(&self) -> &[StageState] {
        &self.stages
    }

    /// Returns the stage whose steps may run now.
    pub fn open_stage(&self) -> Option<&StageState> {
        self.stages.iter().find(|s| s.phase == StagePhase::Open)
    }

    /// Lists the hosts of the plan by address.
    pub fn hosts(&self) -> &BTreeMap<IpAddr, HostState> {
        &self.hosts
    }

    /// Counts the steps by phase.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            total: self.steps.len(),
            ..Counts::default()
        };
        for step in &self.steps {
            *match &step.phase {
                Phase::Planned => &mut counts.planned,
                Phase::Skipped { .. } => &mut counts.skipped,
                Phase::NotStarted { .. } => &mut counts.not_started,
                Phase::Running { .. } => &mut counts.running,
                Phase::Finished { .. } if step.failed() => &mut counts.failed,
                Phase::Finished { .. } => &mut counts.succeeded,
            } += 1;
        }
        counts
    }

    /// Lists the running steps with the milliseconds that each has run at `now_ms` of the run,
    /// longest first.
    pub fn running(&self, now_ms: u64) -> Vec<(&StepState, u64)> {
        let mut running: Vec<_> = self
            .steps
            .iter()
            .filter_map(|step| match step.phase {
                Phase::Running { since_ms } => Some((step, now_ms.saturating_sub(since_ms))),
                _ => None,
            })
            .collect();
        // Stable: steps of the same age stay in the plan's order.
        running.sort_by_key(|&(_, age)| std::cmp::Reverse(age));
        running
    }

    /// Lists the steps that ended in any way but success, in the plan's order.
    pub fn failed(&self) -> impl Iterator<Item = &StepState> {
        self.steps.iter().filter(|step| step.failed())
    }

    /// Lists the hosts that can't be worked on, each with the error's kind and message.
    pub fn unreachable(&self) -> impl Iterator<Item = (IpAddr, &str, &str)> {
        self.hosts
            .iter()
            .filter_map(|(&host, state)| match &state.link {
                Link::Unreachable { kind, error } => Some((host, kind.as_str(), error.as_str())),
                _ => None,
            })
    }

    /// Lists the hosts on which a step was given up and none ever started.
    pub fn untouched_hosts(&self) -> Vec<IpAddr> {
        let of = |host: IpAddr| self.steps.iter().filter(move |s| s.id.host == host);
        self.hosts
            .keys()
            .copied()
            .filter(|&host| of(host).any(|s| matches!(s.phase, Phase::NotStarted { .. })))
            .filter(|&host| !of(host).any(StepState::was_started))
            .collect()
    }
}
