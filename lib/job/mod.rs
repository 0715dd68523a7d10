//! The contract of a job: what it needs and provides, which values its scripts are made of, how
//! they are rendered and how its health is checked. The catalog holds the built-in jobs and those
//! that a site keeps in `jobs_dir`.

mod builtin;
mod catalog;
mod context;
mod default_secret;
mod frame;
mod health;
mod settings;
mod site;

pub use builtin::{BuiltinJob, INSTALLED, PACKAGES};
pub use catalog::Catalog;
pub use context::{Context, HOME, Secrets, home_of};
pub use default_secret::DefaultSecret;
pub use health::{Check, Health};
pub use settings::{Edit, ReleaseFile, Setting};
pub use site::{SiteJobError, read_by_shells};

use crate::cluster_file::Place;
use crate::model::JobFacts;
use crate::script::Values;

/// The value that names the archive of the site's own packages; a step that has it gets the archive.
pub const SITE_PACKAGES: &str = "site_packages";

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
    /// Stop it and take down what a deploy set up; data stays.
    Remove,
    /// Look, read-only, whether it is healthy: exit status 0, or else a reason on its output.
    Health,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 6] = [
        Action::Deploy,
        Action::Start,
        Action::Stop,
        Action::Restart,
        Action::Remove,
        Action::Health,
    ];

    /// Names the action as receipts and file names have it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Deploy => "deploy",
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Restart => "restart",
            Action::Remove => "remove",
            Action::Health => "health",
        }
    }
}

/// A secret that a job's scripts hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretNeed {
    /// Its name: the variable in the cluster file that may set it, and the file on the host.
    pub name: String,
    /// The job whose first host keeps it, so that any workstation can go on with it.
    pub kept_by: String,
}

/// A job: one component's work on one host.
pub trait Job: Send + Sync {
    /// Tells name, needs and ports.
    fn facts(&self) -> &JobFacts;

    /// Tells what its services are, what is asked about them, and where they say what they do.
    fn health(&self) -> &Health;

    /// Names the secrets in its scripts.
    fn secrets(&self) -> &[SecretNeed] {
        &[]
    }

    /// Lists the secrets that stay as the release has them.
    fn default_secrets(&self) -> &'static [DefaultSecret] {
        &[]
    }

    /// Returns a shell command that exits with 0 on the instance that leads the others, where
    /// there is one: it's taken down last.
    fn leader(&self) -> Option<&str> {
        None
    }

    /// Collects the values that its scripts on this host are made of.
    ///
    /// # Errors
    /// A value that is missing or can't be used, said in a sentence for the operator.
    fn values(&self, context: &Context<'_>) -> Result<Values, JobError>;

    /// Renders the whole script for an action: prelude, the job's part, and the wait for health.
    /// The way back needs no values but those that every script has, since what is removed may no
    /// longer be in the cluster file.
    ///
    /// # Errors
    /// A template that can't be rendered from these values.
    fn render(&self, action: Action, values: &Values) -> Result<String, JobError>;

    /// Lists the release's own files and keys that a deploy sets, for people; secrets as `<name>`.
    ///
    /// # Errors
    /// A value that the job's settings name and that isn't there.
    fn edits(&self, _values: &Values) -> Result<Vec<String>, JobError> {
        Ok(Vec::new())
    }

    /// Lists the paths below the release of every file in which a deploy may set something.
    fn edited_files(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Names those of its values that are secrets and stand in the release's own files, so that
    /// recognising it compares them.
    fn compared_secrets(&self, _values: &Values) -> Vec<String> {
        Vec::new()
    }

    /// Renders the script that recognises it where somebody else set it up, and compares what it sets
    /// in the release's own files with what is there; it changes nothing. `None` where only its health
    /// can be asked.
    ///
    /// # Errors
    /// A value that the job's settings name and that isn't there.
    fn recognise(&self, _values: &Values) -> Result<Option<String>, JobError> {
        Ok(None)
    }

    /// Returns the job's own template with its name, as it stands before rendering.
    fn template(&self) -> (&str, &str);

    /// Returns the job's own files, each with its text: an edit of one is named as a step's reason.
    fn sources(&self) -> Vec<(&str, &str)> {
        vec![self.template()]
    }
}

/// Why a job can't make its script.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct JobError {
    /// What is wrong and what to do.
    pub message: String,
    /// Where in the cluster file, if it's there.
    pub place: Option<Place>,
}

impl JobError {
    /// Makes an error that has no place in the cluster file.
    pub fn new(message: impl Into<String>) -> JobError {
        JobError {
            message: message.into(),
            place: None,
        }
    }
}

/// Refuses values that no shell word can hold.
fn refuse_nul(job: &str, values: &Values) -> Result<(), JobError> {
    match values.with_nul() {
        None => Ok(()),
        Some((name, input)) => Err(JobError {
            message: format!("the value {name} of {job} holds a NUL character; remove it"),
            place: input.place,
        }),
    }
}
