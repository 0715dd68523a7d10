//! Runs one command of the operator's on the selected machines.

use super::{Operation, Outline, Task};
use crate::model::{Cluster, Selection};

/// The name of the step that runs an operator's own command.
pub const EXEC: &str = "exec";

/// Outlines the command on every selected machine at once.
pub fn exec(cluster: &Cluster, selection: &Selection, command: &str, as_root: bool) -> Operation {
    let hosts = cluster.hosts.iter().map(|host| host.address);
    let tasks = hosts
        .filter(|address| selection.has_host(*address))
        .map(|host| Task::Exec {
            host,
            command: command.to_owned(),
            as_root,
        })
        .collect();
    Operation {
        name: "exec",
        stages: vec![Outline::unlimited("exec", tasks)],
    }
}
