//! Looks at machines before anything is decided; changes nothing on them.

use std::net::IpAddr;

use super::{Operation, Outline, Task};
use crate::model::{Cluster, Selection};

/// Outlines the probe of every selected machine at once, and of others that something has to be
/// learnt from.
pub fn probe(cluster: &Cluster, selection: &Selection, others: &[IpAddr]) -> Operation {
    let hosts = cluster.hosts.iter().map(|host| host.address);
    let selected = hosts.filter(|host| selection.has_host(*host) || others.contains(host));
    let tasks = selected.map(|host| Task::Probe { host }).collect();
    Operation {
        name: "probe",
        stages: vec![Outline::unlimited("probe", tasks)],
    }
}
