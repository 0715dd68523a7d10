//! One step's state.

use super::tail::Tail;
use crate::event::StepResult;
use crate::plan::{Decision, StepId};

/// A step of the plan and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Its stage.
    pub stage: String,
    /// Which.
    pub id: StepId,
    /// What the plan decided about it.
    pub decision: Decision,
    /// How far it is.
    pub phase: Phase,
    /// The push of a file for it, if one was begun.
    pub upload: Option<Upload>,
    /// The end of its output.
    pub tail: Tail,
    /// The end of what its services and logs said, which it showed because it failed.
    pub logs: Tail,
    /// Whether it has come to showing its logs.
    pub(super) shows_logs: bool,
    /// What is special about it while it runs or waits for its turn: whose step it waits for, what
    /// holds it back, how long it has been silent.
    pub note: Option<Note>,
    /// How many bytes of its output weren't kept by its host.
    pub dropped: u64,
}

/// What is special about a step that runs, or that may not run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// An earlier run started it; which.
    Joined(String),
    /// It waits for another run's step; whose.
    Waiting(String),
    /// It ended another run's step; whose.
    TookOver(String),
    /// Another run has just done the same; whose.
    FoundDone(String),
    /// It may not start yet; what holds it back.
    Held(String),
    /// It has printed nothing for so many seconds.
    Silent(u64),
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Its turn hasn't come.
    Planned,
    /// Nothing was to be done.
    Skipped {
        /// Why not.
        reason: String,
    },
    /// It was given up before it started.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// It runs.
    Running {
        /// Since when, in milliseconds since the run's start.
        since_ms: u64,
    },
    /// It ended.
    Finished {
        /// How.
        result: StepResult,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
}

/// How much of a file has been pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// Bytes sent so far.
    pub sent: u64,
    /// All bytes.
    pub total: u64,
}

/// The line of a script behind which it shows what its services and logs say.
const LOGS_FOLLOW: &str = "=== what its services say";

impl StepState {
    /// Takes in what it printed: whole lines, unless they are very long.
    pub(super) fn hear(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            if self.shows_logs {
                self.logs.push(line);
            } else if line.trim_end() == LOGS_FOLLOW {
                self.shows_logs = true;
            } else {
                self.tail.push(line);
            }
        }
    }

    /// Tells whether it ended in any way but success.
    pub fn failed(&self) -> bool {
        matches!(&self.phase, Phase::Finished { result, .. } if *result != StepResult::Succeeded)
    }

    /// Tells whether it was ever started.
    pub fn was_started(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Finished { .. })
    }

    /// Tells whether nothing more can happen to it in this run.
    pub fn ended(&self) -> bool {
        !matches!(self.phase, Phase::Planned | Phase::Running { .. })
    }
}
