//! Carries operations out: plans, runs, and lets the consumers of events show
//! and keep what happens.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use paas_cluster_build::engine::{Cancel, Engine, EventSink, Limits, Outcome, event_channel};
use paas_cluster_build::event::Fact;
use paas_cluster_build::journal::{Journal, RunFolder};
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::Operation;
use paas_cluster_build::plan::{
    Blocked, Plan, Planner, PreparedPackages, PreparedRelease, Recognition, RunIdentity, blocked,
};
use paas_cluster_build::report::printable;
use paas_cluster_build::secret::SecretReader;
use paas_cluster_build::transport::{OnLock, SshTransport};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use crate::args::{Common, Output};
use crate::exit::{Exit, Failure};
use crate::history;
use crate::identity;
use crate::patience::{Deadline, Loose};
use crate::secrets::{Vault, terminal_reader};
use crate::show::Show;
use crate::state::state_dir;
use crate::survey::Survey;
use crate::workspace::Workspace;

/// One command's engine, connections and run identity.
pub struct Conductor<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) output: Output,
    pub(crate) runtime: Loose,
    pub(crate) engine: Engine,
    pub(crate) run: RunIdentity,
    pub(crate) cancel: Cancel,
    /// Ctrl-C, listened to from the start: one that is pressed between two waits isn't lost.
    interrupts: Mutex<Signal>,
    reader: Arc<SecretReader>,
    pub(crate) transport: Arc<SshTransport>,
    on_lock: OnLock,
    /// Since when another operator's steps have been waited for.
    waiting_since: Cell<Option<Instant>>,
    /// When the command is ended.
    deadline: Deadline,
    /// Whether the operator has heard of machines that are copies of each other.
    pub(crate) has_told_copies: Cell<bool>,
    below_min_up: bool,
    /// Or why there is none: what only looks can do without.
    pub(crate) state_dir: Result<PathBuf, String>,
    release: Option<PreparedRelease>,
    packages: Option<PreparedPackages>,
    /// The id that the cluster gets if nobody has built it yet.
    pub(crate) fresh_id: String,
    /// The other clusters that the operator has named.
    pub(crate) adopted: RefCell<BTreeSet<String>>,
}

