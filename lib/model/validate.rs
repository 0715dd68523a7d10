//! Whether the values of a file fit to each other and to the known jobs. Everything that doesn't is
//! reported at once.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::cluster::JobFacts;
use super::composite;
use super::resolve::ssh;
use super::settings::SshSettings;
use super::validate_ks;
use crate::cluster_file::{At, ClusterFile, HostEntry, Place, Problem, Server, nearest};

/// The names of the tool's own steps, which no component may take.
const RESERVED: [&str; 3] = ["bootstrap", "probe", "exec"];
/// The keys on top and the jobs whose hosts they repeat.
const TOP: [(&str, &str); 3] = [
    ("nats", "nats"),
    ("uaa", "uaa"),
    ("cc", "cloud_controller_ng"),
];

/// Lists everything that doesn't fit.
pub(super) fn check(file: &ClusterFile, jobs: &[JobFacts]) -> Vec<Problem> {
    let mut problems = Vec::new();
    components_and_servers(file, &mut problems);
    job_names(file, jobs, &mut problems);
    needs(file, jobs, &mut problems);
    top_level(file, &mut problems);
    instances(file, &mut problems);
    ports(file, jobs, &mut problems);
    logins(file, &mut problems);
    rollouts(file, &mut problems);
    validate_ks::check(file, &mut problems);
    problems
}

/// Every entry of `ip` of a component that is in `components`, in the order of `components`.
pub(super) fn used_entries(file: &ClusterFile) -> impl Iterator<Item = (&Server, &HostEntry)> {
    file.components
        .iter()
        .filter_map(|name| server(file, &name.value))
        .flat_map(|server| server.hosts.iter().map(move |entry| (server, entry)))
}

fn server<'a>(file: &'a ClusterFile, name: &str) -> Option<&'a Server> {
    file.server.iter().find(|server| server.name.value == name)
}

/// A component's jobs with where each stands.
pub(super) fn jobs_of(server: &Server) -> Vec<&At<String>> {
    match &server.jobs {
        Some(jobs) => jobs.iter().collect(),
        None => vec![&server.name],
    }
}

pub(super) fn at<T>(value: &At<T>, message: String) -> Problem {
    Problem::new(value.place, value.len, message)
}

fn components_and_servers(file: &ClusterFile, problems: &mut Vec<Problem>) {
    let mut first: HashMap<&str, Place> = HashMap::new();
    for name in &file.components {
        let value = name.value.as_str();
        if let Some(earlier) = first.insert(value, name.place) {
            problems.push(
                at(name, format!("the component `{value}` is listed twice"))
                    .also(earlier, "it stands here first"),
            );
        }
        if RESERVED.contains(&value) {
            problems.push(
                at(name, format!("`{value}` is a name of the tool's own steps"))
                    .help("give the component another name, and its jobs in `jobs: […]`"),
            );
        }
        if server(file, value).is_none() {
            let known = file.server.iter().map(|server| server.name.value.as_str());
            problems.push(
                at(
                    name,
                    format!("the component `{value}` has no block under `server`"),
                )
                .expected(format!("`server.{value}.ip` with its addresses"))
                .maybe_help(did_you_mean(value, known)),
            );
        }
    }
    for server in &file.server {
        let value = server.name.value.as_str();
        // Without any component the list itself is what's wrong, and has been told.
        if !file.components.is_empty() && !is_listed(file, server) {
            let known = file.components.iter().map(|name| name.value.as_str());
            problems.push(
                at(
                    &server.name,
                    format!("`{value}` isn't listed in `components`"),
                )
                .expected("a listed component")
                .help("list it, or remove the block")
                .maybe_help(did_you_mean(value, known)),
            );
        }
        if server.hosts.is_empty() && !server.hosts_incomplete {
            problems.push(at(&server.name, format!("`{value}` has no address")));
        }
    }
}

fn is_listed(file: &ClusterFile, server: &Server) -> bool {
    file.components
        .iter()
        .any(|name| name.value == server.name.value)
}

fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(given, known).map(|name| format!("did you mean `{name}`?"))
}

