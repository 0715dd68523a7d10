//! Resolves an operation into rendered steps: everything is rendered, and every error found,
//! before a host is touched.

use std::net::IpAddr;

use rayon::prelude::*;
use secrecy::ExposeSecret;

use super::facts::Facts;
use super::package::PreparedRelease;
use super::reason::recorded_sources;
use super::receipt::{Receipt, RunIdentity, Stamp, sha256_hex};
use super::render::Rendered;
use super::step::{Decision, Plan, Reason, Stage, Step, StepId};
use super::{bootstrap, busy};
use crate::cluster_file::Place;
use crate::job::{Action, Catalog, Context, Job, JobError, SITE_PACKAGES, Secrets};
use crate::model::{Cluster, Component, Host, Instance};
use crate::operation::{Operation, Outline, Task};
use crate::script::{Upload, Values};
use crate::secret::forms;

/// Everything that a plan is made from.
pub struct Planner<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The jobs.
    pub catalog: &'a Catalog,
    /// The release, if any.
    pub release: Option<&'a PreparedRelease>,
    /// The secrets that scripts may hold.
    pub secrets: &'a Secrets,
    /// What is on the hosts now.
    pub facts: &'a Facts,
    /// Who runs it.
    pub run: &'a RunIdentity,
    /// Whether steps run although nothing changed.
    pub force: bool,
    /// Whether a component may have fewer instances up than its `min_up`.
    pub below_min_up: bool,
    /// The site's own packages, where the file names them.
    pub site_packages: Option<&'a Upload>,
}

/// Why a step can't be rendered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What is wrong and what to do.
    pub message: String,
    /// Where in the cluster file, if it's there.
    pub place: Option<Place>,
}

