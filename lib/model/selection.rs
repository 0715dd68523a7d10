//! What a command is narrowed to: components by name, `--limit` by component or host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cluster::Cluster;
use super::composite;
use crate::cluster_file::suggest;

/// A part of a cluster: pairs of component and host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pairs: BTreeSet<(String, IpAddr)>,
    hosts: BTreeSet<IpAddr>,
}

/// A name that the cluster doesn't know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnknownName {
    /// What was given and what it could have been.
    message: String,
}

impl Selection {
    /// Tells whether a component is selected on a host.
    pub fn has(&self, component: &str, host: IpAddr) -> bool {
        self.pairs.contains(&(component.to_owned(), host))
    }

    /// Tells whether anything is selected on a host.
    pub fn has_host(&self, host: IpAddr) -> bool {
        self.hosts.contains(&host)
    }

    /// Tells whether a component is selected on any host.
    pub fn has_component(&self, component: &str) -> bool {
        self.pairs.iter().any(|(name, _)| name == component)
    }

    /// Lists the hosts in the order of their addresses.
    pub fn hosts(&self) -> impl Iterator<Item = IpAddr> {
        self.hosts.iter().copied()
    }
}

impl Cluster {
    /// Selects components (all without any) and narrows them by limits (each a component or an
    /// address; one of them has to fit). As the first tool had them, `all` is every component, and
    /// `cc` and `hm` are short names; a component that is really called so goes before.
    ///
    /// # Errors
    /// Every name that is neither, with the nearest known one; a selection that is empty.
    pub fn select(
        &self,
        components: &[String],
        limits: &[String],
    ) -> Result<Selection, UnknownName> {
        let names = || {
            self.components
                .iter()
                .map(|component| component.name.as_str())
        };
        let is_all = |name: &str| name == ALL && self.component(ALL).is_none();
        let components: Vec<&str> = components.iter().map(|name| self.named(name)).collect();
        let limits: Vec<&str> = limits.iter().map(|name| self.named(name)).collect();
        let mut unknown = Vec::new();
        for name in components
            .iter()
            .filter(|name| self.component(name).is_none() && !is_all(name))
        {
            unknown.push(described("component", name, suggest(name, names())));
        }
        let addresses: Vec<String> = self.hosts.iter().map(|h| h.address.to_string()).collect();
        for limit in &limits {
            let is_host = limit
                .parse()
                .is_ok_and(|address| self.host(address).is_some());
            if !is_host && self.component(limit).is_none() {
                let known = names().chain(addresses.iter().map(String::as_str));
                unknown.push(described("component or host", limit, suggest(limit, known)));
            }
        }
        if !unknown.is_empty() {
            return Err(UnknownName {
                message: unknown.join("\n"),
            });
        }
        let mut pairs = BTreeSet::new();
        for component in &self.components {
            let is_named = |name: &&str| *name == component.name || is_all(name);
            if !components.is_empty() && !components.iter().any(is_named) {
                continue;
            }
            for instance in &component.instances {
                let fits = |limit: &&str| {
                    *limit == component.name || limit.parse() == Ok(instance.address)
                };
                if limits.is_empty() || limits.iter().any(fits) {
                    pairs.insert((component.name.clone(), instance.address));
                }
            }
        }
        if pairs.is_empty() {
            let message = "nothing is left: no named component is on a host that --limit names";
            return Err(UnknownName {
                message: message.to_owned(),
            });
        }
        let hosts = pairs.iter().map(|(_, host)| *host).collect();
        Ok(Selection { pairs, hosts })
    }

    /// Returns the component that is meant by a name: itself, or the one that the name is short for.
    fn named<'a>(&self, name: &'a str) -> &'a str {
        match composite::long_name(name) {
            Some(long) if self.component(name).is_none() && self.component(long).is_some() => long,
            _ => name,
        }
    }
}

/// Stands for every component.
const ALL: &str = "all";

fn described(kind: &str, name: &str, suggestion: Option<String>) -> String {
    let help = suggestion
        .map(|known| format!("\nhelp: {known}"))
        .unwrap_or_default();
    format!("the cluster has no {kind} `{name}`{help}")
}
