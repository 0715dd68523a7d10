//! A plan: every step of an operation, rendered and in order, each with the reason why it runs or
//! doesn't, before any host is touched.
//!
//! Facts about the hosts come in as an argument; nothing here opens a connection.

mod bootstrap;
mod busy;
mod cause;
mod diff;
mod facts;
mod holder;
mod host_runs;
mod ks;
mod leftover;
mod package;
mod preflight;
mod probe;
mod reason;
mod receipt;
mod resolve;
mod rolling;
mod saved;
mod step;

pub use busy::{Blocked, blocked};
pub use cause::pointers;
pub use diff::{StepDiff, differences, edits};
pub use facts::{Busy, Facts, HostFacts, HostState};
pub use holder::Holder;
pub use host_runs::{HostRun, HostRunState, parse_host_runs};
pub use leftover::leftovers;
pub use package::{PackageError, Prepared, PreparedPackages, PreparedRelease};
pub use preflight::{Finding, by_host, preflight};
pub use receipt::{Receipt, RecordedInput, RunIdentity, Stamp, sha256_hex};
pub use resolve::{PlanError, Planner};
pub use saved::{SavedPlan, SavedStep};
pub use step::{Decision, Mode, Plan, Reason, Stage, Step, StepId};