fn job_names(file: &ClusterFile, jobs: &[JobFacts], problems: &mut Vec<Problem>) {
    let known = || jobs.iter().map(|job| job.name.as_str());
    for server in &file.server {
        let mut first: HashMap<&str, Place> = HashMap::new();
        for job in jobs_of(server) {
            let value = job.value.as_str();
            if let Some(earlier) = first.insert(value, job.place) {
                problems.push(
                    at(
                        job,
                        format!("the job `{value}` is listed twice in one component"),
                    )
                    .also(earlier, "it stands here first"),
                );
            }
            // A block that no component uses is told already, and its name may be the mistake.
            let by_name = server.jobs.is_none();
            if known().any(|name| name == value) || (by_name && !is_listed(file, server)) {
                continue;
            }
            let parts = composite::made_of(value, jobs).filter(|_| by_name);
            let help = match parts {
                Some(parts) => {
                    let parts = parts.join(", ");
                    format!("to run these jobs on one host, write `jobs: [{parts}]` in its block")
                }
                None => did_you_mean(value, known()).unwrap_or_else(|| {
                    let names = known().collect::<Vec<_>>().join(", ");
                    format!(
                        "there are {names}; a composite names its jobs in `jobs: […]`, and a job \
                         of your own is a folder in `jobs_dir`"
                    )
                }),
            };
            problems.push(at(job, format!("there is no job `{value}`")).help(help));
        }
    }
}

/// The place in the order of deployment at which each job is done first.
fn positions(file: &ClusterFile) -> BTreeMap<&str, usize> {
    let mut positions = BTreeMap::new();
    let ordered = file
        .components
        .iter()
        .filter_map(|name| server(file, &name.value));
    for (position, job) in ordered.flat_map(jobs_of).enumerate() {
        positions.entry(job.value.as_str()).or_insert(position);
    }
    positions
}

fn needs(file: &ClusterFile, jobs: &[JobFacts], problems: &mut Vec<Problem>) {
    let positions = positions(file);
    for name in &file.components {
        let Some(server) = server(file, &name.value) else {
            continue;
        };
        for job in jobs_of(server) {
            let Some(facts) = jobs.iter().find(|facts| facts.name == job.value) else {
                continue;
            };
            // What a composite runs is shown in its `jobs`, other components in the order.
            let place = if server.jobs.is_some() { job } else { name };
            for need in &facts.needs {
                let (job, needed, why) = (&job.value, &need.job, &need.why);
                match positions.get(needed.as_str()) {
                    None => problems.push(
                        at(
                            place,
                            format!("`{job}` needs `{needed}`, which no component runs"),
                        )
                        .expected(format!("a component with the job `{needed}`: {why}")),
                    ),
                    Some(position) if *position > positions[job.as_str()] => problems.push(
                        at(
                            place,
                            format!("`{job}` needs `{needed}`, which comes later"),
                        )
                        .help(earlier(file, name, job, needed, why)),
                    ),
                    Some(_) => {}
                }
            }
        }
    }
}

/// Says where a needed job has to move.
fn earlier(file: &ClusterFile, here: &At<String>, job: &str, needed: &str, why: &str) -> String {
    let runs = |server: &&Server| jobs_of(server).iter().any(|runs| runs.value == needed);
    let listed = file
        .components
        .iter()
        .filter_map(|name| server(file, &name.value));
    match listed
        .map(|server| (server, &server.name.value))
        .find(|(server, _)| runs(server))
    {
        Some((_, owner)) if *owner == here.value => {
            format!("in its `jobs`, list `{needed}` before `{job}`: {why}")
        }
        Some((_, owner)) if owner != needed => {
            let here = &here.value;
            format!("list `{owner}`, which runs `{needed}`, before `{here}`: {why}")
        }
        _ => format!("list `{needed}` before `{}`: {why}", here.value),
    }
}

fn top_level(file: &ClusterFile, problems: &mut Vec<Problem>) {
    for ((key, job), given) in TOP.into_iter().zip([&file.nats, &file.uaa, &file.cc]) {
        let Some(given) = given else { continue };
        let runs_it = |server: &&Server| jobs_of(server).iter().any(|runs| runs.value == job);
        let servers: Vec<&Server> = file.server.iter().filter(runs_it).collect();
        // The address that couldn't be read may be the one that is meant.
        if servers.iter().any(|server| server.hosts_incomplete) {
            continue;
        }
        let entries: Vec<&HostEntry> = servers.iter().flat_map(|server| &server.hosts).collect();
        // Without an entry another problem has been told already, or the job isn't there at all.
        let Some(first) = entries.first() else {
            continue;
        };
        if entries.iter().any(|entry| entry.ip.value == given.value) {
            continue;
        }
        problems.push(
            at(
                given,
                format!(
                    "`{key}` is {}, but {job} runs on {}",
                    given.value, first.ip.value
                ),
            )
            .expected(format!("{}, or `{key}` left out", first.ip.value))
            .also(first.ip.place, format!("{job} is here")),
        );
    }
}