impl Planner<'_> {
    /// Renders every task and decides for each whether it runs.
    ///
    /// # Errors
    /// Every task that can't be rendered, all of them together.
    pub fn resolve(&self, operation: &Operation) -> Result<Plan, Vec<PlanError>> {
        let tasks: Vec<(&Outline, &Task)> = operation
            .stages
            .iter()
            .flat_map(|outline| outline.tasks.iter().map(move |task| (outline, task)))
            .collect();
        let steps: Vec<Result<Step, PlanError>> =
            tasks.par_iter().map(|(_, task)| self.step(task)).collect();

        let mut errors = Vec::new();
        let mut steps = steps.into_iter();
        let mut stages = Vec::new();
        for outline in &operation.stages {
            let mut stage = Stage {
                name: outline.name.clone(),
                steps: Vec::new(),
                max_in_flight: outline.max_in_flight,
                canaries: outline.canaries,
                max_failures: outline.max_failures,
                room: None,
                leaders: 0,
            };
            for step in steps.by_ref().take(outline.tasks.len()) {
                match step {
                    Ok(step) => stage.steps.push(step),
                    Err(error) => errors.push(error),
                }
            }
            stages.push(stage);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for (stage, outline) in stages.iter_mut().zip(&operation.stages) {
            if let Err(error) = self.keep_up(stage, outline) {
                errors.push(error);
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        busy::join_first(&mut stages);
        Ok(Plan {
            cluster: self.cluster.name.clone(),
            operation: operation.name.to_owned(),
            stages,
        })
    }

    fn step(&self, task: &Task) -> Result<Step, PlanError> {
        let rendered = self.render(task)?;
        let decision = self.decide(task, &rendered);
        // Only what converges a host leaves a receipt; starting or stopping it is no new state.
        let leaves_receipt = matches!(
            task,
            Task::Bootstrap { .. }
                | Task::Job {
                    action: Action::Deploy,
                    ..
                }
        );
        let facts = self.facts.known(task.host());
        let seen = facts.and_then(|facts| facts.receipts.get(&rendered.name));
        let stamp = leaves_receipt.then(|| {
            let Rendered {
                name,
                action,
                script,
                values,
                ..
            } = &rendered;
            Stamp::new(name, action, script, values, self.run)
                .with_past(recorded_sources(&self.sources(task)), seen)
                .of_cluster(self.facts.belonging.as_ref())
        });
        let uploads = match task {
            Task::Bootstrap { .. } => bootstrap::uploads(self.release),
            _ if rendered.values.get(SITE_PACKAGES).is_some() => {
                self.site_packages.into_iter().cloned().collect()
            }
            _ => Vec::new(),
        };
        let mut step = Step {
            id: StepId {
                step: rendered.name,
                host: task.host(),
            },
            mode: rendered.mode,
            digest: sha256_hex(rendered.script.as_bytes()),
            script: rendered.script,
            template: self.template(task),
            edits: self.edits(task, &rendered.values)?,
            values: rendered.values,
            receipt: stamp.as_ref().map(Stamp::open_json).unwrap_or_default(),
            settled_by: stamp
                .as_ref()
                .map_or(0, |stamp| settled_by(stamp, seen, &decision)),
            uploads,
            redact: self
                .secrets
                .values()
                .flat_map(|secret| forms(secret.expose_secret()))
                .collect(),
            decision,
        };
        if let Some(busy) = self.facts.known(task.host()).and_then(|f| f.busy.as_ref()) {
            busy::join(&mut step, busy);
        }
        Ok(step)
    }

    /// The files that a task's script is written in.
    pub(super) fn sources(&self, task: &Task) -> Vec<(&str, &str)> {
        match task {
            Task::Job { job, .. } => self.catalog.get(job).map_or(Vec::new(), Job::sources),
            Task::Bootstrap { .. } => {
                vec![("deploy/init.sh", include_str!("../../deploy/init.sh"))]
            }
            _ => Vec::new(),
        }
    }

    fn edits(&self, task: &Task, values: &Values) -> Result<Vec<String>, PlanError> {
        match task {
            Task::Job {
                job,
                action: Action::Deploy,
                ..
            } => Ok(match self.catalog.get(job) {
                Some(job) => job.edits(values)?,
                None => Vec::new(),
            }),
            _ => Ok(Vec::new()),
        }
    }

    fn template(&self, task: &Task) -> Option<(String, String)> {
        let (path, text) = match task {
            Task::Job { job, .. } => self.catalog.get(job)?.template(),
            Task::Bootstrap { .. } => ("deploy/init.sh", include_str!("../../deploy/init.sh")),
            _ => return None,
        };
        Some((path.to_owned(), text.to_owned()))
    }

    pub(super) fn context<'b>(
        &'b self,
        component: &'b Component,
        instance: &'b Instance,
    ) -> Context<'b> {
        Context {
            cluster: self.cluster,
            component,
            instance,
            secrets: self.secrets,
            site_packages: self.site_packages.map(|upload| upload.sha256.as_str()),
        }
    }

    pub(super) fn host(&self, address: IpAddr) -> Result<&Host, PlanError> {
        self.cluster
            .host(address)
            .ok_or_else(|| missing(format!("host {address}")))
    }

    pub(super) fn find(
        &self,
        component: &str,
        host: IpAddr,
        job: &str,
    ) -> Result<(&Component, &Instance, &dyn Job), PlanError> {
        let component = self
            .cluster
            .component(component)
            .ok_or_else(|| missing(format!("component {component}")))?;
        let instance = component
            .instances
            .iter()
            .find(|instance| instance.address == host)
            .ok_or_else(|| missing(format!("{host} in component {}", component.name)))?;
        let job = self
            .catalog
            .get(job)
            .ok_or_else(|| missing(format!("job {job}")))?;
        Ok((component, instance, job))
    }
}

fn missing(what: String) -> PlanError {
    PlanError {
        message: format!("the cluster has no {what}"),
        place: None,
    }
}

impl From<JobError> for PlanError {
    fn from(error: JobError) -> Self {
        PlanError {
            message: error.message,
            place: error.place,
        }
    }
}

/// How many bytes of a receipt's beginning settle a step, once another run has left them on the host:
/// none where it runs for something else, or where the receipt that was seen says as much already.
fn settled_by(stamp: &Stamp, seen: Option<&Receipt>, decision: &Decision) -> usize {
    let says_it_already = seen.is_some_and(|seen| seen.is_good() && seen.stamp.is_made_like(stamp));
    match decision {
        Decision::Run(why) if !says_it_already && !why.iter().any(Reason::asks_no_receipt) => {
            stamp.made_of_bytes()
        }
        _ => 0,
    }
}
