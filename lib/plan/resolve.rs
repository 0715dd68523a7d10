//! Resolves an operation into rendered steps: everything is rendered, and every error found,
//! before a host is touched.

use std::net::IpAddr;

use rayon::prelude::*;
use secrecy::ExposeSecret;

use super::adopt::Recognition;
use super::facts::{Facts, HostState};
use super::package::PreparedRelease;
use super::probe::HealthCheck;
use super::reason::{Made, decide, recorded_sources};
use super::receipt::{RunIdentity, Stamp, sha256_hex};
use super::step::{Decision, Mode, Plan, Reason, Stage, Step, StepId};
use super::{bootstrap, busy, ks, probe};
use crate::cluster_file::Place;
use crate::job::{Action, Catalog, Context, Job, JobError, SITE_PACKAGES, Secrets};
use crate::model::{Cluster, Component, Host, Instance};
use crate::operation::{BOOTSTRAP, EXEC, KsScript, Operation, Outline, Task};
use crate::script::{Upload, Values, shell_word};
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

/// A task's script and what it's made of.
struct Rendered {
    name: String,
    action: &'static str,
    mode: Mode,
    script: String,
    values: Values,
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

    /// Renders, for every machine and job that an operation builds, the script that recognises it
    /// where somebody else built it, and whether that compares settings as well.
    ///
    /// # Errors
    /// The first one that can't be rendered.
    pub fn recognition(&self, operation: &Operation) -> Result<Vec<Recognition>, PlanError> {
        let tasks = operation.stages.iter().flat_map(|stage| &stage.tasks);
        let mut all = Vec::new();
        for task in tasks {
            let Rendered { name, values, .. } = self.render(task)?;
            let (script, compares) = match task {
                Task::Bootstrap { host } => {
                    let machine = self.host(*host)?;
                    let (user, home) = (&machine.ssh.user, self.home(machine));
                    let has_release = self.release.is_some();
                    let script = bootstrap::health_script(&values, user, &home, has_release);
                    (script, true)
                }
                Task::Job {
                    job,
                    host,
                    component,
                    ..
                } => {
                    let (_, _, job) = self.find(component, *host, job)?;
                    match job.recognise(&values)? {
                        Some(script) => (script, true),
                        None => (job.render(Action::Health, &values)?, false),
                    }
                }
                _ => continue,
            };
            all.push(Recognition {
                id: StepId {
                    step: name,
                    host: task.host(),
                },
                script,
                compares,
                secrets: values
                    .iter()
                    .filter(|(_, input)| input.secret)
                    .map(|(name, _)| name.to_owned())
                    .collect(),
            });
        }
        Ok(all)
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
        let stamp = leaves_receipt.then(|| {
            let Rendered {
                name,
                action,
                script,
                values,
                ..
            } = &rendered;
            let facts = self.facts.known(task.host());
            Stamp::new(name, action, script, values, self.run)
                .with_past(
                    recorded_sources(&self.sources(task)),
                    facts.and_then(|facts| facts.receipts.get(name)),
                )
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
            settled_by: match (&stamp, &decision) {
                (Some(stamp), Decision::Run(why)) if why.iter().all(Reason::ends_with_receipt) => {
                    stamp.made_of_bytes()
                }
                _ => 0,
            },
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
    fn sources(&self, task: &Task) -> Vec<(&str, &str)> {
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

    fn render(&self, task: &Task) -> Result<Rendered, PlanError> {
        match task {
            Task::Probe { host } => Ok(Rendered {
                name: "probe".to_owned(),
                action: "probe",
                mode: Mode::Query,
                script: probe::render(self.health_checks(*host)?, self.leader_checks(*host))?,
                values: Values::new(),
            }),
            Task::Runs { .. } => Ok(Rendered {
                name: "runs".to_owned(),
                action: "runs",
                mode: Mode::Query,
                script: include_str!("../../deploy/runs.sh").to_owned(),
                values: Values::new(),
            }),
            Task::Bootstrap { host } => {
                let values = self.bootstrap_values(self.host(*host)?);
                Ok(Rendered {
                    name: BOOTSTRAP.to_owned(),
                    action: "bootstrap",
                    mode: Mode::Supervised,
                    script: bootstrap::render(&values)?,
                    values,
                })
            }
            Task::Remove { host, step, job } => {
                let of_host = self.host(*host)?;
                let known = self.catalog.get(job).ok_or_else(|| PlanError {
                    message: format!(
                        "{step} on {host} can't be removed: the job {job} isn't known any more; put \
                         its folder back into jobs_dir"
                    ),
                    place: None,
                })?;
                let mut values = Values::new();
                values.set("paas_user", &of_host.ssh.user);
                values.set("paas_home", self.home(of_host));
                values.set("own_address", *host);
                Ok(Rendered {
                    name: step.clone(),
                    action: Action::Remove.name(),
                    mode: Mode::Supervised,
                    script: known.render(Action::Remove, &values)?,
                    values,
                })
            }
            Task::Unbootstrap { host } => Ok(Rendered {
                name: BOOTSTRAP.to_owned(),
                action: Action::Remove.name(),
                mode: Mode::Supervised,
                script: {
                    let host = self.host(*host)?;
                    bootstrap::render_removal(&host.ssh.user, &self.home(host))?
                },
                values: Values::new(),
            }),
            Task::Ks(task) => {
                let (script, values) = ks::render(task)?;
                Ok(Rendered {
                    name: task.step(),
                    action: task.script.name(),
                    mode: match task.script {
                        KsScript::Look => Mode::Query,
                        _ => Mode::Supervised,
                    },
                    script,
                    values,
                })
            }
            Task::Exec {
                host,
                command,
                as_root,
            } => Ok(Rendered {
                name: EXEC.to_owned(),
                action: "exec",
                mode: Mode::Query,
                script: self.exec_script(*host, command, *as_root)?,
                values: Values::new(),
            }),
            Task::Job {
                host,
                component,
                job,
                action,
            } => {
                let (component, instance, job) = self.find(component, *host, job)?;
                let mut values = job.values(&self.context(component, instance))?;
                let script = job.render(*action, &values)?;
                if job.facts().needs_release
                    && let Some(release) = self.release
                {
                    // A new release replaces the files that the job configured.
                    let identity = release.paas_release.identity();
                    match release.place {
                        Some(place) => values.set_from("release", identity, place),
                        None => values.set("release", identity),
                    }
                }
                Ok(Rendered {
                    name: component.step_name(&job.facts().name),
                    action: action.name(),
                    mode: Mode::Supervised,
                    script,
                    values,
                })
            }
        }
    }

    /// The operator's command line, for the login user in its home unless root is to run it.
    fn exec_script(&self, host: IpAddr, command: &str, as_root: bool) -> Result<String, PlanError> {
        if as_root {
            return Ok(format!("{command}\n"));
        }
        let host = self.host(host)?;
        let find_home = bootstrap::find_home(&host.ssh.user, &self.home(host));
        let (user, command) = (shell_word(&host.ssh.user), shell_word(command));
        Ok(format!(
            "{find_home}cd \"$home\" && exec runuser -u {user} -- env HOME=\"$home\" sh -c {command}\n"
        ))
    }

    fn decide(&self, task: &Task, rendered: &Rendered) -> Decision {
        let asked = |what: &str| {
            Decision::Run(vec![Reason::Asked {
                what: what.to_owned(),
            }])
        };
        let known = match self.facts.hosts.get(&task.host()) {
            Some(HostState::Known(known)) => Some(known),
            Some(HostState::Unknown { .. }) | None => None,
        };
        match task {
            Task::Probe { .. } | Task::Runs { .. } | Task::Exec { .. } | Task::Ks(_) => {
                asked(rendered.action)
            }
            Task::Remove { .. }
            | Task::Unbootstrap { .. }
            | Task::Job {
                action: Action::Start | Action::Stop | Action::Restart,
                ..
            } => match known {
                Some(host) if !host.receipts.contains_key(&rendered.name) => {
                    Decision::Skip("it isn't installed".to_owned())
                }
                _ => asked(rendered.action),
            },
            Task::Bootstrap { .. } | Task::Job { .. } => match known {
                Some(host) => {
                    let made = Made {
                        script: &rendered.script,
                        values: &rendered.values,
                        sources: &self.sources(task),
                    };
                    let decision = decide(&rendered.name, &made, host);
                    let decision = self.with_providers(decision, task);
                    if self.force {
                        forced(decision)
                    } else {
                        decision
                    }
                }
                None if self.force => asked("forced"),
                None => Decision::Run(vec![Reason::StateUnknown {
                    why: self.why_unknown(task),
                }]),
            },
        }
    }

    /// Names the components whose addresses a changed value was taken from.
    fn with_providers(&self, mut decision: Decision, task: &Task) -> Decision {
        let Task::Job { component: own, .. } = task else {
            return decision;
        };
        if let Decision::Run(reasons) = &mut decision {
            for reason in reasons {
                if let Reason::ValueChanged {
                    place: Some(place),
                    provider,
                    ..
                } = reason
                {
                    let mut components = self.cluster.components.iter();
                    let found = components
                        .find(|component| component.instances.iter().any(|i| i.place == *place));
                    *provider = found.map(|c| c.name.clone()).filter(|name| name != own);
                }
            }
        }
        decision
    }

    fn why_unknown(&self, task: &Task) -> String {
        match self.facts.hosts.get(&task.host()) {
            Some(HostState::Unknown { why, .. }) => why.clone(),
            _ => "the host wasn't asked".to_owned(),
        }
    }

    /// The checks of everything that the cluster file puts on a host, in order.
    fn health_checks(&self, host: IpAddr) -> Result<Vec<HealthCheck>, PlanError> {
        let machine = self.host(host)?;
        let home = self.home(machine);
        let mut checks = vec![HealthCheck {
            step: BOOTSTRAP.to_owned(),
            script: bootstrap::health_script(
                &self.bootstrap_values(machine),
                &machine.ssh.user,
                &home,
                self.release.is_some(),
            ),
        }];
        for component in &self.cluster.components {
            let Some(instance) = component.instances.iter().find(|i| i.address == host) else {
                continue;
            };
            for name in &component.jobs {
                let (_, _, job) = self.find(&component.name, host, name)?;
                let values = job.values(&self.context(component, instance))?;
                let script = job.render(Action::Health, &values)?;
                checks.push(HealthCheck {
                    step: component.step_name(name),
                    script,
                });
            }
        }
        Ok(checks)
    }

    /// The questions for leaders, of the jobs that have one.
    fn leader_checks(&self, host: IpAddr) -> Vec<HealthCheck> {
        let mut checks = Vec::new();
        for component in &self.cluster.components {
            if !component.instances.iter().any(|i| i.address == host) {
                continue;
            }
            for name in &component.jobs {
                let leader = self.catalog.get(name).and_then(|job| job.leader());
                checks.extend(leader.map(|script| HealthCheck {
                    step: component.step_name(name),
                    script: script.to_owned(),
                }));
            }
        }
        checks
    }

    fn bootstrap_values(&self, host: &Host) -> Values {
        bootstrap::values(host, &self.home(host), &self.cluster.sudo, self.release)
    }

    fn home(&self, host: &Host) -> String {
        crate::job::home_of(self.cluster, &host.ssh.user)
    }

    fn context<'b>(&'b self, component: &'b Component, instance: &'b Instance) -> Context<'b> {
        Context {
            cluster: self.cluster,
            component,
            instance,
            secrets: self.secrets,
            site_packages: self.site_packages.map(|upload| upload.sha256.as_str()),
        }
    }

    fn host(&self, address: IpAddr) -> Result<&Host, PlanError> {
        self.cluster
            .host(address)
            .ok_or_else(|| missing(format!("host {address}")))
    }

    fn find(
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

/// What is asked for with `--force` runs; what has changed is named all the same.
fn forced(decision: Decision) -> Decision {
    let mut reasons = vec![Reason::Asked {
        what: "forced".to_owned(),
    }];
    if let Decision::Run(others) = decision {
        reasons.extend(others.into_iter().filter(Reason::is_change));
    }
    Decision::Run(reasons)
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