impl<'a> Conductor<'a> {
    /// Makes an engine for the cluster's hosts; connects nowhere yet.
    pub fn new(
        workspace: &'a Workspace,
        common: &Common,
        limits: Limits,
    ) -> Result<Conductor<'a>, Failure> {
        let deadline = Deadline::from_now();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(limits.forks + 8)
            .enable_all()
            .build()?;
        let interrupts = {
            let _entered = runtime.enter();
            Mutex::new(signal(SignalKind::interrupt())?)
        };
        let cluster = &workspace.cluster;
        let reader = Arc::new(terminal_reader());
        let transport = SshTransport::new()
            .with_secrets(reader.clone())
            .with_timeout(common.connect_timeout);
        let transport = Arc::new(transport);
        let on_lock = limits.on_lock;
        Ok(Conductor {
            workspace,
            output: common.output,
            runtime: Loose::from(runtime),
            engine: Engine::new(transport.clone(), &cluster.hosts, &cluster.sudo, limits),
            run: identity::new_run(),
            cancel: Cancel::default(),
            interrupts,
            reader,
            transport,
            on_lock,
            waiting_since: Cell::new(None),
            deadline,
            has_told_copies: Cell::new(false),
            below_min_up: false,
            state_dir: match workspace.why_nameless() {
                Some(why) => Err(why.to_owned()),
                None => state_dir(common, workspace).map_err(|failure| failure.message),
            },
            release: workspace.prepare_release()?,
            packages: workspace.prepare_packages()?,
            fresh_id: identity::new_cluster()?,
            adopted: RefCell::new(common.adopt.iter().cloned().collect()),
        })
    }

    /// Ends the command when it has taken so long, from its start on.
    pub fn with_deadline(mut self, deadline: Option<Duration>) -> Conductor<'a> {
        self.deadline = self.deadline.after(deadline);
        self
    }

    /// Lets components have fewer instances up than their `min_up`.
    pub fn below_min_up(mut self, below: bool) -> Conductor<'a> {
        self.below_min_up = below;
        self
    }

    /// Plans an operation without any knowledge of the hosts: every script is rendered, and every
    /// error of a template or value found, before a host is contacted.
    pub fn rehearse(&self, operation: &Operation, selection: &Selection) -> Result<Plan, Failure> {
        let survey = Survey::blind(self.vault(selection).stand_ins());
        self.plan(operation, &survey, false)
    }

    /// Tells whether the operator has named another cluster, whose components become this one's.
    pub fn has_adopted(&self, cluster: &str, id: Option<&str>) -> bool {
        let adopted = self.adopted.borrow();
        adopted.contains(cluster) || id.is_some_and(|id| adopted.contains(id))
    }

    /// Notes that the operator has named another cluster.
    pub fn adopt(&self, cluster: String) {
        self.adopted.borrow_mut().insert(cluster);
    }

    /// Makes the plan of an operation from what is known.
    pub fn plan(
        &self,
        operation: &Operation,
        survey: &Survey,
        force: bool,
    ) -> Result<Plan, Failure> {
        self.planner(survey, force)
            .resolve(operation)
            .map_err(|errors| self.workspace.plan_errors(&errors))
    }

    /// Renders the looks that recognise what an operation would build.
    pub fn recognition(
        &self,
        operation: &Operation,
        survey: &Survey,
    ) -> Result<Vec<Recognition>, Failure> {
        self.planner(survey, false)
            .recognition(operation)
            .map_err(|error| self.workspace.plan_errors(&[error]))
    }

    fn planner<'s>(&'s self, survey: &'s Survey, force: bool) -> Planner<'s> {
        Planner {
            cluster: &self.workspace.cluster,
            catalog: &self.workspace.catalog,
            release: self.release.as_ref(),
            secrets: &survey.found.secrets,
            facts: &survey.facts,
            run: &self.run,
            force,
            below_min_up: self.below_min_up,
            site_packages: self.packages.as_ref().map(|packages| &packages.upload),
        }
    }

    /// Tells whether to look again because other operators' steps are in the way and are waited
    /// for; without any, or where they are to be taken over, the plan may run.
    pub fn must_wait(&self, plan: &Plan, survey: &Survey) -> Result<bool, Failure> {
        let blocked = blocked(plan, &survey.facts);
        let time = match self.on_lock {
            _ if blocked.is_empty() => return Ok(false),
            OnLock::TakeOver => return Ok(false),
            OnLock::Refuse => return Err(in_the_way(&blocked)),
            OnLock::Wait(time) => time,
        };
        let since = self.waiting_since.get().unwrap_or_else(|| {
            errln!("waiting for others\n{}", list(&blocked));
            Instant::now()
        });
        self.waiting_since.set(Some(since));
        if since.elapsed() >= time {
            return Err(in_the_way(&blocked));
        }
        self.pause(Duration::from_secs(1))?;
        Ok(true)
    }

    /// Lets some time pass between two looks at the hosts.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Failure> {
        self.unless_interrupted(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    /// Waits for something before hosts are changed; Ctrl-C ends the wait and the command.
    pub fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                () = self.interrupt() => {
                    Err(Failure::new(Exit::Cancelled, "cancelled; nothing was changed"))
                }
                () = self.deadline.over() => Err(self.deadline.failure()),
            }
        })
    }

    /// Waits for the next Ctrl-C.
    pub(crate) async fn interrupt(&self) {
        self.interrupts.lock().await.recv().await;
    }

    /// Runs a plan, shows it and keeps its journal; returns how it ended.
    pub fn run(&self, plan: &Plan, resume: &str) -> Result<Exit, Failure> {
        let cluster = &self.workspace.cluster.name;
        let journal = Journal::create(self.state_dir()?, cluster, &self.run.id)
            .map_err(|error| Failure::usage(format!("the run can't be kept: {error}")))?;
        let mut show = Show::new(self.output, Some(journal));
        let is_left = self.runtime.block_on(async {
            let (sink, receiver) = event_channel(&self.run.id);
            let wishes = self.watch_wishes(sink.clone());
            let work = async {
                let outcome = self.engine.run(plan, &self.run, &self.cancel, &sink).await;
                drop(sink);
                outcome
            };
            tokio::select! {
                () = wishes => true,
                _ = async { tokio::join!(work, show.follow(receiver)) } => false,
            }
        });
        let file = self.workspace.cluster.file.display().to_string();
        let exit = show.finish(resume, Some((plan, &file)));
        if is_left {
            leave(&self.run.id);
        }
        Ok(exit)
    }

    /// Returns the state folder, for what can't do without it.
    pub(crate) fn state_dir(&self) -> Result<&Path, Failure> {
        self.state_dir.as_deref().map_err(Failure::usage)
    }

    /// Returns the folder of a run on this machine; it needn't be there.
    pub(crate) fn folder(&self, run: &str) -> Result<RunFolder, Failure> {
        RunFolder::of(self.state_dir()?, &self.workspace.cluster.name, run).map_err(Failure::usage)
    }

    /// Runs queries only, and returns what they said.
    pub fn ask(&self, plan: &Plan) -> Result<Outcome, Failure> {
        self.or_leave(self.listen(plan))
    }

    /// Runs queries that an operator typed, and keeps among the runs that they were asked; what they
    /// said isn't kept.
    pub fn ask_and_note(&self, plan: &Plan) -> Result<Outcome, Failure> {
        let (sink, events) = event_channel(&self.run.id);
        let state = self.state_dir().ok();
        let note = history::keep(state, &self.workspace.cluster.name, &self.run.id, events);
        let ask = async {
            let outcome = self.engine.run(plan, &self.run, &self.cancel, &sink).await;
            drop(sink);
            outcome
        };
        self.or_leave(async { tokio::join!(ask, note).0 })
    }

    /// Waits for what only asks hosts; Ctrl-C ends the command.
    pub(crate) fn or_leave<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => Ok(done),
                () = self.interrupt() => {
                    let message = "cancelled; what a host was already asked to do may still happen";
                    Err(Failure::new(Exit::Cancelled, message))
                }
            }
        })
    }

    /// Turns Ctrl-C, SIGTERM and the run's deadline into the levels of cancelling; ends when the
    /// operator wants to leave at once and the engine takes too long for that.
    async fn watch_wishes(&self, sink: EventSink) {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return std::future::pending().await;
        };
        let deadline = self.deadline.over();
        tokio::pin!(deadline);
        let mut is_over = false;
        loop {
            let (wanted, by) = tokio::select! {
                () = self.interrupt() => (self.cancel.level() + 1, "Ctrl-C"),
                // A service manager asks once: what runs is ended in order.
                _ = terminate.recv() => (2, "SIGTERM"),
                () = &mut deadline, if !is_over => {
                    is_over = true;
                    (2, "the run's deadline")
                }
            };
            while self.cancel.level() < wanted {
                let times = self.cancel.raise();
                let by = by.to_owned();
                sink.send(Fact::CancelRequested { times, by }).await;
            }
            if wanted >= 3 {
                tokio::time::sleep(LEAVING).await;
                return;
            }
        }
    }

    pub(crate) fn vault(&self, selection: &Selection) -> Vault<'_> {
        let Workspace {
            cluster, catalog, ..
        } = self.workspace;
        Vault::new(
            cluster,
            catalog,
            selection,
            self.state_dir.as_deref().unwrap_or(Path::new("")),
            self.reader.clone(),
        )
    }
}

