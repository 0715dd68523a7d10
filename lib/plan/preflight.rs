//! What must be true of every host before anything is changed on any.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::facts::{Facts, HostFacts, HostState};
use super::machine::{list, one_machine};
use super::releases;
use crate::model::{Cluster, JobFacts, Selection};

/// The least free space that a host must have, in KiB: packages and a release fit in this.
const DISK_KIB: u64 = 1024 * 1024;
/// How far a host's clock may be from the median of all, in seconds; tokens and logs bear that.
const SKEW_SECONDS: i64 = 30;
/// The oldest releases that the jobs were tried on.
const SUPPORTED: [(&str, f64); 2] = [("debian", 11.0), ("ubuntu", 20.04)];

/// Something that stands in the way on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub host: IpAddr,
    /// Whether the host couldn't be asked at all.
    pub unreachable: bool,
    /// What is wrong and what to do.
    pub problem: String,
}

/// Lists everything that stands in the way on the selected hosts, in the file's order.
pub fn preflight(
    cluster: &Cluster,
    selection: &Selection,
    jobs: &[JobFacts],
    facts: &Facts,
) -> Vec<Finding> {
    let median = median_offset(facts);
    let mut findings = same_machines(facts);
    for host in cluster
        .hosts
        .iter()
        .filter(|host| selection.has_host(host.address))
    {
        let mut found = |unreachable, problem| {
            findings.push(Finding {
                host: host.address,
                unreachable,
                problem,
            })
        };
        match facts.hosts.get(&host.address) {
            Some(HostState::Known(known)) => {
                for problem in host_problems(known, median) {
                    found(false, problem);
                }
                for problem in busy_ports(cluster, host.address, jobs, known) {
                    found(false, problem);
                }
            }
            Some(HostState::Unknown { why, .. }) => found(true, why.clone()),
            None => found(true, "it was not asked".to_owned()),
        }
    }
    findings.extend(releases::mixed(cluster, selection, jobs, facts));
    findings
}

/// Lists the addresses that belong to one machine: steps for them would meet there.
pub fn same_machines(facts: &Facts) -> Vec<Finding> {
    let finding = |addresses: Vec<IpAddr>| Finding {
        host: addresses[0],
        unreachable: false,
        problem: format!(
            "{} are addresses of one machine; the cluster file shall name it by one of them, \
             everywhere",
            list(&addresses)
        ),
    };
    one_machine(facts).into_iter().map(finding).collect()
}

fn host_problems(host: &HostFacts, median: i64) -> Vec<String> {
    let mut problems = Vec::new();
    if !is_supported(&host.os_id, &host.os_version) {
        let name = if host.os_name.is_empty() {
            "an unknown system"
        } else {
            &host.os_name
        };
        problems.push(format!(
            "{name} isn't supported: Debian 11 or Ubuntu 20.04 or newer is"
        ));
    }
    if !host.systemd {
        problems.push("systemd isn't its first process, and services need it".to_owned());
    }
    if let Some(seconds) = host.disk_hangs {
        problems.push(format!(
            "`df /var/lib` had no answer within {seconds} s; a file system hangs, perhaps a mount \
             whose server is gone (`findmnt` lists them)"
        ));
    }
    if let Some(free) = host.disk_free_kib.filter(|free| *free < DISK_KIB) {
        problems.push(format!(
            "{} MiB are free below /var/lib; {} MiB are needed",
            free / 1024,
            DISK_KIB / 1024
        ));
    }
    if let Some(offset) = host.clock_offset
        && (offset - median).abs() > SKEW_SECONDS
    {
        problems.push(format!(
            "its clock is {} s {} the others'; set it (for example with chrony) first",
            (offset - median).abs(),
            if offset > median {
                "ahead of"
            } else {
                "behind"
            }
        ));
    }
    problems
}

/// Ports that a job is going to listen on and that are taken on a machine that has no receipt yet:
/// once the tool has been there, the one who listens is most likely our own service.
fn busy_ports(
    cluster: &Cluster,
    host: IpAddr,
    jobs: &[JobFacts],
    facts: &HostFacts,
) -> Vec<String> {
    if !facts.receipts.is_empty() {
        return Vec::new();
    }
    let mut busy = Vec::new();
    for component in cluster.components.iter() {
        if !component
            .instances
            .iter()
            .any(|instance| instance.address == host)
        {
            continue;
        }
        for job in jobs
            .iter()
            .filter(|facts| component.jobs.contains(&facts.name))
        {
            for port in job
                .provides
                .iter()
                .filter(|port| facts.ports.contains(&port.number))
            {
                busy.push(format!(
                    "port {} ({} of {}) is taken by another program; `ss -ltnp 'sport = :{}'` \
                     on the host names it",
                    port.number, port.name, component.name, port.number
                ));
            }
        }
    }
    busy
}

fn is_supported(id: &str, version: &str) -> bool {
    let Ok(version) = version.parse::<f64>() else {
        return false;
    };
    SUPPORTED
        .iter()
        .any(|(name, least)| *name == id && version >= *least)
}

/// The middle of all clock offsets: a single wrong clock, this machine's included, doesn't move it.
fn median_offset(facts: &Facts) -> i64 {
    let mut offsets: Vec<i64> = facts
        .hosts
        .values()
        .filter_map(|state| match state {
            HostState::Known(known) => known.clock_offset,
            HostState::Unknown { .. } => None,
        })
        .collect();
    offsets.sort_unstable();
    offsets.get(offsets.len() / 2).copied().unwrap_or(0)
}

/// Groups findings by host, in their order.
pub fn by_host(findings: &[Finding]) -> BTreeMap<IpAddr, Vec<&Finding>> {
    let mut groups: BTreeMap<IpAddr, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        groups.entry(finding.host).or_default().push(finding);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> HostFacts {
        HostFacts {
            os_id: "debian".into(),
            os_version: "12".into(),
            os_name: "Debian 12".into(),
            systemd: true,
            disk_free_kib: Some(9_000_000),
            clock_offset: Some(0),
            ..HostFacts::default()
        }
    }

    #[test]
    fn a_sound_host_has_no_problem() {
        assert!(host_problems(&sound(), 0).is_empty());
    }

    #[test]
    fn every_problem_is_listed() {
        let bad = HostFacts {
            os_version: "10".into(),
            os_name: "Debian 10".into(),
            systemd: false,
            disk_free_kib: Some(2048),
            disk_hangs: Some(20),
            clock_offset: Some(-3600),
            ..sound()
        };
        let problems = host_problems(&bad, 0);
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert!(problems[0].starts_with("Debian 10 isn't supported"));
        assert!(problems[4].starts_with("its clock is 3600 s behind"));
    }

    #[test]
    fn the_median_is_not_moved_by_one_wrong_clock() {
        let mut facts = Facts::default();
        for (last, offset) in [(1, 0), (2, 3600), (3, 1)] {
            let host = HostFacts {
                clock_offset: Some(offset),
                ..sound()
            };
            let address = IpAddr::from([127, 0, 0, last]);
            facts
                .hosts
                .insert(address, HostState::Known(Box::new(host)));
        }
        assert_eq!(median_offset(&facts), 1);
    }

    #[test]
    fn supported_systems_are_told_from_others() {
        assert!(is_supported("debian", "12"));
        assert!(is_supported("ubuntu", "22.04"));
        assert!(!is_supported("ubuntu", "18.04"));
        assert!(!is_supported("alpine", "3.19"));
        assert!(!is_supported("debian", ""));
    }
}