fn instances(file: &ClusterFile, problems: &mut Vec<Problem>) {
    for server in &file.server {
        let mut addresses: HashMap<IpAddr, Place> = HashMap::new();
        let mut indices: HashMap<u32, Place> = HashMap::new();
        for (entry, position) in server.hosts.iter().zip(0..) {
            let address = entry.ip.value;
            if let Some(earlier) = addresses.insert(address, entry.ip.place) {
                problems.push(
                    at(
                        &entry.ip,
                        format!("{address} serves `{}` twice", server.name.value),
                    )
                    .also(earlier, "it stands here first"),
                );
            }
            let (index, place, len) = match &entry.index {
                Some(index) => (index.value, index.place, index.len),
                None => (position, entry.ip.place, entry.ip.len),
            };
            // Behind an entry that couldn't be read, positions aren't known.
            let earlier = indices
                .insert(index, place)
                .filter(|_| !server.hosts_incomplete);
            if let Some(earlier) = earlier {
                let message = format!(
                    "two hosts of `{}` have the index {index}",
                    server.name.value
                );
                problems.push(
                    Problem::new(place, len, message)
                        .also(earlier, "the other one is here")
                        .help("hosts without an index have their position, from 0"),
                );
            }
        }
    }
}

/// Who has something on a host: a job of a component, put there at this place of the file.
struct Owner<'a> {
    component: &'a str,
    job: &'a str,
    place: Place,
}

/// No job can be on a host twice, and no two services can listen on one port of it.
fn ports(file: &ClusterFile, jobs: &[JobFacts], problems: &mut Vec<Problem>) {
    let mut runs: HashMap<(IpAddr, &str), Owner<'_>> = HashMap::new();
    let mut listens: HashMap<(IpAddr, u16), Owner<'_>> = HashMap::new();
    for (server, entry) in used_entries(file) {
        let address = entry.ip.value;
        for job in jobs_of(server) {
            let owner = || Owner {
                component: &server.name.value,
                job: &job.value,
                place: entry.ip.place,
            };
            let Owner { component, job, .. } = owner();
            if let Some(other) = runs.get(&(address, job)) {
                // An address or a job that is listed twice in a component has been told already.
                if other.component != component {
                    let first = other.component;
                    let message =
                        format!("`{first}` and `{component}` both run `{job}` on {address}");
                    problems.push(
                        at(&entry.ip, message)
                            .also(other.place, format!("`{first}` is put there here"))
                            .help("a host can have a job once: leave it out of one of them"),
                    );
                }
                continue;
            }
            runs.insert((address, job), owner());
            let Some(facts) = jobs.iter().find(|facts| facts.name == job) else {
                continue;
            };
            for port in &facts.provides {
                let Some(other) = listens.get(&(address, port.number)) else {
                    listens.insert((address, port.number), owner());
                    continue;
                };
                let message = format!(
                    "`{job}` of `{component}` and `{}` of `{}` both listen on port {} of {address}",
                    other.job, other.component, port.number
                );
                problems.push(
                    at(&entry.ip, message)
                        .also(other.place, format!("`{}` is put there here", other.job))
                        .help("put one of them on another host"),
                );
            }
        }
    }
}

/// One machine has one login, whichever component names it.
fn logins(file: &ClusterFile, problems: &mut Vec<Problem>) {
    let mut first: HashMap<IpAddr, (super::SshSettings, Place)> = HashMap::new();
    for (server, entry) in used_entries(file) {
        // Said or not, a port is the same port.
        let settings = SshSettings {
            port_is_set: true,
            ..ssh(file, &[&entry.ssh, &server.ssh, &file.ssh])
        };
        let known = first
            .entry(entry.ip.value)
            .or_insert_with(|| (settings.clone(), entry.ip.place));
        if known.0 != settings {
            problems.push(
                at(
                    &entry.ip,
                    format!("{} has two different `ssh` settings", entry.ip.value),
                )
                .also(known.1, "the other one applies here")
                .help("set `ssh` for all hosts, or alike wherever the host is named"),
            );
        }
    }
}

fn rollouts(file: &ClusterFile, problems: &mut Vec<Problem>) {
    for server in &file.server {
        let hosts = server.hosts.len();
        let canaries = server.rollout.canaries.as_ref();
        // Hosts whose address couldn't be read aren't among those that are counted here.
        let min_up = server.rollout.min_up.as_ref();
        if let Some(all) = min_up.filter(|at| at.value >= hosts && !server.hosts_incomplete) {
            let message = format!(
                "min_up is {} and there {} {hosts}: none could ever be restarted",
                all.value,
                if hosts == 1 { "is only" } else { "are only" }
            );
            problems.push(at(all, message).expected(format!("less than {hosts}")));
        }
        if let Some(many) = canaries.filter(|at| at.value > hosts && !server.hosts_incomplete) {
            let message = format!(
                "there are more canaries ({}) than hosts ({hosts})",
                many.value
            );
            problems.push(at(many, message).expected(format!("at most {hosts}")));
        }
    }
}
