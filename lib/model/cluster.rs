//! The immutable cluster: components in their order, their instances, the hosts below them.

use std::net::IpAddr;
use std::path::PathBuf;

use super::global_ks::GlobalKs;
use super::settings::{Release, SshSettings, Sudo, Vars};
use crate::cluster_file::Place;

/// A validated cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The cluster's name: `name` in the file, or the file's stem.
    pub name: String,
    /// The cluster file, as given (for messages such as `config/cluster.yml:2`).
    pub file: PathBuf,
    /// The components in the order in which they are deployed.
    pub components: Vec<Component>,
    /// Every machine once, in the order of first mention.
    pub hosts: Vec<Host>,
    /// What is unpacked on each host before a component can start; `None` when the file and the
    /// command line name no release.
    pub release: Option<Release>,
    /// How commands get root's rights.
    pub sudo: Sudo,
    /// Where site jobs are read from.
    pub jobs_dir: Option<PathBuf>,
    /// The folder of the site's own Debian packages, which a firstbox serves.
    pub site_packages: Option<PathBuf>,
    /// Values for every job's template.
    pub vars: Vars,
    /// The global control plane, if this cluster carries it.
    pub global_ks: Option<GlobalKs>,
}

/// An entry of `components` with its `server` block.
#[derive(Debug, Clone)]
pub struct Component {
    /// The name in `components`.
    pub name: String,
    /// The jobs that run on each of its hosts, in order; just `[name]` unless it is a composite.
    pub jobs: Vec<String>,
    /// One for each address, in the file's order.
    pub instances: Vec<Instance>,
    /// How many of its hosts may be worked on at once (`None`: as many as `--forks` allows).
    pub max_in_flight: Option<usize>,
    /// How many hosts are done, alone and first, before the others start.
    pub canaries: usize,
    /// How many failed hosts are borne before no further host of it is started (`None`: every
    /// host of the stage is tried).
    pub max_failures: Option<usize>,
    /// How many of its instances stay up while others are restarted or deployed anew; fewer than
    /// there are.
    pub min_up: usize,
    /// Values for this component's templates; they win over the cluster's.
    pub vars: Vars,
    /// Where the name stands in `components`.
    pub place: Place,
}

/// One component on one host.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The machine's address.
    pub address: IpAddr,
    /// The number of this instance among its component's, from 0 unless the file says otherwise.
    pub index: u32,
    /// Values for this instance's templates; they win over the component's.
    pub vars: Vars,
    /// Where the address stands under `server`.
    pub place: Place,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its address.
    pub address: IpAddr,
    /// How to log in.
    pub ssh: SshSettings,
    /// The Debian packages that bootstrap installs on it: the cluster's and those of the
    /// components that it carries, without repetition, sorted.
    pub packages: Vec<String>,
    /// Where its address stands first.
    pub place: Place,
}

/// What validation has to know of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// The job's name.
    pub name: String,
    /// The jobs it can't work without.
    pub needs: Vec<Need>,
    /// The TCP ports that it listens on.
    pub provides: Vec<Port>,
    /// Whether it drives a release (and so can't be built without one).
    pub needs_release: bool,
    /// The Debian packages that its own script installs.
    pub packages: Vec<String>,
    /// Why all its hosts need the same release of the system, where they do.
    pub needs_one_release: Option<String>,
}

/// A job that another one needs somewhere in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The needed job's name.
    pub job: String,
    /// What for, to be shown when it's missing ("messages between components").
    pub why: String,
}

/// A TCP port on which a job's service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What it is for ("client", "health").
    pub name: String,
    /// The port.
    pub number: u16,
}

impl Cluster {
    /// Finds a component by its name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|c| c.name == name)
    }

    /// Finds a machine by its address.
    pub fn host(&self, address: IpAddr) -> Option<&Host> {
        self.hosts.iter().find(|h| h.address == address)
    }

    /// Lists the instances that run `job`, in the order of components and addresses.
    pub fn instances_of_job<'a>(
        &'a self,
        job: &'a str,
    ) -> impl Iterator<Item = (&'a Component, &'a Instance)> {
        self.components
            .iter()
            .filter(move |c| c.jobs.iter().any(|j| j == job))
            .flat_map(|c| c.instances.iter().map(move |i| (c, i)))
    }
}

impl Component {
    /// Tells the name of the step that runs `job` for this component: the component's own name,
    /// or `<component>.<job>` in a composite.
    pub fn step_name(&self, job: &str) -> String {
        if self.jobs.len() == 1 && self.jobs[0] == self.name {
            self.name.clone()
        } else {
            format!("{}.{}", self.name, job)
        }
    }
}
