//! The operations: each file names one way to make a plan, as ordered stages of tasks.
//!
//! An operation says *what* is to be done where and in which order. Rendering, reasons and
//! receipts are `plan`'s; nothing here touches a host.

mod bootstrap;
mod build;
mod control;
mod exec;
mod ks;
mod probe;
mod remove;
mod runs;

use std::net::IpAddr;

pub use bootstrap::{BOOTSTRAP, bootstrap};
pub use build::build;
pub use control::control;
pub use exec::{EXEC, exec};
pub use ks::{KsScript, KsTask};
pub use probe::probe;
pub use remove::{Removal, remove};
pub use runs::runs;

use crate::job::Action;

/// The ordered stages of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// One after the other.
    pub stages: Vec<Outline>,
}

/// Tasks that may be carried out at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// What is shown for the stage.
    pub name: String,
    /// No host twice.
    pub tasks: Vec<Task>,
    /// How many at once.
    pub max_in_flight: Option<usize>,
    /// How many alone and first.
    pub canaries: usize,
    /// How many failures are borne before no further task is started.
    pub max_failures: Option<usize>,
}

impl Outline {
    /// Makes a stage without limits of its own.
    pub(crate) fn unlimited(name: &str, tasks: Vec<Task>) -> Self {
        Outline {
            name: name.to_owned(),
            tasks,
            max_in_flight: None,
            canaries: 0,
            max_failures: None,
        }
    }
}

/// One thing to do on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Looks at the host, read-only: receipts, health, disk, clock, ports.
    Probe {
        /// Where.
        host: IpAddr,
    },
    /// Asks the host what it knows of runs, read-only.
    Runs {
        /// Where.
        host: IpAddr,
    },
    /// Prepares the machine: packages and the release.
    Bootstrap {
        /// Where.
        host: IpAddr,
    },
    /// Has a job do something.
    Job {
        /// Where.
        host: IpAddr,
        /// The component that the job belongs to.
        component: String,
        /// The job.
        job: String,
        /// What it's asked to do.
        action: Action,
    },
    /// Takes a component down; the cluster file needn't name it any more.
    Remove {
        /// Where.
        host: IpAddr,
        /// The step's name.
        step: String,
        /// The job.
        job: String,
    },
    /// Takes away what bootstrap brought.
    Unbootstrap {
        /// Where.
        host: IpAddr,
    },
    /// Runs the operator's own command.
    Exec {
        /// Where.
        host: IpAddr,
        /// A shell command line, as the operator typed it.
        command: String,
        /// Whether root runs it, not the login user.
        as_root: bool,
    },
    /// Does something for the global control plane.
    Ks(KsTask),
}

impl Task {
    /// Tells the host that the task is for.
    pub fn host(&self) -> IpAddr {
        match self {
            Task::Probe { host }
            | Task::Runs { host }
            | Task::Bootstrap { host }
            | Task::Job { host, .. }
            | Task::Remove { host, .. }
            | Task::Unbootstrap { host }
            | Task::Exec { host, .. }
            | Task::Ks(KsTask { host, .. }) => *host,
        }
    }
}
