//! What the hosts say of the global control plane, as `deploy/ks/look.sh` prints it.
//!
//! A host's words are data: an unknown or damaged line is as if it weren't there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Every host that was asked.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KsFacts {
    /// Those that answered.
    pub hosts: BTreeMap<IpAddr, HostView>,
    /// Those that didn't, and why.
    pub silent: BTreeMap<IpAddr, String>,
}

/// One host's own account.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HostView {
    /// Its database servers by database: `global`, `recovery`.
    pub servers: BTreeMap<String, ServerView>,
    /// What its ZooKeeper is: `leader`, `follower`, `standalone`, or `none` where it serves nobody.
    pub zookeeper: Option<String>,
    /// Whether its ZooKeeper goes on without others of the ensemble, as a person told it.
    pub zookeeper_alone: bool,
    /// Whether its ZooKeeper is on its way back to the whole ensemble, or was and didn't clean up.
    pub zookeeper_rejoining: bool,
    /// Why the guard doesn't let its ZooKeeper start.
    pub zookeeper_held: Option<String>,
    /// The room that its entry leads to.
    pub entry: Option<String>,
    /// Whether haproxy runs.
    pub haproxy: Option<bool>,
    /// What haproxy leads to, by the front's name (`api-front`, `recovery-primary`): whether anybody is
    /// there behind it.
    pub fronts: BTreeMap<String, bool>,
    /// What the services say through its entry.
    pub health: Option<Health>,
    /// What pgpool reaches: the server's address and whether it's read-only (`10.8.4.11 false`), as
    /// PostgreSQL itself answered through the pool; or an error.
    pub pgpool: Option<String>,
    /// The room that the cache says serves; empty where nothing is cached.
    pub cached: Option<String>,
}

/// What a database server is at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows the other room, and its room's other servers follow it.
    StandbyLeader,
    /// It follows.
    Standby,
    /// It doesn't run.
    #[default]
    Down,
}

/// One database server.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServerView {
    /// What systemd says of its unit.
    pub unit: String,
    /// Its role.
    pub role: Role,
    /// The timeline that it is on.
    pub timeline: Option<u64>,
    /// How far it has written or replayed, in bytes of WAL.
    pub location: Option<u64>,
    /// How far it has replayed, in bytes of WAL; only of one that follows.
    pub replayed: Option<u64>,
    /// The identifier that its database got when it was made: another one is another database.
    pub identifier: Option<String>,
    /// Who follows it at this moment.
    pub followers: Vec<Follower>,
    /// Whose confirmation its commits wait for, as PostgreSQL writes it.
    pub waits_for: String,
    /// The synchronous standbys that Patroni would elect were the primary lost now. It notes them a
    /// moment after PostgreSQL begins to wait for them.
    pub electable: Vec<String>,
    /// Whether its room's configuration has it follow the other room.
    pub follows_other_room: Option<bool>,
    /// Whether Patroni lets no commit be acknowledged while no other server confirms.
    pub is_strict: Option<bool>,
    /// When the last write that it has was committed, in seconds since 1970; only of one that follows.
    pub replayed_at: Option<i64>,
    /// The zones whose own database is in it: `zone_alpha` is alpha's.
    pub zones: Vec<String>,
    /// The timeline on which it receives from its source at this moment.
    pub streams_on: Option<u64>,
    /// The timeline of the last checkpoint in its data directory, also where it doesn't run.
    pub checkpoint_timeline: Option<u64>,
    /// How its data directory was left, where there is one.
    pub closed: Option<Closed>,
    /// Why the guard doesn't let it start.
    pub held: Option<String>,
    /// Data directories that were kept aside.
    pub aside: Vec<String>,
    /// How many transactions of its own a room gave up when it followed again, and where the log with
    /// them is kept.
    pub given_up: Vec<GivenUp>,
    /// Whether such a log is kept in which nobody counted yet: it followed by itself.
    pub is_uncounted: bool,
}

/// What `pg_controldata` says of a data directory; it counts only while no server runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// `shut down`, `in production`, `shut down in recovery`, ….
    pub state: String,
    /// Where the last checkpoint is, in bytes of WAL.
    pub checkpoint: u64,
}

