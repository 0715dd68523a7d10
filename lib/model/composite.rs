//! Components that stand for several jobs on one host, by the names that the first tool gave them.
//!
//! A name that isn't one of these still tells what was meant, where it is made of the names of jobs:
//! then the error can write the `jobs: […]` that is missing.

use super::cluster::JobFacts;
use crate::cluster_file::{At, ClusterFile};

/// The composites of the first tool (seed 004 and its `config/cluster_0731.yml`) and their jobs, in
/// the order in which they start.
const COMPOSITES: [(&str, &[&str]); 3] = [
    ("nats_router", &["nats", "router"]),
    (
        "postgres_uaa_cc_hm",
        &["postgres", "uaa", "cloud_controller_ng", "health_manager"],
    ),
    ("mysql_service", &["mysql_gateway", "mysql_node"]),
];

/// Short names of jobs that the first tool understood.
const SHORT: [(&str, &str); 2] = [("cc", "cloud_controller_ng"), ("hm", "health_manager")];

/// Gives the components that are called as the first tool's composites, and that name no jobs, those
/// composites' jobs. A job of the site's own of that name goes before.
pub(super) fn spelt_out(file: &ClusterFile, jobs: &[JobFacts]) -> ClusterFile {
    let mut file = file.clone();
    for server in &mut file.server {
        let name = &server.name;
        let composite = COMPOSITES.iter().find(|(known, _)| *known == name.value);
        if let Some((_, parts)) = composite
            && server.jobs.is_none()
            && !jobs.iter().any(|job| job.name == name.value)
        {
            let part = |job: &&str| At {
                value: (*job).to_owned(),
                place: name.place,
                len: name.len,
            };
            server.jobs = Some(parts.iter().map(part).collect());
        }
    }
    file
}

/// Returns the job that the first tool called by this short name.
pub(super) fn long_name(short: &str) -> Option<&'static str> {
    let known = SHORT.iter().find(|(name, _)| *name == short);
    known.map(|(_, job)| *job)
}

/// Takes a name apart into names of known jobs joined by underscores, such as `uaa_cc_postgres`;
/// `None` where some part is no job.
pub(super) fn made_of<'a>(name: &'a str, jobs: &'a [JobFacts]) -> Option<Vec<&'a str>> {
    if name.is_empty() {
        return Some(Vec::new());
    }
    let short = SHORT.iter().copied();
    let known = jobs
        .iter()
        .map(|job| (job.name.as_str(), job.name.as_str()));
    known.chain(short).find_map(|(part, job)| {
        let rest = name.strip_prefix(part)?;
        let rest = match rest.strip_prefix('_') {
            Some("") => return None,
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return None,
        };
        let mut parts = made_of(rest, jobs)?;
        parts.insert(0, job);
        Some(parts)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn facts(names: &[&str]) -> Vec<JobFacts> {
        let fact = |name: &&str| JobFacts {
            name: (*name).to_owned(),
            needs: Vec::new(),
            provides: Vec::new(),
            needs_release: false,
            needs_one_release: None,
            packages: Vec::new(),
        };
        names.iter().map(fact).collect()
    }

    #[test]
    fn a_name_is_taken_apart_into_jobs() {
        let jobs = facts(&["mysql", "mysql_node", "uaa", "cloud_controller_ng"]);
        let parts = |name| made_of(name, &jobs);
        assert_eq!(parts("uaa_cc"), Some(vec!["uaa", "cloud_controller_ng"]));
        assert_eq!(parts("mysql_node_uaa"), Some(vec!["mysql_node", "uaa"]));
        for name in ["uaa_", "_uaa", "uaa_weather", "uaacc", "weather"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }

    #[test]
    fn a_job_of_the_site_goes_before_a_composite_of_that_name() {
        let text = "components: [nats_router]\nserver: {nats_router: {ip: 10.0.0.1}}\n";
        let (file, _) = ClusterFile::parse(Path::new("cluster.yml"), text);
        let file = file.unwrap();
        let jobs = |known: &[&str]| -> Option<Vec<String>> {
            let file = spelt_out(&file, &facts(known));
            let jobs = file.server[0].jobs.clone()?;
            Some(jobs.into_iter().map(|job| job.value).collect())
        };
        let composite = vec!["nats".to_owned(), "router".to_owned()];
        assert_eq!(jobs(&["nats", "router"]), Some(composite));
        assert_eq!(jobs(&["nats", "router", "nats_router"]), None);
    }
}
