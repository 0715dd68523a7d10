//! What is to be read: the logs that the selected components' jobs declare, by host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::job::{Catalog, Context, Secrets};
use crate::model::{Cluster, Component, Host, Instance, Selection};

/// One log: a file, or the journal of a job's units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The host.
    pub host: IpAddr,
    /// The component.
    pub component: String,
    /// The job.
    pub job: String,
    /// How it's called beside others of the component; empty for the component's own log.
    pub label: String,
    /// Where it is.
    pub place: LogPlace,
}

/// Where a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// A file; relative to the login user's home where it isn't absolute.
    File(String),
    /// The journal of these units, each with its suffix.
    Journal(Vec<String>),
}

/// What a source reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Log files.
    Files,
    /// systemd's journal.
    Journal,
}

/// What one connection reads: all log files of a host, or its journal.
#[derive(Debug, Clone)]
pub struct Source {
    /// The host.
    pub host: Host,
    /// The login user there.
    pub user: String,
    /// Its home, as far as that's known here.
    pub home: String,
    /// What is read.
    pub kind: Kind,
    /// The numbers of its streams among all.
    pub streams: Vec<usize>,
}

/// All streams, and the sources that read them.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Every log, in the order of components, hosts and jobs.
    pub streams: Vec<Stream>,
    /// Who reads them.
    pub sources: Vec<Source>,
    /// The components that declare neither a log nor a unit.
    pub silent: Vec<String>,
}

impl Declared {
    /// Collects the logs of what is selected. A file or unit of a host that several jobs name is
    /// read once, for the first.
    pub fn of(cluster: &Cluster, catalog: &Catalog, selection: &Selection) -> Declared {
        let mut declared = Declared::default();
        let mut seen: BTreeSet<(IpAddr, String)> = BTreeSet::new();
        for component in &cluster.components {
            let before = declared.streams.len();
            let mut is_selected = false;
            for instance in &component.instances {
                if !selection.has(&component.name, instance.address) {
                    continue;
                }
                is_selected = true;
                for job in &component.jobs {
                    declared.add(component, instance, job, catalog, &mut seen);
                }
            }
            if is_selected && declared.streams.len() == before && !declares(component, catalog) {
                declared.silent.push(component.name.clone());
            }
        }
        declared.assign(cluster);
        declared
    }

    fn add(
        &mut self,
        component: &Component,
        instance: &Instance,
        job: &str,
        catalog: &Catalog,
        seen: &mut BTreeSet<(IpAddr, String)>,
    ) {
        let Some(health) = catalog.get(job).map(|job| job.health()) else {
            return;
        };
        let host = instance.address;
        let mut is_new = |name: &String| seen.insert((host, name.clone()));
        let mut files = health.log_files();
        files.retain(&mut is_new);
        let mut units = health.journal_units();
        units.retain(&mut is_new);
        let mut push = |label: String, place: LogPlace| {
            self.streams.push(Stream {
                host,
                component: component.name.clone(),
                job: job.to_owned(),
                label,
                place,
            });
        };
        for file in files {
            push(label_of(&component.name, job, &file), LogPlace::File(file));
        }
        if !units.is_empty() {
            let label = match component.name == job {
                true => "journal".to_owned(),
                false => format!("{job}.journal"),
            };
            push(label, LogPlace::Journal(units));
        }
    }

    /// Gives the streams of each host to a source for its files and one for its journal.
    fn assign(&mut self, cluster: &Cluster) {
        for host in &cluster.hosts {
            for kind in [Kind::Files, Kind::Journal] {
                let of_kind = |stream: &Stream| match stream.place {
                    LogPlace::File(_) => kind == Kind::Files,
                    LogPlace::Journal(_) => kind == Kind::Journal,
                };
                let all = self.streams.iter().enumerate();
                let own = all.filter(|(_, s)| s.host == host.address && of_kind(s));
                let streams: Vec<usize> = own.map(|(number, _)| number).collect();
                let Some(first) = streams.first() else {
                    continue;
                };
                let component = cluster.component(&self.streams[*first].component);
                let (user, home) = account(cluster, component, host);
                self.sources.push(Source {
                    host: host.clone(),
                    user,
                    home,
                    kind,
                    streams,
                });
            }
        }
    }
}

fn declares(component: &Component, catalog: &Catalog) -> bool {
    let healths = component.jobs.iter().filter_map(|job| catalog.get(job));
    let mut healths = healths.map(|job| job.health());
    healths.any(|health| !health.log_files().is_empty() || !health.journal_units().is_empty())
}

/// The login user of a host and its home, as every script of a job has them.
fn account(cluster: &Cluster, component: Option<&Component>, host: &Host) -> (String, String) {
    let user = host.ssh.user.clone();
    let secrets = Secrets::new();
    let instance = component.and_then(|component| {
        let mut instances = component.instances.iter();
        let instance = instances.find(|instance| instance.address == host.address)?;
        Some((component, instance))
    });
    let values = instance.and_then(|(component, instance)| {
        let context = Context {
            cluster,
            component,
            instance,
            secrets: &secrets,
            site_packages: None,
        };
        context.base_values().ok()
    });
    let text = |name: &str| {
        let values = values.as_ref()?;
        let mut values = values.iter();
        let (_, input) = values.find(|(known, _)| *known == name)?;
        input.value.as_str().map(str::to_owned)
    };
    let home = text("paas_home").unwrap_or_else(|| crate::job::home_of(cluster, &user));
    (text("paas_user").unwrap_or(user), home)
}

/// Names a file beside others of its component: `nats.log` of nats needs no name, `nats.stderr.log`
/// is `stderr`.
fn label_of(component: &str, job: &str, file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    let stem = name.strip_suffix(".log").unwrap_or(name);
    if component != job {
        return stem.to_owned();
    }
    match stem.strip_prefix(job) {
        Some("") => String::new(),
        Some(rest) if rest.starts_with('.') => rest[1..].to_owned(),
        _ => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_only_what_the_component_doesnt() {
        for (component, job, file, label) in [
            ("nats", "nats", "vcap/sys/log/nats.log", ""),
            ("nats", "nats", "vcap/sys/log/nats.stderr.log", "stderr"),
            (
                "redis",
                "redis",
                "/var/log/redis/redis-server.log",
                "redis-server",
            ),
            (
                "service",
                "mysql_node",
                "vcap/sys/log/mysql_node.log",
                "mysql_node",
            ),
        ] {
            assert_eq!(label_of(component, job, file), label, "{file}");
        }
    }
}
