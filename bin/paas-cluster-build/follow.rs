//! Runs that another controller started: what the hosts know of them, following and ending them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use paas_cluster_build::engine::{Cancel, EventSink, event_channel};
use paas_cluster_build::event::StepResult;
use paas_cluster_build::journal::{Journal, RunFolder};
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation;
use paas_cluster_build::plan::{
    Holder, HostRun, Mode, Plan, Reason, RunIdentity, Stage, Step, StepId, parse_host_runs,
};

use crate::conductor::{Conductor, describe, leave};
use crate::exit::{Exit, Failure};
use crate::show::Show;
use crate::survey::Survey;

/// How long a followed run may have no step anywhere before it counts as over, where nothing is
/// known of its controller.
const NEXT_STEP: Duration = Duration::from_secs(10);

/// What the hosts know of runs.
#[derive(Debug, Default)]
pub struct HostRuns {
    /// The steps, each with its host.
    pub steps: Vec<(IpAddr, HostRun)>,
    /// The hosts that couldn't be asked, with the reason.
    pub unreachable: BTreeMap<IpAddr, String>,
}

/// A run that is to be followed.
#[derive(Debug)]
pub struct RunToFollow {
    /// Its id.
    pub id: String,
    /// Who started it, as one of its steps tells.
    pub holder: Holder,
}

