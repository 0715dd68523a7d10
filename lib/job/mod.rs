//! The contract of a job: what it needs and provides, which values its scripts are made of, how
//! they are rendered and how its health is checked. The catalog holds the built-in jobs and those
//! that a site keeps in `jobs_dir`.

mod context;
mod health;

pub use context::{Context, Secrets};
pub use health::Check;

use crate::model::JobFacts;
use crate::script::Values;

/// What a job is asked to do on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Configure, start, and wait until healthy.
    Deploy,
    /// Start what is configured and wait until healthy.
    Start,
    /// Stop.
    Stop,
    /// Restart and wait until healthy.
    Restart,
    /// Look, read-only, whether it is healthy: exit status 0, or else a reason on its output.
    Health,
}

/// A job: one component's work on one host.
pub trait Job: Send + Sync {
    /// Tells name, needs and ports.
    fn facts(&self) -> &JobFacts;

    /// Collects the values that its scripts on this host are made of.
    ///
    /// # Errors
    /// A value that is missing or can't be used, said in a sentence for the operator.
    fn values(&self, context: &Context<'_>) -> Result<Values, JobError>;

    /// Renders the whole script for an action: prelude, the job's part, and the wait for health.
    ///
    /// # Errors
    /// A template that can't be rendered from these values.
    fn render(&self, action: Action, values: &Values) -> Result<String, JobError>;
}

/// Why a job can't make its script.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct JobError {
    /// What is wrong and what to do.
    pub message: String,
    /// Where in the cluster file, if it's there.
    pub place: Option<crate::cluster_file::Place>,
}
