//! Prepares fresh machines, all at once.

use super::{Operation, Outline, Task};
use crate::model::{Cluster, Selection};

/// The bootstrap's stage and step name; no component may have it.
pub const BOOTSTRAP: &str = "bootstrap";

/// Outlines the bootstrap of every selected machine.
pub fn bootstrap(cluster: &Cluster, selection: &Selection) -> Operation {
    Operation {
        name: "bootstrap",
        stages: vec![stage(cluster, selection)],
    }
}

/// The one stage of it, which a build begins with.
pub(super) fn stage(cluster: &Cluster, selection: &Selection) -> Outline {
    let hosts = cluster.hosts.iter().map(|host| host.address);
    let selected = hosts.filter(|address| selection.has_host(*address));
    Outline::unlimited(
        BOOTSTRAP,
        selected.map(|host| Task::Bootstrap { host }).collect(),
    )
}
