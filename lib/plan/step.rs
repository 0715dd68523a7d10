//! The parts of a plan.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::adopt::Difference;
use super::decision::Written;
use crate::cluster_file::Place;
use crate::operation::EXEC;
use crate::script::{Upload, Values};

/// The identity of a step: the step's name (a component, or `component.job`) and its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId {
    /// The step's name; its receipt on the host has the same.
    pub step: String,
    /// The host's address.
    pub host: IpAddr,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.step, self.host)
    }
}

/// An operation resolved into stages of steps.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cluster's name.
    pub cluster: String,
    /// The operation's name: `build`, `bootstrap`, `probe`, ….
    pub operation: String,
    /// One after the other.
    pub stages: Vec<Stage>,
}

/// Steps that may run at once.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What is shown for it; the component's name in a build.
    pub name: String,
    /// Its steps; no host twice.
    pub steps: Vec<Step>,
    /// How many of its steps may run at once.
    pub max_in_flight: Option<usize>,
    /// How many steps run alone and first.
    pub canaries: usize,
    /// How many failures are borne before no further step of it is started.
    pub max_failures: Option<usize>,
    /// How many instances may be down for it at once, those of failed steps included.
    pub room: Option<usize>,
    /// How many of its steps, at the end, are those of leaders: they come after all others.
    pub leaders: usize,
}

/// One rendered script for one host.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which.
    pub id: StepId,
    /// How it is run.
    pub mode: Mode,
    /// The rendered script; may hold secrets, so it's never shown or stored as it is.
    pub script: String,
    /// What the script is made of.
    pub values: Values,
    /// The job's own template, with its name, as it stands before rendering.
    pub template: Option<(String, String)>,
    /// The release's own files and keys that it sets, for people.
    pub edits: Vec<String>,
    /// The script's SHA-256 in hex.
    pub digest: String,
    /// The JSON object of the receipt, without its closing brace: the supervisor adds how it ended.
    pub receipt: String,
    /// How many bytes of that say what the step is made of, where it needn't run any more once another
    /// run has left a receipt that begins with the same; 0 where it runs whatever the host remembers.
    pub settled_by: usize,
    /// Files that must be on the host before it starts.
    pub uploads: Vec<Upload>,
    /// Texts that are blotted out wherever the step's output is shown or kept.
    pub redact: Vec<String>,
    /// Whether it runs, and why or why not.
    pub decision: Decision,
}

impl Step {
    /// Makes a step that has no script of its own: one that is followed, or ended.
    pub fn without_script(id: StepId, mode: Mode, reason: Reason) -> Step {
        Step {
            id,
            mode,
            script: String::new(),
            values: Values::new(),
            template: None,
            edits: Vec::new(),
            digest: String::new(),
            receipt: String::new(),
            settled_by: 0,
            uploads: Vec::new(),
            redact: Vec::new(),
            decision: Decision::Run(vec![reason]),
        }
    }
}

impl Step {
    /// Whether it only looks, so that asking twice does no harm; an operator's own command may do
    /// anything.
    pub fn is_read_only(&self) -> bool {
        self.mode == Mode::Query && self.id.step != EXEC
    }
}

impl Stage {
    /// Makes a stage without limits of its own.
    pub fn unlimited(name: impl Into<String>, steps: Vec<Step>) -> Stage {
        Stage {
            name: name.into(),
            steps,
            max_in_flight: None,
            canaries: 0,
            max_failures: None,
            room: None,
            leaders: 0,
        }
    }
}

/// How a step runs on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Read-only: run once over the connection, no lock, no receipt, nothing left behind.
    Query,
    /// Under the on-host supervisor: locked, detached, with a receipt.
    Supervised,
    /// Not started: an earlier run's step is followed to its end.
    Follow {
        /// The run that started it.
        run: String,
        /// Whether that run has its own controller, and this one only looks on.
        watch: bool,
    },
    /// Not a script: whatever runs of a run is ended on the host, and no more of it starts there.
    CancelRun {
        /// Which run.
        run: String,
    },
}

/// Whether a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub enum Decision {
    /// It runs, for these reasons (never empty).
    Run(Vec<Reason>),
    /// It doesn't, for this reason.
    Skip(String),
}

/// Why a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// The host has no receipt of it.
    New,
    /// The operator asked for it (`--force`, or an operation such as restart).
    Asked {
        /// The words for it: "forced", "restart".
        what: String,
    },
    /// A value differs from the one in the receipt.
    ValueChanged {
        /// The value's name.
        name: String,
        /// What it was, shown as text; `None` when it wasn't there or is secret.
        from: Option<String>,
        /// What it is now; `None` when it's gone or is secret.
        to: Option<String>,
        /// Where in the cluster file it stands now.
        place: Option<Place>,
        /// The other component that it comes from, if it does.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        provider: Option<String>,
    },
    /// The values are the same but the script isn't (a newer version of the tool or of the job).
    ScriptChanged,
    /// One of the job's own files was edited.
    FileChanged {
        /// Its path.
        file: String,
    },
    /// It was adopted, not run, and differs in this from what a run makes.
    Adopted {
        /// In what.
        difference: Difference,
    },
    /// The last run of it failed, and an earlier one went well; what else is named differs from that.
    SinceGood {
        /// The run in which it went well.
        run: String,
        /// Whether anything differs.
        differs: bool,
    },
    /// The last run of it failed.
    LastFailed {
        /// The exit status that the receipt holds.
        status: i32,
    },
    /// The last run of it was ended: cancelled, or past its deadline.
    LastStopped {
        /// What the receipt says of it.
        why: String,
    },
    /// Everything is unchanged, but the component isn't healthy.
    Unhealthy {
        /// What the check said.
        why: String,
    },
    /// It runs at this moment, started by a run that nobody follows any more; it's joined.
    StillRunning {
        /// The run that started it.
        run: String,
    },
    /// The host couldn't be asked (`--offline`, or it can't be reached).
    StateUnknown {
        /// Why not.
        why: String,
    },
}

impl Reason {
    /// Whether the step runs for this whatever the host remembers.
    pub(super) fn asks_no_receipt(&self) -> bool {
        matches!(
            self,
            Reason::Asked { .. } | Reason::StillRunning { .. } | Reason::StateUnknown { .. }
        )
    }

    /// Whether it names something that is other than it was in an earlier run.
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Reason::ValueChanged { .. }
                | Reason::ScriptChanged
                | Reason::FileChanged { .. }
                | Reason::Adopted { .. }
        )
    }
}