impl Conductor<'_> {
    /// Asks every selected host what it knows of runs; also names those that can't be asked.
    pub fn host_runs(&self, selection: &Selection) -> Result<HostRuns, Failure> {
        let operation = operation::runs(&self.workspace.cluster, selection);
        let survey = Survey::blind(self.vault(selection).stand_ins());
        let plan = self.plan(&operation, &survey, false)?;
        self.or_leave(self.ask_runs(&plan))
    }

    async fn ask_runs(&self, plan: &Plan) -> HostRuns {
        let unwatched = EventSink::unwatched();
        let outcome = self
            .engine
            .run(plan, &self.run, &Cancel::default(), &unwatched)
            .await;
        let mut runs = HostRuns::default();
        for (id, result) in &outcome.results {
            if !outcome.outputs.contains_key(id) {
                runs.unreachable.insert(id.host, describe(result));
            }
        }
        for (id, answer) in outcome.outputs {
            let of_host = parse_host_runs(&answer.text).into_iter();
            runs.steps.extend(of_host.map(|step| (id.host, step)));
        }
        for (host, unreachable) in outcome.unreachable {
            runs.unreachable.insert(host, unreachable.error);
        }
        runs
    }

    /// Follows a run that another controller started, until nothing more of it turns up. Keeps its
    /// journal if this machine has none.
    pub fn attach(&mut self, run: &RunToFollow, selection: &Selection) -> Result<Exit, Failure> {
        self.run = RunIdentity {
            id: run.id.clone(),
            operator: run.holder.operator.clone(),
            workstation: run.holder.workstation.clone(),
        };
        let cluster = &self.workspace.cluster.name;
        let folder = self.folder(&run.id)?;
        let known_here = folder.journal().exists();
        let journal = match known_here {
            true => None,
            false => Journal::watch(self.state_dir()?, cluster, &run.id).ok(),
        };
        let mut show = Show::new(self.output, journal);
        let operation = operation::runs(&self.workspace.cluster, selection);
        let survey = Survey::blind(self.vault(selection).stand_ins());
        let question = self.plan(&operation, &survey, false)?;
        let is_left = self.runtime.block_on(async {
            let (sink, receiver) = event_channel(&run.id);
            let work = async {
                self.follow_run(run, &question, known_here.then_some(&folder), &sink)
                    .await;
                drop(sink);
            };
            // Leaving ends nothing.
            tokio::select! {
                () = self.interrupt() => true,
                _ = async { tokio::join!(work, show.follow(receiver)) } => false,
            }
        });
        let exit = show.finish(&format!("paas-cluster-build attach {}", run.id), None);
        if is_left {
            leave(&run.id);
        }
        Ok(exit)
    }

    async fn follow_run(
        &self,
        run: &RunToFollow,
        question: &Plan,
        folder: Option<&RunFolder>,
        sink: &EventSink,
    ) {
        let plan = Plan {
            cluster: self.workspace.cluster.name.clone(),
            operation: run.holder.operation.clone(),
            stages: Vec::new(),
        };
        let active = self
            .engine
            .begin(&plan, &self.run, &self.cancel, sink)
            .await;
        let mut active = active.in_spite_of_failures();
        let mut seen: BTreeSet<StepId> = BTreeSet::new();
        let mut quiet_since = Instant::now();
        for round in 1.. {
            let mut steps: Vec<Step> = Vec::new();
            for (host, found) in self.ask_runs(question).await.steps {
                let id = StepId {
                    step: found.step,
                    host,
                };
                // One of a host in each round: they ran one after the other there.
                let is_new = found.run == run.id && !seen.contains(&id);
                if is_new && !steps.iter().any(|step| step.id.host == host) {
                    seen.insert(id.clone());
                    let (run, watch) = (run.id.clone(), true);
                    let reason = Reason::StillRunning { run: run.clone() };
                    steps.push(Step::without_script(
                        id,
                        Mode::Follow { run, watch },
                        reason,
                    ));
                }
            }
            if steps.is_empty() {
                // Where the controller is known to live, its next step is waited for.
                let patience = match folder {
                    Some(folder) if folder.is_live() => Duration::MAX,
                    Some(_) => Duration::ZERO,
                    None => NEXT_STEP,
                };
                if quiet_since.elapsed() >= patience {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            let stage = Stage::unlimited(format!("part {round}"), steps);
            active.found(&stage).await;
            active.stage(&stage).await;
            quiet_since = Instant::now();
        }
        active.finish().await;
    }

    /// Reads what hosts kept of steps that ended, one of a host after the other.
    pub async fn read_back(
        &self,
        run: &RunToFollow,
        steps: impl Iterator<Item = StepId>,
        sink: &EventSink,
    ) {
        let mut rounds: Vec<Vec<Step>> = Vec::new();
        for id in steps {
            let (run, watch) = (run.id.clone(), true);
            let reason = Reason::StillRunning { run: run.clone() };
            let step = Step::without_script(id, Mode::Follow { run, watch }, reason);
            let is_free = |round: &&mut Vec<Step>| round.iter().all(|s| s.id.host != step.id.host);
            match rounds.iter_mut().find(is_free) {
                Some(round) => round.push(step),
                None => rounds.push(vec![step]),
            }
        }
        let stages = rounds.into_iter().zip(1..);
        let plan = Plan {
            cluster: self.workspace.cluster.name.clone(),
            operation: run.holder.operation.clone(),
            stages: stages
                .map(|(steps, number)| Stage::unlimited(format!("part {number}"), steps))
                .collect(),
        };
        let active = self
            .engine
            .begin(&plan, &self.run, &self.cancel, sink)
            .await;
        let mut active = active.in_spite_of_failures();
        for stage in &plan.stages {
            active.stage(stage).await;
        }
        active.finish().await;
    }

    /// Ends what runs of a run on the selected hosts; returns how many steps that were, and which
    /// hosts couldn't be asked.
    pub fn cancel(
        &self,
        run: &str,
        selection: &Selection,
    ) -> Result<(usize, BTreeMap<IpAddr, String>), Failure> {
        let hosts = self.workspace.cluster.hosts.iter().map(|h| h.address);
        let hosts = hosts.filter(|host| selection.has_host(*host));
        let mode = Mode::CancelRun {
            run: run.to_owned(),
        };
        let reason = Reason::Asked {
            what: "cancel".to_owned(),
        };
        let steps = hosts.map(|host| {
            let step = "cancel".to_owned();
            Step::without_script(StepId { step, host }, mode.clone(), reason.clone())
        });
        let outcome = self.ask(&Plan {
            cluster: self.workspace.cluster.name.clone(),
            operation: "cancel".to_owned(),
            stages: vec![Stage::unlimited("cancel", steps.collect())],
        })?;
        let ended = outcome.outputs.values();
        let ended = ended.filter_map(|answer| answer.text.parse::<usize>().ok());
        let mut silent: BTreeMap<IpAddr, String> = BTreeMap::new();
        for (id, result) in &outcome.results {
            if *result != StepResult::Succeeded {
                silent.insert(id.host, describe(result));
            }
        }
        let unreachable = outcome.unreachable.iter();
        silent.extend(unreachable.map(|(host, why)| (*host, why.error.clone())));
        Ok((ended.sum(), silent))
    }
}
