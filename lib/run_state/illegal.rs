//! Why an event can't have happened.

use std::fmt;
use std::net::IpAddr;

use super::{Link, Phase, StagePhase};
use crate::event::Fact;
use crate::plan::StepId;

/// An event that is impossible in the state that the run is in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("impossible event {event}{}: {obstacle}", subject_words(.subject.as_deref()))]
pub struct IllegalEvent {
    /// The event's name, as in the journal: `step_started`, ….
    pub event: &'static str,
    /// The step, host or stage that it is about.
    pub subject: Option<String>,
    /// The state that stands against it.
    pub obstacle: Obstacle,
}

/// The state that makes an event impossible.
#[derive(Debug, Clone, PartialEq)]
pub enum Obstacle {
    /// There is no run yet.
    NoRun,
    /// The run has already started.
    RunStarted,
    /// The run is over.
    RunOver,
    /// The event belongs to another run than this one.
    OtherRun(String),
    /// The plan doesn't hold the step.
    StepNotPlanned,
    /// The plan holds the step twice.
    StepTwice,
    /// The plan decided otherwise about the step.
    DecidedOtherwise,
    /// The step is in this phase.
    Step(Phase),
    /// No step of the plan has the stage.
    StageNotPlanned,
    /// The stage is in this phase.
    Stage(StagePhase),
    /// Another stage is open.
    StageOpen(String),
    /// This step hasn't ended.
    StepOpen(StepId),
    /// No step of the plan is on the host.
    HostNotPlanned,
    /// The connection to the host is in this state.
    Host(Link),
    /// This step runs on the host.
    HostBusy(StepId),
    /// A number in the event disagrees with what was counted.
    Count {
        /// Which number.
        what: &'static str,
        /// What the event says.
        said: u64,
        /// What was counted, or the most that it may be.
        counted: u64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NoRun => f.write_str("the run hasn't started"),
            Obstacle::RunStarted => f.write_str("the run has already started"),
            Obstacle::RunOver => f.write_str("the run is over"),
            Obstacle::OtherRun(id) => write!(f, "the run is {id}"),
            Obstacle::StepNotPlanned => f.write_str("the plan doesn't hold this step"),
            Obstacle::StepTwice => f.write_str("the plan holds this step twice"),
            Obstacle::DecidedOtherwise => f.write_str("the plan decided otherwise"),
            Obstacle::Step(phase) => write!(f, "the step {}", phase_words(phase)),
            Obstacle::StageNotPlanned => f.write_str("the plan doesn't hold this stage"),
            Obstacle::Stage(phase) => f.write_str(match phase {
                StagePhase::Waiting => "the stage hasn't started",
                StagePhase::Open => "the stage has already started",
                StagePhase::Finished => "the stage is finished",
            }),
            Obstacle::StageOpen(name) => write!(f, "the stage {name} isn't finished"),
            Obstacle::StepOpen(id) => write!(f, "the step {id} hasn't ended"),
            Obstacle::HostNotPlanned => f.write_str("no step of the plan is on this host"),
            Obstacle::Host(link) => f.write_str(match link {
                Link::Untried => "no connection to the host was tried",
                Link::Connecting => "the host is being connected to",
                Link::Connected => "the host is connected",
                Link::Lost { .. } => "the connection to the host is lost",
                Link::Unreachable { .. } => "the host is unreachable",
            }),
            Obstacle::HostBusy(id) => write!(f, "the step {id} is running there"),
            Obstacle::Count {
                what,
                said,
                counted,
            } => write!(f, "{what} is said to be {said}, against {counted}"),
        }
    }
}

fn phase_words(phase: &Phase) -> &'static str {
    match phase {
        Phase::Planned => "hasn't started",
        Phase::Skipped { .. } => "was skipped",
        Phase::NotStarted { .. } => "was given up",
        Phase::Running { .. } => "is running",
        Phase::Finished { .. } => "has finished",
    }
}

fn subject_words(subject: Option<&str>) -> String {
    subject.map(|s| format!(" ({s})")).unwrap_or_default()
}

/// Returns a fact's name as the journal has it.
pub(super) fn name(fact: &Fact) -> &'static str {
    match fact {
        Fact::RunStarted { .. } => "run_started",
        Fact::HostConnecting { .. } => "host_connecting",
        Fact::HostConnected { .. } => "host_connected",
        Fact::HostUnreachable { .. } => "host_unreachable",
        Fact::ConnectionLost { .. } => "connection_lost",
        Fact::StepJoined { .. } => "step_joined",
        Fact::StepWaiting { .. } => "step_waiting",
        Fact::StepTookOver { .. } => "step_took_over",
        Fact::StepFoundDone { .. } => "step_found_done",
        Fact::StepSilent { .. } => "step_silent",
        Fact::OutputDropped { .. } => "output_dropped",
        Fact::StepsFound { .. } => "steps_found",
        Fact::StepsHeld { .. } => "steps_held",
        Fact::StageStarted { .. } => "stage_started",
        Fact::StageFinished { .. } => "stage_finished",
        Fact::StepSkipped { .. } => "step_skipped",
        Fact::StepStarted { .. } => "step_started",
        Fact::UploadProgress { .. } => "upload_progress",
        Fact::StepOutput { .. } => "step_output",
        Fact::StepFinished { .. } => "step_finished",
        Fact::StepNotStarted { .. } => "step_not_started",
        Fact::CancelRequested { .. } => "cancel_requested",
        Fact::RunFinished { .. } => "run_finished",
    }
}

/// Returns what a fact is about, if it's one step, host or stage.
pub(super) fn subject(fact: &Fact) -> Option<String> {
    let host = |host: &IpAddr| Some(host.to_string());
    match fact {
        Fact::RunStarted { .. }
        | Fact::CancelRequested { .. }
        | Fact::StepsFound { .. }
        | Fact::RunFinished { .. } => None,
        Fact::HostConnecting { host: h }
        | Fact::ConnectionLost { host: h, .. }
        | Fact::HostConnected { host: h }
        | Fact::HostUnreachable { host: h, .. } => host(h),
        Fact::StageStarted { stage }
        | Fact::StageFinished { stage, .. }
        | Fact::StepsHeld { stage, .. } => Some(stage.clone()),
        Fact::StepSkipped { id, .. }
        | Fact::StepStarted { id }
        | Fact::StepJoined { id, .. }
        | Fact::StepWaiting { id, .. }
        | Fact::StepTookOver { id, .. }
        | Fact::StepFoundDone { id, .. }
        | Fact::StepSilent { id, .. }
        | Fact::OutputDropped { id, .. }
        | Fact::UploadProgress { id, .. }
        | Fact::StepOutput { id, .. }
        | Fact::StepFinished { id, .. }
        | Fact::StepNotStarted { id, .. } => Some(id.to_string()),
    }
}
