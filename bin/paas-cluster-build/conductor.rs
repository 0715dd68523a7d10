//! Carries operations out: looks at the hosts, plans, runs, and lets the consumers of events show
//! and keep what happens.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use paas_cluster_build::engine::{Cancel, Engine, EventSink, Limits, Outcome, event_channel};
use paas_cluster_build::event::Fact;
use paas_cluster_build::job::Secrets;
use paas_cluster_build::journal::{self, Journal};
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, Operation};
use paas_cluster_build::plan::{
    Facts, HostFacts, HostState, Plan, Planner, PreparedRelease, RunIdentity,
};
use paas_cluster_build::transport::SshTransport;
use tokio::runtime::Runtime;

use crate::args::{Common, Output};
use crate::exit::{Exit, Failure};
use crate::identity;
use crate::secrets::Vault;
use crate::show::Show;
use crate::workspace::Workspace;

/// One command's engine, connections and run identity.
pub struct Conductor<'a> {
    workspace: &'a Workspace,
    output: Output,
    runtime: Runtime,
    engine: Engine,
    run: RunIdentity,
    cancel: Cancel,
    state_dir: PathBuf,
    release: Option<PreparedRelease>,
}

/// What is known before something is decided.
pub struct Survey {
    /// The hosts.
    pub facts: Facts,
    /// The secrets of the selected components.
    pub secrets: Secrets,
}

impl<'a> Conductor<'a> {
    /// Makes an engine for the cluster's hosts; connects nowhere yet.
    pub fn new(
        workspace: &'a Workspace,
        common: &Common,
        forks: u16,
        keep_scripts: bool,
    ) -> Result<Conductor<'a>, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(usize::from(forks) + 8)
            .enable_all()
            .build()?;
        let cluster = &workspace.cluster;
        let limits = Limits {
            forks: usize::from(forks),
            keep_scripts,
            ..Limits::default()
        };
        let transport = Arc::new(SshTransport::new());
        Ok(Conductor {
            workspace,
            output: common.output,
            runtime,
            engine: Engine::new(transport, &cluster.hosts, &cluster.sudo, limits),
            run: identity::new_run(),
            cancel: Cancel::default(),
            state_dir: state_dir(common)?,
            release: workspace.prepare_release()?,
        })
    }

    /// Plans an operation without any knowledge of the hosts: every script is rendered, and every
    /// error of a template or value found, before a host is contacted.
    pub fn rehearse(&self, operation: &Operation, selection: &Selection) -> Result<Plan, Failure> {
        let survey = Survey {
            facts: Facts::default(),
            secrets: self.vault(selection).stand_ins(),
        };
        self.plan(operation, &survey, false)
    }

    /// Looks at the selected hosts, and at those that keep their secrets, over the connections
    /// that a run then goes on with.
    pub fn survey(&self, selection: &Selection) -> Result<Survey, Failure> {
        let vault = self.vault(selection);
        let mut probe = operation::probe(&self.workspace.cluster, selection);
        probe.add_hosts(vault.keepers());
        let blind = Survey {
            facts: Facts::default(),
            secrets: vault.stand_ins(),
        };
        let plan = self.plan(&probe, &blind, false)?;
        let hosts = plan
            .stages
            .iter()
            .map(|stage| stage.steps.len())
            .sum::<usize>();
        if self.output != Output::Json {
            anstream::eprintln!(
                "looking at {hosts} host{}",
                if hosts == 1 { "" } else { "s" }
            );
        }
        let unwatched = EventSink::unwatched();
        let outcome = self.runtime.block_on(async {
            tokio::select! {
                outcome = self.engine.run(&plan, &self.run, &self.cancel, &unwatched) => Ok(outcome),
                _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Cancelled, "cancelled; nothing was changed")),
            }
        })?;
        let facts = facts_of(outcome);
        let secrets = vault.resolve(&facts)?;
        Ok(Survey { facts, secrets })
    }

    /// Makes the plan of an operation from what is known.
    pub fn plan(
        &self,
        operation: &Operation,
        survey: &Survey,
        force: bool,
    ) -> Result<Plan, Failure> {
        let planner = Planner {
            cluster: &self.workspace.cluster,
            catalog: &self.workspace.catalog,
            release: self.release.as_ref(),
            secrets: &survey.secrets,
            facts: &survey.facts,
            run: &self.run,
            force,
        };
        planner
            .resolve(operation)
            .map_err(|errors| self.workspace.plan_errors(&errors))
    }

    /// Runs a plan, shows it and keeps its journal; returns how it ended.
    pub fn run(&self, plan: &Plan, resume: &str) -> Result<Exit, Failure> {
        let cluster = &self.workspace.cluster.name;
        let journal = Journal::create(&self.state_dir, cluster, &self.run.id)
            .map_err(|error| Failure::usage(format!("the run can't be kept: {error}")))?;
        let mut show = Show::new(self.output, journal);
        self.runtime.block_on(async {
            let (sink, receiver) = event_channel(&self.run.id);
            let signals = self.watch_signals(sink.clone());
            let work = async {
                let outcome = self.engine.run(plan, &self.run, &self.cancel, &sink).await;
                drop(sink);
                outcome
            };
            tokio::select! {
                () = signals => unreachable!("the signals are watched for as long as the run takes"),
                _ = async { tokio::join!(work, show.follow(receiver)) } => {}
            }
        });
        Ok(show.finish(resume))
    }

    /// Runs queries only, and returns what they said.
    pub fn ask(&self, plan: &Plan) -> Outcome {
        let unwatched = EventSink::unwatched();
        self.runtime
            .block_on(self.engine.run(plan, &self.run, &self.cancel, &unwatched))
    }

    /// Turns Ctrl-C and SIGTERM into the levels of cancelling.
    async fn watch_signals(&self, sink: EventSink) {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return std::future::pending().await;
        };
        loop {
            let (raises, by) = tokio::select! {
                _ = tokio::signal::ctrl_c() => (1, "Ctrl-C"),
                // A service manager asks once: what runs is ended in order.
                _ = terminate.recv() => (2, "SIGTERM"),
            };
            for _ in 0..raises {
                let times = self.cancel.raise();
                if times > 3 {
                    std::process::exit(130);
                }
                let by = by.to_owned();
                sink.send(Fact::CancelRequested { times, by }).await;
            }
        }
    }

    fn vault(&self, selection: &Selection) -> Vault<'_> {
        let Workspace {
            cluster, catalog, ..
        } = self.workspace;
        Vault::new(cluster, catalog, selection, &self.state_dir)
    }
}

