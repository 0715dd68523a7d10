//! What hosts still have although the cluster file no longer puts it there. It's told, never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::belonging::Owner;
use super::facts::{Facts, HostState};
use crate::model::Cluster;
use crate::operation::BOOTSTRAP;

/// A step with a receipt, and its host.
pub type Leftover = (IpAddr, String);

/// Lists this cluster's steps with a receipt that the file doesn't name, with their hosts.
pub fn leftovers(cluster: &Cluster, facts: &Facts) -> Vec<Leftover> {
    let mut wanted: BTreeSet<Leftover> = BTreeSet::new();
    for component in &cluster.components {
        for instance in &component.instances {
            let steps = component.jobs.iter().map(|job| component.step_name(job));
            wanted.extend(steps.map(|step| (instance.address, step)));
        }
    }
    let of_this = installed(facts).filter(|(host, step)| facts.owner(*host, step) == Owner::Own);
    of_this.filter(|key| !wanted.contains(key)).collect()
}

/// Lists other clusters' steps on the hosts, by cluster and host.
pub fn of_others(facts: &Facts) -> BTreeMap<(String, IpAddr), Vec<String>> {
    let mut found: BTreeMap<(String, IpAddr), Vec<String>> = BTreeMap::new();
    for (host, step) in installed(facts) {
        if let Owner::Other { name, .. } = facts.owner(host, &step) {
            found.entry((name, host)).or_default().push(step);
        }
    }
    found
}

/// Every component's step with a receipt.
fn installed(facts: &Facts) -> impl Iterator<Item = Leftover> + '_ {
    facts.hosts.iter().flat_map(|(host, state)| {
        let receipts = match state {
            HostState::Known(known) => Some(&known.receipts),
            HostState::Unknown { .. } => None,
        };
        let steps = receipts.into_iter().flat_map(|receipts| receipts.keys());
        let steps = steps.filter(|step| *step != BOOTSTRAP);
        steps.map(|step| (*host, step.clone()))
    })
}
