//! The script that notes on a host which cluster it belongs to and which secrets it keeps.

use std::net::IpAddr;

use askama::Template;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::belonging::ClusterNote;
use super::facts::HostFacts;
use super::step::{Mode, Reason, Step, StepId};

/// What is to be kept on one host.
#[derive(Debug)]
pub struct Keepsake<'a> {
    /// Where.
    pub host: IpAddr,
    /// The cluster's note.
    pub note: &'a ClusterNote,
    /// The secrets, by name.
    pub secrets: Vec<(&'a str, &'a SecretString)>,
    /// The names of those that the cluster file says, which aren't kept on hosts.
    pub configured: Vec<&'a str>,
}

/// `deploy/keep.sh`.
#[derive(Template, Serialize)]
#[template(path = "keep.sh", config = "config/askama.toml")]
struct KeepScript<'a> {
    id: &'a str,
    clusters: String,
    secrets: Vec<KeptSecret<'a>>,
    configured: &'a [&'a str],
    note: String,
}

#[derive(Serialize)]
struct KeptSecret<'a> {
    name: &'a str,
    value: &'a str,
}

impl Keepsake<'_> {
    /// Tells whether the host has all of it already.
    pub fn is_there(&self, host: &HostFacts) -> bool {
        let kept = |name: &str| {
            let of_cluster = host.kept.get(&self.note.id);
            of_cluster.and_then(|secrets| secrets.get(name))
        };
        let has = |(name, value): &(&str, &SecretString)| {
            kept(name).is_some_and(|known| known.expose_secret() == value.expose_secret())
        };
        host.clusters.contains(self.note)
            && self.secrets.iter().all(has)
            && !self.configured.iter().any(|name| kept(name).is_some())
    }

    /// Makes the step that keeps it; `host` is what was seen there.
    ///
    /// # Errors
    /// Why the script can't be rendered.
    pub fn step(&self, host: &HostFacts) -> Result<Step, String> {
        let secrets = self.secrets.iter().map(|(name, value)| KeptSecret {
            name,
            value: value.expose_secret(),
        });
        let script = KeepScript {
            id: &self.note.id,
            clusters: host.cluster_ids.iter().map(|id| format!("{id} ")).collect(),
            secrets: secrets.collect(),
            configured: &self.configured,
            note: serde_json::to_string(self.note).expect("a note is plain data"),
        }
        .render()
        .map_err(|error| format!("deploy/keep.sh: {error}"))?;
        let id = StepId {
            step: "keep".to_owned(),
            host: self.host,
        };
        let reason = Reason::Asked {
            what: "keep".to_owned(),
        };
        Ok(Step {
            script,
            ..Step::without_script(id, Mode::Query, reason)
        })
    }
}
