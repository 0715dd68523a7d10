//! Asks machines what they know of runs; changes nothing on them.

use super::{Operation, Outline, Task};
use crate::model::{Cluster, Selection};

/// Outlines the question to every selected machine at once.
pub fn runs(cluster: &Cluster, selection: &Selection) -> Operation {
    let hosts = cluster.hosts.iter().map(|host| host.address);
    let selected = hosts.filter(|address| selection.has_host(*address));
    let tasks = selected.map(|host| Task::Runs { host }).collect();
    Operation {
        name: "runs",
        stages: vec![Outline::unlimited("runs", tasks)],
    }
}
