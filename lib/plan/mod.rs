//! A plan: every step of an operation, rendered and in order, each with the reason why it runs or
//! doesn't, before any host is touched.
//!
//! Facts about the hosts come in as an argument; nothing here opens a connection.

mod adopt;
mod belonging;
mod bootstrap;
mod busy;
mod cause;
mod checks;
mod decide;
mod decision;
mod default_secrets;
mod diff;
mod facts;
mod foreign;
mod holder;
mod host_runs;
mod keep;
mod ks;
mod leftover;
mod machine;
mod package;
mod preflight;
mod probe;
mod reason;
mod receipt;
mod recognise;
mod release_files;
mod releases;
mod render;
mod resolve;
mod rolling;
mod saved;
mod step;

pub use adopt::{Difference, Recognised, Recognition, adoption, answers};
pub use belonging::{Belonging, ClusterNote, Instances, Member, Owner, fits, instances};
pub use busy::{Blocked, blocked};
pub use cause::pointers;
pub use default_secrets::{StayingSecret, staying_secrets};
pub use diff::{StepDiff, differences, edits};
pub use facts::{Busy, Facts, HostFacts, HostState};
pub use foreign::{Foreign, foreign};
pub use holder::Holder;
pub use host_runs::{HostRun, HostRunState, parse_host_runs};
pub use keep::Keepsake;
pub use leftover::{Leftover, leftovers, of_others};
pub use machine::{Machine, copies, one_machine};
pub use package::{PackageError, Prepared, PreparedPackages, PreparedRelease};
pub use preflight::{Finding, by_host, preflight, same_machines};
pub use probe::MACHINE;
pub use receipt::{Good, Receipt, RecordedInput, RunIdentity, Stamp, sha256_hex};
pub use resolve::{PlanError, Planner};
pub use saved::{SavedPlan, SavedStep};
pub use step::{Decision, Mode, Plan, Reason, Stage, Step, StepId};
