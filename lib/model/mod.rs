//! The cluster as the tool understands it: validated once, then never changed.
//!
//! Everything later (jobs, planner, lab) reads from here. Nothing here knows about YAML, SSH or
//! what a job does.

mod cluster;
mod composite;
mod global_ks;
mod resolve;
mod selection;
mod settings;
mod validate;
mod validate_ks;

pub use cluster::{Cluster, Component, Host, Instance, JobFacts, Need, Port};
pub use global_ks::{GlobalKs, Room, Scheme, any_one_of};
pub use selection::{Selection, UnknownName};
pub use settings::{
    Artifact, HostKeyPolicy, Jump, PasswordSource, Release, ReleaseSource, SshConfig, SshSettings,
    Sudo, Vars,
};