/// The state folder, from the command line or the environment.
fn state_dir(common: &Common) -> Result<PathBuf, Failure> {
    let variable = std::env::var_os;
    journal::state_dir(
        common.state_dir.as_deref(),
        variable("XDG_STATE_HOME").as_deref(),
        variable("HOME").as_deref(),
    )
    .map_err(Failure::usage)
}

/// Reads what the probe's queries said.
fn facts_of(outcome: Outcome) -> Facts {
    let mut facts = Facts::default();
    let unknown = |kind: &str, why: String| HostState::Unknown {
        kind: kind.to_owned(),
        why,
    };
    for (host, unreachable) in outcome.unreachable {
        facts
            .hosts
            .insert(host, unknown(unreachable.kind.name(), unreachable.error));
    }
    for (id, result) in outcome.results {
        let state = match outcome.outputs.get(&id) {
            Some(answer) if answer.status == 0 => {
                HostState::Known(Box::new(HostFacts::parse(&answer.text, answer.at)))
            }
            Some(answer) => unknown(
                "host",
                format!(
                    "looking at it failed: {}",
                    answer.text.lines().last().unwrap_or_default()
                ),
            ),
            None => unknown("lost", describe(&result)),
        };
        facts.hosts.insert(id.host, state);
    }
    facts
}

fn describe(result: &paas_cluster_build::event::StepResult) -> String {
    use paas_cluster_build::event::StepResult::{Failed, Unknown};
    match result {
        Unknown { why } => why.clone(),
        Failed { status } => format!("looking at it ended with status {status}"),
        other => format!("{other:?}"),
    }
}

/// Adds hosts that an operation looks at although nothing else is done there.
trait AddHosts {
    fn add_hosts(&mut self, hosts: Vec<IpAddr>);
}

impl AddHosts for Operation {
    fn add_hosts(&mut self, hosts: Vec<IpAddr>) {
        let tasks = &mut self.stages[0].tasks;
        for host in hosts {
            if !tasks.iter().any(|task| task.host() == host) {
                tasks.push(operation::Task::Probe { host });
            }
        }
    }
}
