//! Looks at steps that somebody else may have done: a script for each, which changes nothing.

use super::adopt::Recognition;
use super::bootstrap;
use super::render::Rendered;
use super::resolve::{PlanError, Planner};
use super::step::StepId;
use crate::job::Action;
use crate::operation::{Operation, Task};

impl Planner<'_> {
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
}
