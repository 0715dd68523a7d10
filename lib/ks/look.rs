//! The read-only look at every host of the global control plane.

use super::database::Db;
use crate::model::{Cluster, GlobalKs};
use crate::operation::{KsScript, KsTask, Operation, Outline, Task};

/// Outlines the look.
pub fn look(cluster: &Cluster, ks: &GlobalKs) -> Operation {
    let hosts = ks.rooms.iter().flat_map(|room| room.hosts.iter().copied());
    let task = |host| {
        let runs = |job: &str| {
            let mut instances = cluster.instances_of_job(job);
            instances.any(|(_, instance)| instance.address == host)
        };
        let databases: Vec<&str> = [Db::Global, Db::Recovery]
            .into_iter()
            .filter(|db| runs(db.job()))
            .map(Db::name)
            .collect();
        let task = KsTask::new(KsScript::Look, host).with("databases", databases.join(" "));
        let jobs = ["proxy", "pgpool", "zookeeper", "memcached"];
        let task = jobs
            .into_iter()
            .fold(task, |task, job| task.with(job, runs(job)));
        Task::from(task)
    };
    Operation {
        name: "ks-look",
        stages: vec![Outline::unlimited(
            "look",
            hosts.chain(ks.arbiter).map(task).collect(),
        )],
    }
}
