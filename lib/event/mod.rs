//! What happened in a run: an envelope, and one variant for each fact.
//!
//! Events carry facts, never how they're shown. The journal is these, one JSON object a line.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::plan::{Decision, StepId};

/// One fact with when and in which run it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, by this machine's clock.
    pub time: jiff::Timestamp,
    /// Milliseconds since the run started, by a clock that doesn't jump.
    pub elapsed_ms: u64,
    /// The run's id.
    pub run: String,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Fact {
    /// A plan begins to run.
    RunStarted {
        /// The cluster's name.
        cluster: String,
        /// The operation's name.
        operation: String,
        /// Who: the operator's login name here.
        operator: String,
        /// Where: this machine's name.
        workstation: String,
        /// Every step that the plan holds, with its stage and decision.
        steps: Vec<PlannedStep>,
    },
    /// The first connection to a host is tried.
    HostConnecting {
        /// Which.
        host: IpAddr,
    },
    /// The connection stands and the login worked.
    HostConnected {
        /// Which.
        host: IpAddr,
    },
    /// A host can't be worked on; its steps will not start.
    HostUnreachable {
        /// Which.
        host: IpAddr,
        /// The kind, to branch on: `refused`, `timeout`, `auth`, `host_key`, `sudo`, `lost`, …
        kind: String,
        /// What happened and what to try.
        error: String,
    },
    /// The connection to a host was lost while a step ran there; it will be tried again.
    ConnectionLost {
        /// Which.
        host: IpAddr,
        /// What happened.
        error: String,
    },
    /// The first step of a stage is about to start.
    StageStarted {
        /// Which.
        stage: String,
    },
    /// Every step of a stage has ended, been skipped or been given up.
    StageFinished {
        /// Which.
        stage: String,
        /// How many of its steps failed.
        failed: usize,
    },
    /// A step isn't run because nothing is to be done.
    StepSkipped {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// Why.
        reason: String,
    },
    /// A step's script is being handed to its host.
    StepStarted {
        /// Which.
        #[serde(flatten)]
        id: StepId,
    },
    /// The step was started by an earlier run and is followed instead of being started again.
    StepJoined {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// The run that started it.
        started_by: String,
    },
    /// Another run's step has the host; this one waits for its end.
    StepWaiting {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// Who holds the host, since when, for which run and step.
        holder: String,
    },
    /// Another run's step is being ended for this one, because the operator said so.
    StepTookOver {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// Whose step that was.
        holder: String,
    },
    /// The step isn't started: another run has done just the same since the plan looked at the host.
    StepFoundDone {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// Who did it, when, in which run.
        holder: String,
    },
    /// Steps of the open stage may not start yet, until others of it have ended.
    StepsHeld {
        /// Their stage.
        stage: String,
        /// What holds them, in words: `min_up: 1 of them may be down at once`.
        why: String,
        /// Them.
        steps: Vec<StepId>,
    },
    /// A step has printed nothing for a while.
    StepSilent {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// For how many seconds.
        seconds: u64,
    },
    /// The host didn't keep a part of what a step printed: it's more than it may take up there.
    OutputDropped {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// How many bytes are missing at this place.
        bytes: u64,
    },
    /// A file is being pushed to the host for a step.
    UploadProgress {
        /// For which step.
        #[serde(flatten)]
        id: StepId,
        /// How many bytes went so far.
        sent: u64,
        /// How many there are.
        total: u64,
    },
    /// A step printed something. Text, made of what the host sent: invalid UTF-8 replaced, control
    /// characters but newline and tab made visible, secrets blotted out.
    StepOutput {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// What.
        text: String,
    },
    /// A step ended.
    StepFinished {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// How.
        result: StepResult,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// A step will not be started in this run.
    StepNotStarted {
        /// Which.
        #[serde(flatten)]
        id: StepId,
        /// Why: an earlier stage failed, its host is unreachable, too many failures, cancelled.
        reason: String,
    },
    /// Somebody asked for the run to end.
    CancelRequested {
        /// How often so far: 1 lets running steps end, 2 ends them, 3 leaves them alone.
        times: u32,
        /// Who or what asked, in words: `Ctrl-C`, `SIGTERM`, `the run's deadline`.
        by: String,
    },
    /// More steps were found, of a run that is being followed.
    StepsFound {
        /// Them; each in a stage that isn't finished.
        steps: Vec<PlannedStep>,
    },
    /// The run is over.
    RunFinished {
        /// How many steps ran and succeeded.
        succeeded: usize,
        /// How many were skipped.
        skipped: usize,
        /// How many failed or ended unknown.
        failed: usize,
        /// How many were never started.
        not_started: usize,
    },
}

/// One step as announced at the start of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its stage.
    pub stage: String,
    /// Which.
    #[serde(flatten)]
    pub id: StepId,
    /// Whether it will run, and why.
    #[serde(flatten)]
    pub decision: Decision,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum StepResult {
    /// Its exit status was 0.
    Succeeded,
    /// It exited with another status.
    Failed {
        /// The exit status; 128+n after signal n, as shells have it.
        status: i32,
    },
    /// No exit status was recorded: it isn't known how it ended.
    Unknown {
        /// Why not: the connection was lost, the host rebooted, ….
        why: String,
    },
    /// Another run holds the host's lock; this step didn't start.
    Locked {
        /// Who holds it, since when, for which run and step.
        holder: String,
    },
    /// It was ended, or not let start, because somebody asked.
    Cancelled {
        /// Who asked, as its host recorded it.
        by: String,
    },
    /// Its host ended it: it had run for as long as it may, or printed more than there is room for.
    Stopped {
        /// Why.
        why: String,
    },
}

impl StepResult {
    /// Judges an exit status.
    pub fn of_status(status: i32) -> StepResult {
        match status {
            0 => StepResult::Succeeded,
            status => StepResult::Failed { status },
        }
    }
}
