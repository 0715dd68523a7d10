//! Renders a task: its script, and what that is made of.

use std::net::IpAddr;

use super::resolve::{PlanError, Planner};
use super::step::Mode;
use super::{bootstrap, ks, probe};
use crate::job::{Action, home_of};
use crate::model::Host;
use crate::operation::{BOOTSTRAP, EXEC, KsScript, Task};
use crate::script::{Values, shell_word};

/// A task's script and what it's made of.
pub(super) struct Rendered {
    pub name: String,
    pub action: &'static str,
    pub mode: Mode,
    pub script: String,
    pub values: Values,
}

impl Planner<'_> {
    pub(super) fn render(&self, task: &Task) -> Result<Rendered, PlanError> {
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
    pub(super) fn exec_script(
        &self,
        host: IpAddr,
        command: &str,
        as_root: bool,
    ) -> Result<String, PlanError> {
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

    pub(super) fn bootstrap_values(&self, host: &Host) -> Values {
        bootstrap::values(host, &self.home(host), &self.cluster.sudo, self.release)
    }

    pub(super) fn home(&self, host: &Host) -> String {
        home_of(self.cluster, &host.ssh.user)
    }
}
