//! What a job may look at while it collects its values.

use std::collections::BTreeMap;

use crate::model::{Cluster, Component, Instance};

/// The secrets of a run by name: from the configuration, from a host, or generated.
pub type Secrets = BTreeMap<String, secrecy::SecretString>;

/// One job's view of the cluster: the whole of it, and the instance that it stands on.
pub struct Context<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The component that runs the job.
    pub component: &'a Component,
    /// The host's instance of it.
    pub instance: &'a Instance,
    /// The secrets that are known to this run.
    pub secrets: &'a Secrets,
}
