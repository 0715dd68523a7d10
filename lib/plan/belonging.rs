//! Which cluster a host's receipts and secrets belong to. A cluster has an id, made at its first run
//! and noted on each of its hosts; a name alone proves nothing, since two files may have the same.
//!
//! A host's words are data here as well: a note that can't be read is as if it weren't there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, HostFacts, HostState};
use crate::model::Cluster;

/// The note's format; one of another isn't read.
const FORMAT: u32 = 1;

/// Components on hosts, as pairs.
pub type Instances = BTreeSet<(IpAddr, String)>;

/// What lies on every host of a cluster, in `clusters/<id>.json`: who belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNote {
    /// The note's format.
    pub format: u32,
    /// The cluster's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its hosts, also those that were taken down.
    pub members: BTreeMap<IpAddr, Member>,
}

/// One host of a cluster, as it was when a run last dealt with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its components; none once it was taken down.
    pub components: BTreeSet<String>,
    /// Whether the file no longer had it at the last run.
    #[serde(default)]
    pub left: bool,
    /// When that was, by the operator's clock: of two notes, the newer one is right.
    pub at: jiff::Timestamp,
}

/// What is known of the cluster that a file describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belonging {
    /// The cluster's name.
    pub name: String,
    /// The id that new receipts get.
    pub id: String,
    /// Every id under which its hosts know it: more than one after two first runs at once.
    pub ids: BTreeSet<String>,
    /// Whether no host has the id yet.
    pub is_new: bool,
    /// Its hosts by all notes, the newest for each.
    pub members: BTreeMap<IpAddr, Member>,
    /// The other clusters on its hosts: id, name and hosts.
    pub others: Vec<ClusterNote>,
}

/// Whose a step on a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The cluster's own, or nobody's.
    Own,
    /// Another cluster's.
    Other {
        /// The other's name.
        name: String,
        /// Its id; `None` where an older version of the tool built it.
        id: Option<String>,
    },
}

impl ClusterNote {
    /// Reads a note; `None` when it's damaged or of another format.
    pub fn parse(text: &str) -> Option<ClusterNote> {
        let note: ClusterNote = serde_json::from_str(text).ok()?;
        let is_id = |c: char| c.is_ascii_alphanumeric();
        let is_fine = note.format == FORMAT && !note.id.is_empty() && note.id.chars().all(is_id);
        is_fine.then_some(note)
    }

    fn instances(&self) -> Instances {
        instances_of(&self.members)
    }
}

/// Lists the components on the hosts of a file.
pub fn instances(cluster: &Cluster) -> Instances {
    let of = |component: &crate::model::Component| {
        let name = component.name.clone();
        let addresses: Vec<IpAddr> = component.instances.iter().map(|i| i.address).collect();
        addresses.into_iter().map(move |host| (host, name.clone()))
    };
    cluster.components.iter().flat_map(of).collect()
}

/// Tells whether two sets of instances are one cluster's at two times: more than half of the larger
/// one is in both. A file that was copied and edited for other machines has less in common.
pub fn fits(one: &Instances, other: &Instances) -> bool {
    one.intersection(other).count() * 2 > one.len().max(other.len())
}

fn instances_of(members: &BTreeMap<IpAddr, Member>) -> Instances {
    let there = members.iter().filter(|(_, member)| !member.left);
    let of = |(host, member): (&IpAddr, &Member)| {
        let host = *host;
        let names: Vec<String> = member.components.iter().cloned().collect();
        names.into_iter().map(move |name| (host, name))
    };
    there.flat_map(of).collect()
}

impl Belonging {
    /// Learns from the hosts which cluster the file describes: `known` is the id that this machine
    /// remembers, `adopted` are names or ids that the operator has named, `fresh` is the id of a
    /// cluster that nobody has built yet.
    pub fn learn(
        cluster: &Cluster,
        facts: &Facts,
        known: Option<&str>,
        adopted: &BTreeSet<String>,
        fresh: &str,
    ) -> Belonging {
        let notes = merged(facts);
        let own = instances(cluster);
        let is_own = |note: &ClusterNote| {
            known == Some(note.id.as_str())
                || note.name == cluster.name
                    && (fits(&note.instances(), &own)
                        || adopted.contains(&note.name)
                        || adopted.contains(&note.id))
        };
        let (mine, others): (Vec<_>, Vec<_>) = notes.into_values().partition(|n| is_own(&n.0));
        let mut ids: BTreeSet<String> = mine.iter().map(|(note, _)| note.id.clone()).collect();
        // The id that most hosts carry, unless this machine knows one that any of them carries.
        let most = mine
            .iter()
            .max_by_key(|(note, hosts)| (*hosts, std::cmp::Reverse(&note.id)));
        let id = match (known, most) {
            (Some(known), _) if ids.contains(known) => known.to_owned(),
            (_, Some((note, _))) => note.id.clone(),
            (Some(known), None) => known.to_owned(),
            (None, None) => fresh.to_owned(),
        };
        let is_new = mine.is_empty();
        ids.insert(id.clone());
        let mut members = BTreeMap::new();
        for (note, _) in mine {
            merge(&mut members, note.members);
        }
        Belonging {
            name: cluster.name.clone(),
            id,
            ids,
            is_new,
            members,
            others: others.into_iter().map(|(note, _)| note).collect(),
        }
    }

