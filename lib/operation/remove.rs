//! Takes components, or everything on a host, down again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Operation, Outline, Task};
use crate::model::{Cluster, JobFacts};

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

/// Lists what would be missing without these steps: each job that another one needs and that would
/// run nowhere any more, in words.
pub fn left_without(cluster: &Cluster, jobs: &[JobFacts], removals: &[Removal]) -> Vec<String> {
    let mut remaining: BTreeSet<&str> = BTreeSet::new();
    let mut needing: Vec<(&str, &str)> = Vec::new();
    for component in &cluster.components {
        for job in &component.jobs {
            let step = component.step_name(job);
            let is_removed = |host: IpAddr| {
                let mut removals = removals.iter();
                removals.any(|removal| removal.step == step && removal.host == host)
            };
            if component.instances.iter().any(|i| !is_removed(i.address)) {
                remaining.insert(job);
                needing.push((&component.name, job));
            }
        }
    }
    let mut missing = Vec::new();
    for (component, job) in needing {
        let Some(facts) = jobs.iter().find(|facts| facts.name == job) else {
            continue;
        };
        for need in &facts.needs {
            if !remaining.contains(need.job.as_str()) {
                missing.push(format!("{component} needs {}: {}", need.job, need.why));
            }
        }
    }
    missing
}
