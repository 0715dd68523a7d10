//! How a run ended as a whole, for the exit code.

use crate::event::StepResult;
use crate::run_state::{Phase, RunState};

/// How a run ended, and the exit code that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every step succeeded or had nothing to do.
    Done,
    /// A step failed, it isn't known how one ended, or the record of the run has no end.
    Failed,
    /// Nothing failed, but a host couldn't be worked on.
    Unreachable,
    /// Nothing else failed, but another run holds a host.
    Locked,
    /// The operator ended it before it was done.
    Cancelled,
}

impl Outcome {
    /// Judges a run. What the operator did comes before what failed, a failure before a lock, a
    /// lock before a host that can't be reached: the first is what to deal with first.
    pub fn of(state: &RunState) -> Outcome {
        let ended_as = |wanted: fn(&Phase) -> bool| state.steps().iter().any(|s| wanted(&s.phase));
        let result = |wanted: fn(&StepResult) -> bool| {
            let mut failed = state.failed();
            failed.any(|s| matches!(&s.phase, Phase::Finished { result, .. } if wanted(result)))
        };
        let given_up = ended_as(|phase| matches!(phase, Phase::NotStarted { .. }));
        // Asked thrice, running steps are left alone, so their ends aren't known.
        let cancelled = result(|r| matches!(r, StepResult::Cancelled { .. }))
            || state.cancel_requests() > 1 && result(|r| matches!(r, StepResult::Unknown { .. }));
        if state.cancel_requests() > 0 && (given_up || cancelled || !state.is_over()) {
            Outcome::Cancelled
        } else if !state.is_over()
            || result(|r| !matches!(r, StepResult::Locked { .. } | StepResult::Cancelled { .. }))
        {
            Outcome::Failed
        } else if result(|r| matches!(r, StepResult::Locked { .. })) {
            Outcome::Locked
        } else if state.unreachable().next().is_some() {
            Outcome::Unreachable
        } else if cancelled {
            // From elsewhere: by `cancel`, or by another run that took a host over.
            Outcome::Cancelled
        } else if given_up {
            Outcome::Failed
        } else {
            Outcome::Done
        }
    }

    /// Returns the exit code: 0, 1, 3, 4 or 130.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Unreachable => 3,
            Outcome::Locked => 4,
            Outcome::Cancelled => 130,
        }
    }
}
