//! What hosts still have although the cluster file no longer puts it there. It's told, never touched.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::facts::{Facts, HostState};
use crate::model::Cluster;
use crate::operation::BOOTSTRAP;

/// Lists the steps with a receipt that the file doesn't name, with their hosts.
pub fn leftovers(cluster: &Cluster, facts: &Facts) -> Vec<(IpAddr, String)> {
    let mut wanted: BTreeSet<(IpAddr, String)> = BTreeSet::new();
    for component in &cluster.components {
        for instance in &component.instances {
            let steps = component.jobs.iter().map(|job| component.step_name(job));
            wanted.extend(steps.map(|step| (instance.address, step)));
        }
    }
    let mut found = Vec::new();
    for (host, state) in &facts.hosts {
        let HostState::Known(known) = state else {
            continue;
        };
        for step in known.receipts.keys().filter(|step| *step != BOOTSTRAP) {
            let key = (*host, step.clone());
            if !wanted.contains(&key) {
                found.push(key);
            }
        }
    }
    found
}
