//! Takes components, or everything on a host, down again.

use std::net::IpAddr;

use super::{Operation, Outline, Task};
use crate::model::Cluster;

/// One step that is to be taken down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// The step's name, as its receipt has it.
    pub step: String,
    /// Where.
    pub host: IpAddr,
}

impl Removal {
    /// Names the job: the part behind the dot of a composite's step.
    pub fn job(&self) -> &str {
        self.step.rsplit('.').next().unwrap_or(&self.step)
    }
}

/// Outlines the removal of these steps, in the reverse of the file's order, and then of what
/// bootstrap did on these hosts.
pub fn remove(cluster: &Cluster, removals: &[Removal], hosts: &[IpAddr]) -> Operation {
    let order: Vec<String> = cluster
        .components
        .iter()
        .flat_map(|component| component.jobs.iter().map(|job| component.step_name(job)))
        .collect();
    // What the file no longer names came before everything that it does: nothing needs it.
    let place = |step: &str| order.iter().position(|known| known == step);
    let mut steps: Vec<&str> = removals.iter().map(|r| r.step.as_str()).collect();
    steps.sort_by_key(|step| (place(step).is_some(), std::cmp::Reverse(place(step))));
    steps.dedup();
    let mut stages: Vec<Outline> = steps
        .iter()
        .map(|step| {
            let of_step = removals.iter().filter(|r| r.step == *step);
            let task = |removal: &Removal| Task::Remove {
                host: removal.host,
                step: removal.step.clone(),
                job: removal.job().to_owned(),
            };
            Outline::unlimited(step, of_step.map(task).collect())
        })
        .collect();
    if !hosts.is_empty() {
        let tasks = hosts.iter().map(|host| Task::Unbootstrap { host: *host });
        stages.push(Outline::unlimited("host", tasks.collect()));
    }
    Operation {
        name: "remove",
        stages,
    }
}
