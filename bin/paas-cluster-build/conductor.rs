//! Carries operations out: looks at the hosts, plans, runs, and lets the consumers of events show
//! and keep what happens.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stderr, stdout};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use paas_cluster_build::engine::{Cancel, Engine, EventReceiver, EventSink, Limits, Outcome, event_channel};
use paas_cluster_build::job::Secrets;
use paas_cluster_build::journal::Journal;
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, Operation};
use paas_cluster_build::plan::{
    Facts, HostFacts, HostState, Plan, Planner, PreparedRelease, RunIdentity,
};
use paas_cluster_build::report::{JsonLines, Summary};
use paas_cluster_build::terminal::{Plain, Terminal};
use paas_cluster_build::transport::SshTransport;
use tokio::runtime::Runtime;

use crate::args::{Common, Output};
use crate::exit::{Exit, Failure};
use crate::workspace::Workspace;
use crate::{identity, secrets};

/// One command's engine, connections and run identity.
pub struct Conductor<'a> {
    workspace: &'a Workspace,
    common: &'a Common,
    runtime: Runtime,
    engine: Engine,
    run: RunIdentity,
    cancel: Cancel,
    state_dir: PathBuf,
}

impl<'a> Conductor<'a> {
    /// Makes an engine for the cluster's hosts; connects nowhere yet.
    pub fn new(
        workspace: &'a Workspace,
        common: &'a Common,
        forks: u16,
        keep_scripts: bool,
    ) -> Result<Conductor<'a>, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(usize::from(forks) + 8)
            .enable_all()
            .build()?;
        let cluster = &workspace.cluster;
        let limits = Limits { forks: usize::from(forks), keep_scripts };
        let transport = Arc::new(SshTransport::new());
        let engine = Engine::new(transport, &cluster.hosts, &cluster.sudo, limits);
        let state_dir = paas_cluster_build::journal::state_dir(common.state_dir.as_deref())
            .map_err(Failure::usage)?;
        let cancel = Cancel::default();
        Ok(Conductor { workspace, common, runtime, engine, run: identity::new_run(), cancel, state_dir })
    }
}
