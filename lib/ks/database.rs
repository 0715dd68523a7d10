//! One of the two databases with all its servers, as the facts have them.

use std::net::IpAddr;

use serde::Serialize;

use super::facts::{KsFacts, Role, ServerView};
use crate::model::{Cluster, GlobalKs, any_one_of};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Db {
    /// Accounts, billing, API.
    Global,
    /// The disaster recovery of users' resources.
    Recovery,
}

impl Db {
    /// Names it as scripts do.
    pub fn name(self) -> &'static str {
        match self {
            Db::Global => "global",
            Db::Recovery => "recovery",
        }
    }

    /// The job that runs its servers.
    pub fn job(self) -> &'static str {
        match self {
            Db::Global => "pgserver",
            Db::Recovery => "recoverypgserver",
        }
    }
}

/// A server with its place.
#[derive(Debug, Clone, Serialize)]
pub struct Server<'a> {
    /// Its name: `global1a-pgserver0`.
    pub name: String,
    /// Where.
    pub host: IpAddr,
    /// Its room.
    pub room: &'a str,
    /// What it says; `None` where the host is silent.
    pub view: Option<&'a ServerView>,
}

impl Server<'_> {
    /// Tells its role; a silent host's is unknown.
    pub fn role(&self) -> Option<Role> {
        self.view.map(|view| view.role)
    }

    /// Whether it runs and can be asked.
    pub fn runs(&self) -> bool {
        self.role().is_some_and(|role| role != Role::Down)
    }

    /// Tells its state in a few words.
    pub fn words(&self) -> String {
        let Some(view) = self.view else {
            return "can't be reached".to_owned();
        };
        let role = match view.role {
            Role::Primary => "primary",
            Role::StandbyLeader => "follows the other room",
            Role::Standby => "standby",
            Role::Down => match &view.held {
                Some(why) => {
                    return format!("held back: {}", why.trim_start_matches("room-guard: "));
                }
                None => return format!("doesn't run (unit {})", view.unit),
            },
        };
        match view.timeline {
            Some(timeline) => format!("{role}, timeline {timeline}"),
            None => role.to_owned(),
        }
    }
}

/// A database.
#[derive(Debug, Clone, Serialize)]
pub struct Database<'a> {
    /// Which.
    pub db: Db,
    /// Its servers in the file's order.
    pub servers: Vec<Server<'a>>,
    /// Whether its primary never acknowledges alone: with three rooms.
    pub is_to_be_strict: bool,
}

impl<'a> Database<'a> {
    /// Puts together what is known of a database.
    pub fn of(cluster: &'a Cluster, ks: &'a GlobalKs, facts: &'a KsFacts, db: Db) -> Database<'a> {
        let server = |host: IpAddr| {
            let view = facts.hosts.get(&host);
            Some(Server {
                name: cluster.node_name(db.job(), host)?,
                host,
                room: ks.room_of(host)?.name.as_str(),
                view: view.and_then(|view| view.servers.get(db.name())),
            })
        };
        let hosts = cluster.instances_of_job(db.job());
        let hosts = hosts.map(|(_, instance)| instance.address);
        Database {
            db,
            servers: hosts.filter_map(server).collect(),
            is_to_be_strict: ks.scheme.heals_itself() && ks.rooms.len() > 2,
        }
    }

    /// Lists the servers that take writes.
    pub fn primaries(&self) -> Vec<&Server<'a>> {
        let is_primary = |server: &&Server<'a>| server.role() == Some(Role::Primary);
        self.servers.iter().filter(is_primary).collect()
    }

    /// Returns the one primary, where there is exactly one.
    pub fn primary(&self) -> Option<&Server<'a>> {
        match self.primaries()[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Lists a room's servers.
    pub fn in_room<'b>(&'b self, room: &'b str) -> impl Iterator<Item = &'b Server<'a>> + 'b {
        self.servers
            .iter()
            .filter(move |server| server.room == room)
    }

    /// Finds a server by its name.
    pub fn server(&self, name: &str) -> Option<&Server<'a>> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Whether a server receives from its source at this moment, on the primary's timeline. States
    /// alone don't tell: one that diverged looks well on its older timeline.
    pub fn follows(&self, server: &Server<'_>) -> bool {
        let timeline = self.primary().and_then(|primary| primary.view?.timeline);
        timeline.is_some() && server.view.and_then(|view| view.streams_on) == timeline
    }

    /// How many bytes a server is behind the primary.
    pub fn lag(&self, server: &Server<'_>) -> Option<u64> {
        let ahead = self.primary()?.view?.location?;
        Some(ahead.saturating_sub(server.view?.location?))
    }

    /// How many bytes a server has received and not replayed yet.
    pub fn unreplayed(&self, server: &Server<'_>) -> u64 {
        let bytes = |view: &ServerView| Some(view.location?.saturating_sub(view.replayed?));
        server.view.and_then(bytes).unwrap_or(0)
    }

    /// Whether commits ought to wait for another room always, and don't.
    pub fn lacks_strictness(&self) -> bool {
        let strict = self.primary().and_then(|primary| primary.view?.is_strict);
        self.is_to_be_strict && strict == Some(false)
    }

    /// Lists the servers that run beside one.
    pub fn running_beside<'b>(&'b self, server: &Server<'_>) -> Vec<&'b Server<'a>> {
        let others = self.servers.iter();
        others
            .filter(|other| other.runs() && other.name != server.name)
            .collect()
    }

    /// Lists the servers that don't follow the primary.
    pub fn strays(&self) -> Vec<&Server<'a>> {
        let strays = self
            .servers
            .iter()
            .filter(|server| server.role() != Some(Role::Primary) && !self.follows(server));
        strays.collect()
    }

    /// Whether losing the primary now would lose nothing that was acknowledged: its commits wait for
    /// servers, and one of these follows it.
    pub fn is_protected(&self) -> bool {
        self.primary().is_some_and(|primary| {
            let waits = primary.view.map_or("", |view| view.waits_for.as_str());
            let electable = primary.view.map_or(&[][..], |view| &view.electable);
            // Across rooms a person promotes whoever confirmed; in one cluster Patroni has to know.
            let counts = |other: &Server<'_>| match waits.starts_with("ANY ") {
                true => waits.contains(&format!("\"{}\"", other.name)),
                false => !waits.is_empty() && electable.contains(&other.name),
            };
            let mut others = self.servers.iter();
            others.any(|other| counts(other) && self.follows(other))
        })
    }

    /// `synchronous_standby_names` for any server of a room.
    pub fn any_of(&self, room: &str) -> String {
        any_one_of(self.in_room(room).map(|server| server.name.as_str()))
    }

    /// The addresses of a room's servers, in one line.
    pub fn addresses(&self, room: &str) -> String {
        let hosts: Vec<String> = self.in_room(room).map(|s| s.host.to_string()).collect();
        hosts.join(" ")
    }
}
