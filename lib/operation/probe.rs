//! Looks at machines before anything is decided; changes nothing on them.

use super::{Operation, Outline, Task};
use crate::model::{Cluster, Selection};

/// Outlines the probe of every selected machine at once.
pub fn probe(cluster: &Cluster, selection: &Selection) -> Operation {
    let hosts = cluster.hosts.iter().map(|host| host.address);
    let selected = hosts.filter(|address| selection.has_host(*address));
    let tasks = selected.map(|host| Task::Probe { host }).collect();
    Operation {
        name: "probe",
        stages: vec![Outline::unlimited("probe", tasks)],
    }
}