/// Transactions that are in no database any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenUp {
    /// How many.
    pub transactions: u64,
    /// The folder with their log, beside the data directory.
    pub kept: String,
}

/// A server that follows another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// Its name.
    #[serde(rename = "application_name")]
    pub name: String,
    /// `streaming`, `catchup`, ….
    pub state: String,
    /// `sync`, `quorum`, `potential` or `async`.
    pub sync_state: String,
}

/// The answer of `/health`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The room whose services answered.
    pub room: Option<String>,
    /// Whether that room serves.
    pub serving: bool,
    /// Whether it can write to the global database.
    pub writable: bool,
    /// The room that serves, as it knows.
    pub ks_master_zone: Option<String>,
    /// The address of the primary that it reached.
    pub primary: Option<String>,
    /// What is wrong.
    pub error: Option<String>,
}

/// `/cluster` of Patroni's REST interface.
#[derive(Default, Deserialize)]
struct Cluster {
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    role: String,
}

/// `/patroni` of Patroni's REST interface.
#[derive(Deserialize)]
struct Patroni {
    state: Option<String>,
    role: Option<String>,
    timeline: Option<u64>,
    #[serde(default)]
    xlog: Xlog,
    #[serde(default)]
    replication: Vec<Follower>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Xlog {
    location: Option<u64>,
    replayed_location: Option<u64>,
    received_location: Option<u64>,
}

impl HostView {
    /// Reads what the look printed.
    pub fn parse(output: &str) -> HostView {
        let mut view = HostView::default();
        for line in output.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.trim();
            match key {
                "zookeeper" => view.zookeeper = Some(rest.to_owned()),
                "alone" => view.zookeeper_alone = true,
                "rejoining" => view.zookeeper_rejoining = true,
                "zookeeper-why" if !rest.is_empty() => view.zookeeper_held = Some(rest.to_owned()),
                "entry" => view.entry = Some(rest.to_owned()),
                "haproxy" => view.haproxy = Some(rest == "active"),
                "front" => {
                    let (name, state) = rest.split_once(' ').unwrap_or((rest, ""));
                    view.fronts.insert(name.to_owned(), state == "UP");
                }
                "health" => {
                    let body = rest.split_once(' ').map_or("", |(_, body)| body);
                    view.health = Some(serde_json::from_str(body).unwrap_or_default());
                }
                "pgpool" => view.pgpool = Some(rest.to_owned()),
                "cached" => view.cached = Some(rest.to_owned()),
                "unit" | "node" | "config" | "cluster" | "sync" | "received" | "replayed"
                | "zones" | "why" | "control" | "system" | "closed" | "aside" | "given-up"
                | "uncounted" => {
                    let (database, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                    let server = view.servers.entry(database.to_owned()).or_default();
                    server.note(key, rest.trim());
                }
                _ => {}
            }
        }
        view
    }
}

impl ServerView {
    fn note(&mut self, key: &str, rest: &str) {
        let body = rest.split_once(' ').map_or("", |(_, body)| body);
        match key {
            "unit" => self.unit = rest.to_owned(),
            "node" => {
                let Ok(patroni) = serde_json::from_str::<Patroni>(body) else {
                    return;
                };
                let runs = patroni.state.as_deref() == Some("running");
                self.role = match patroni.role.as_deref() {
                    Some("master" | "primary") if runs => Role::Primary,
                    Some("standby_leader") if runs => Role::StandbyLeader,
                    Some(_) if runs => Role::Standby,
                    _ => Role::Down,
                };
                self.timeline = patroni.timeline;
                let xlog = patroni.xlog;
                let received = xlog.received_location.max(xlog.replayed_location);
                self.location = xlog.location.or(received);
                self.replayed = xlog.replayed_location;
                self.followers = patroni.replication;
            }
            "config" if rest.starts_with("200") => {
                let Ok(config) = serde_json::from_str::<serde_json::Value>(body) else {
                    return;
                };
                let follows = config.get("standby_cluster");
                self.follows_other_room = Some(follows.is_some_and(|it| !it.is_null()));
                let strict = config.get("synchronous_mode_strict");
                self.is_strict = Some(strict.is_some_and(|it| it == true));
            }
            "cluster" => {
                let cluster: Cluster = serde_json::from_str(body).unwrap_or_default();
                let members = cluster.members.into_iter();
                let elected = members.filter(|member| member.role == "sync_standby");
                self.electable = elected.map(|member| member.name).collect();
            }
            "sync" => self.waits_for = rest.to_owned(),
            "received" => {
                let mut words = rest.split_whitespace();
                if words.next() == Some("streaming") {
                    self.streams_on = words.next().and_then(|word| word.parse().ok());
                }
            }
            "zones" => self.zones = rest.split_whitespace().map(str::to_owned).collect(),
            "replayed" => self.replayed_at = rest.parse().ok(),
            "control" => self.checkpoint_timeline = rest.parse().ok(),
            "system" if !rest.is_empty() => self.identifier = Some(rest.to_owned()),
            "closed" => {
                let (lsn, state) = rest.split_once(' ').unwrap_or((rest, ""));
                let state = state.to_owned();
                self.closed = bytes_of_wal(lsn).map(|checkpoint| Closed { state, checkpoint });
            }
            "why" if !rest.is_empty() => self.held = Some(rest.to_owned()),
            "aside" => self.aside.push(rest.to_owned()),
            "uncounted" => self.is_uncounted = true,
            "given-up" => {
                let (count, kept) = rest.split_once(' ').unwrap_or((rest, ""));
                if let Some(transactions) = count.parse().ok().filter(|count| *count > 0) {
                    let kept = kept.to_owned();
                    self.given_up.push(GivenUp { transactions, kept });
                }
            }
            _ => {}
        }
    }
}

/// Reads PostgreSQL's `16/B374D848`: two halves in hexadecimal digits.
fn bytes_of_wal(lsn: &str) -> Option<u64> {
    let (high, low) = lsn.split_once('/')?;
    let half = |digits| u32::from_str_radix(digits, 16).ok().map(u64::from);
    Some(half(high)? << 32 | half(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_look_prints_and_passes_over_the_rest() {
        let view = HostView::parse(
            "unit global active\n\
             node global 200 {\"state\": \"running\", \"role\": \"master\", \"timeline\": 3, \
             \"xlog\": {\"location\": 67109216}, \"replication\": [{\"application_name\": \"b\", \
             \"state\": \"streaming\", \"sync_state\": \"sync\", \"sync_priority\": 1}]}\n\
             config global 200 {\"ttl\": 15}\n\
             sync global ANY 1 (\"b\")\n\
             received global \n\
             why global \n\
             unit recovery failed\nnode recovery 000\nwhy recovery room-guard: not started: no\n\
             zookeeper follower\nentry global1a\nhaproxy active\n\
             health 503 {\"room\": \"global1a\", \"serving\": true, \"writable\": false}\n\
             given-up recovery 39 wal.before-x\ngiven-up recovery 0 wal.before-y\nalone\n\
             cached \nnonsense\n",
        );
        assert!(view.zookeeper_alone);
        let given_up = &view.servers["recovery"].given_up;
        assert_eq!((given_up.len(), given_up[0].transactions), (1, 39));
        let global = &view.servers["global"];
        assert_eq!(global.role, Role::Primary);
        assert_eq!(
            (global.timeline, global.location),
            (Some(3), Some(67109216))
        );
        assert_eq!(global.followers[0].name, "b");
        assert_eq!(global.follows_other_room, Some(false));
        assert_eq!(global.waits_for, "ANY 1 (\"b\")");
        assert_eq!(view.servers["recovery"].role, Role::Down);
        assert!(
            view.servers["recovery"]
                .held
                .as_ref()
                .unwrap()
                .contains("not started")
        );
        assert_eq!(view.zookeeper.as_deref(), Some("follower"));
        assert!(view.health.as_ref().unwrap().serving);
        assert_eq!(view.cached.as_deref(), Some(""));
    }

    #[test]
    fn damaged_answers_are_as_if_they_were_not_there() {
        let view =
            HostView::parse("node global 200 {\"state\": \nconfig global 200 [1]\nhealth 200 x\n");
        assert_eq!(view.servers["global"].role, Role::Down);
        assert_eq!(view.servers["global"].follows_other_room, Some(false));
        assert_eq!(view.health, Some(Health::default()));
    }
}
