//! Builds the selected components: machines first, then component after component.

use super::{Operation, Outline, Task, bootstrap};
use crate::job::Action;
use crate::model::{Cluster, Selection};

/// Outlines a build: bootstrap, then one stage for each component in the file's order.
///
/// A composite is one stage for each of its jobs, so that a job finds the one before it done on
/// every host.
pub fn build(cluster: &Cluster, selection: &Selection) -> Operation {
    let mut stages = vec![bootstrap::stage(cluster, selection)];
    stages.extend(job_stages(cluster, selection, Action::Deploy));
    Operation {
        name: "build",
        stages,
    }
}

/// One stage for each job of each selected component, in order.
pub(super) fn job_stages(cluster: &Cluster, selection: &Selection, action: Action) -> Vec<Outline> {
    let mut stages = Vec::new();
    for component in &cluster.components {
        for job in &component.jobs {
            let tasks: Vec<Task> = component
                .instances
                .iter()
                .filter(|instance| selection.has(&component.name, instance.address))
                .map(|instance| Task::Job {
                    host: instance.address,
                    component: component.name.clone(),
                    job: job.clone(),
                    action,
                })
                .collect();
            if !tasks.is_empty() {
                stages.push(Outline {
                    name: component.step_name(job),
                    tasks,
                    max_in_flight: component.max_in_flight,
                    canaries: component.canaries,
                    max_failures: component.max_failures,
                });
            }
        }
    }
    stages
}