/// How long the engine may take to let go of everything once the operator wants to leave.
const LEAVING: Duration = Duration::from_secs(3);

/// Ends this process at once: threads that still listen to hosts aren't waited for.
pub(crate) fn leave(run: &str) -> ! {
    errln!("left; what runs goes on: `paas-cluster-build attach {run}` follows it");
    std::process::exit(130);
}

/// Another operator is at work: who, where, and what can be done.
fn in_the_way(blocked: &[Blocked]) -> Failure {
    let runs: BTreeSet<&str> = blocked.iter().map(|b| b.busy.holder.run.as_str()).collect();
    let runs: Vec<String> = runs.into_iter().map(printable).collect();
    let message = format!(
        "another run is at work; nothing was changed\n{}help: --wait[=DURATION] waits for it, \
         `attach {}` shows it, --take-over ends its steps first\n",
        list(blocked),
        runs.join(" ")
    );
    Failure::new(Exit::Locked, message)
}

fn list(blocked: &[Blocked]) -> String {
    let line = |b: &Blocked| {
        let gone = match b.busy.followed {
            true => "",
            false => "; its controller is gone",
        };
        let words = printable(&b.busy.holder.words());
        format!("  {}: {words}{gone}\n", b.host)
    };
    blocked.iter().map(line).collect()
}

pub(crate) fn describe(result: &paas_cluster_build::event::StepResult) -> String {
    use paas_cluster_build::event::StepResult::{Failed, Unknown};
    match result {
        Unknown { why } => why.clone(),
        Failed { status } => format!("looking at it ended with status {status}"),
        other => format!("{other:?}"),
    }
}
