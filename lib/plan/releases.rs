//! Which hosts of a component may not have different releases of the system.

use std::net::IpAddr;

use super::facts::{Facts, HostFacts};
use super::preflight::Finding;
use crate::model::{Cluster, Component, JobFacts, Selection};

/// Lists the selected hosts that would join instances which they can't work with, because their
/// system is of another release. A host that carries the component already isn't named: it may be
/// in the middle of an upgrade, and what it has works on.
pub(super) fn mixed(
    cluster: &Cluster,
    selection: &Selection,
    jobs: &[JobFacts],
    facts: &Facts,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for component in &cluster.components {
        let reason = |job: &JobFacts| Some((job.name.clone(), job.needs_one_release.clone()?));
        let mut carried = jobs.iter().filter(|job| component.jobs.contains(&job.name));
        let Some((job, why)) = carried.find_map(reason) else {
            continue;
        };
        let Some((first, theirs)) = pattern(component, facts) else {
            continue;
        };
        for host in component.instances.iter().map(|instance| instance.address) {
            let Some(own) = facts.known(host) else {
                continue;
            };
            if !selection.has(&component.name, host)
                || own.receipts.contains_key(&component.name)
                || release(own) == release(theirs)
            {
                continue;
            }
            findings.push(Finding {
                host,
                unreachable: false,
                problem: format!(
                    "{} here, {} on {first}: {} needs one release on all its hosts ({why}); give \
                     this host that release",
                    own.os_name, theirs.os_name, job
                ),
            });
        }
    }
    findings
}

/// The host that the others have to be like: one that carries the component already, or the first.
fn pattern<'a>(component: &Component, facts: &'a Facts) -> Option<(IpAddr, &'a HostFacts)> {
    let all = || {
        let hosts = component.instances.iter().map(|instance| instance.address);
        hosts.filter_map(|host| Some((host, facts.known(host)?)))
    };
    let built = all().find(|(_, host)| host.receipts.contains_key(&component.name));
    built.or_else(|| all().next())
}

/// The system and its release: point releases of Debian share one.
fn release(host: &HostFacts) -> (&str, &str) {
    (&host.os_id, &host.os_version)
}