    /// Tells whose a step on a host is.
    pub fn owner(&self, host: &HostFacts, step: &str) -> Owner {
        let Some(receipt) = host.receipts.get(step) else {
            return Owner::Own;
        };
        match (&receipt.stamp.cluster_id, &receipt.stamp.cluster_name) {
            (Some(id), _) if self.ids.contains(id) => Owner::Own,
            (Some(id), name) => Owner::Other {
                name: name.clone().unwrap_or_default(),
                id: Some(id.clone()),
            },
            // An older version's receipt names no cluster; what lies beside its run may.
            (None, _) => match host.built_for.get(step) {
                Some(name) if *name != self.name => Owner::Other {
                    name: name.clone(),
                    id: None,
                },
                _ => Owner::Own,
            },
        }
    }

    /// Tells whether a host has anything of this cluster's and nothing of another's.
    pub fn has_alone(&self, host: &HostFacts) -> bool {
        let mut steps = host.receipts.keys();
        steps.all(|step| self.owner(host, step) == Owner::Own)
    }

    /// Writes what the hosts are to know after a run that dealt with some of them.
    pub fn note(
        &self,
        cluster: &Cluster,
        dealt_with: impl IntoIterator<Item = (IpAddr, BTreeSet<String>)>,
        at: jiff::Timestamp,
    ) -> ClusterNote {
        let mut members = self.members.clone();
        for (host, components) in dealt_with {
            let is_same = |m: &Member| m.components == components && !m.left;
            if !members.get(&host).is_some_and(is_same) {
                let left = false;
                let member = Member {
                    components,
                    left,
                    at,
                };
                members.insert(host, member);
            }
        }
        for (host, member) in &mut members {
            let left = cluster.host(*host).is_none();
            if member.left != left {
                (member.left, member.at) = (left, at);
            }
        }
        ClusterNote {
            format: FORMAT,
            id: self.id.clone(),
            name: self.name.clone(),
            members,
        }
    }

    /// Names the hosts that the file no longer has, with their components, as any host knows them.
    pub fn gone(&self, cluster: &Cluster) -> BTreeMap<IpAddr, Vec<String>> {
        let members = self.members.iter();
        let gone = members.filter(|(host, member)| {
            cluster.host(**host).is_none() && !member.components.is_empty()
        });
        gone.map(|(host, member)| (*host, member.components.iter().cloned().collect()))
            .collect()
    }
}

/// Every cluster that the hosts tell of, by id, with how many of them do.
fn merged(facts: &Facts) -> BTreeMap<String, (ClusterNote, usize)> {
    let mut merged: BTreeMap<String, (ClusterNote, usize)> = BTreeMap::new();
    for state in facts.hosts.values() {
        let HostState::Known(host) = state else {
            continue;
        };
        for note in &host.clusters {
            let entry = merged.entry(note.id.clone());
            let (known, hosts) = entry.or_insert_with(|| (note.clone(), 0));
            *hosts += 1;
            merge(&mut known.members, note.members.clone());
        }
    }
    merged
}

fn merge(into: &mut BTreeMap<IpAddr, Member>, from: BTreeMap<IpAddr, Member>) {
    for (host, member) in from {
        match into.get(&host) {
            Some(known) if known.at >= member.at => {}
            _ => {
                into.insert(host, member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(u8, &str)]) -> Instances {
        let pair =
            |(host, name): &(u8, &str)| (IpAddr::from([10, 0, 0, *host]), (*name).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_cluster_that_changed_is_told_from_a_copy_for_other_machines() {
        let then = set(&[(1, "nats"), (1, "router"), (2, "router"), (3, "uaa")]);
        let replaced = set(&[(1, "nats"), (1, "router"), (2, "router"), (4, "uaa")]);
        let grown = set(&[
            (1, "nats"),
            (1, "router"),
            (2, "router"),
            (3, "uaa"),
            (4, "dea"),
        ]);
        let copied = set(&[(1, "nats"), (5, "router"), (6, "router"), (7, "uaa")]);
        let beside = set(&[(1, "proxy"), (2, "proxy")]);
        assert!(fits(&then, &then) && fits(&then, &replaced) && fits(&grown, &then));
        assert!(!fits(&then, &copied) && !fits(&then, &beside));
        assert!(!fits(&set(&[]), &set(&[])));
    }

    #[test]
    fn of_two_notes_the_newer_word_on_each_host_counts() {
        let member = |name: &str, at: i64| Member {
            components: [name.to_owned()].into(),
            left: false,
            at: jiff::Timestamp::from_second(at).unwrap(),
        };
        let host = |last| IpAddr::from([10, 0, 0, last]);
        let mut known = BTreeMap::from([(host(1), member("old", 1)), (host(2), member("new", 9))]);
        merge(
            &mut known,
            BTreeMap::from([(host(1), member("new", 5)), (host(2), member("old", 5))]),
        );
        for last in [1, 2] {
            assert!(known[&host(last)].components.contains("new"), "{last}");
        }
    }

    #[test]
    fn a_note_that_could_be_anything_else_is_none() {
        for text in [
            "",
            "{}",
            "{\"format\":2,\"id\":\"a\",\"name\":\"n\",\"members\":{}}",
            "{\"format\":1,\"id\":\"../a\",\"name\":\"n\",\"members\":{}}",
        ] {
            assert_eq!(ClusterNote::parse(text), None, "{text}");
        }
        let fine = "{\"format\":1,\"id\":\"a1\",\"name\":\"n\",\"members\":{}}";
        assert!(ClusterNote::parse(fine).is_some());
    }
}
