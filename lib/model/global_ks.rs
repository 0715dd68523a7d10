//! The global control plane ("global KS") and the rooms that carry it.

use std::fmt;
use std::net::IpAddr;

use super::cluster::Cluster;
use crate::cluster_file::Place;

/// How the global control plane is spread over rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Three rooms that are all active; heals itself.
    ThreeRooms,
    /// Two active rooms and an arbiter apart from both; heals itself.
    TwoRoomsArbiter,
    /// Two rooms of one region, one active; a person switches.
    TwoRooms,
    /// The same on the machines of the zone's own control plane, in one database cluster with it.
    TwoRoomsConverged,
    /// Two rooms far from each other: asynchronous replication between them.
    TwoRoomsNoRegion,
}

impl Scheme {
    /// Every scheme, the safest first.
    pub const ALL: [Scheme; 5] = [
        Scheme::ThreeRooms,
        Scheme::TwoRoomsArbiter,
        Scheme::TwoRooms,
        Scheme::TwoRoomsConverged,
        Scheme::TwoRoomsNoRegion,
    ];

    /// Names it as the cluster file does.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::ThreeRooms => "three-rooms",
            Scheme::TwoRoomsArbiter => "two-rooms-arbiter",
            Scheme::TwoRooms => "two-rooms",
            Scheme::TwoRoomsConverged => "two-rooms-converged",
            Scheme::TwoRoomsNoRegion => "two-rooms-no-region",
        }
    }

    /// Finds a scheme by its name.
    pub fn named(name: &str) -> Option<Scheme> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// How many rooms it has; the arbiter isn't one.
    pub fn rooms(self) -> usize {
        match self {
            Scheme::ThreeRooms => 3,
            _ => 2,
        }
    }

    /// Whether one ZooKeeper ensemble and one database cluster go across the rooms, so that every
    /// room serves and a majority decides without a person. Otherwise each room has its own, one
    /// room serves, and the other follows it.
    pub fn heals_itself(self) -> bool {
        matches!(self, Scheme::ThreeRooms | Scheme::TwoRoomsArbiter)
    }

    /// Whether a write of the global database is acknowledged only once another room has it.
    pub fn is_synchronous_across_rooms(self) -> bool {
        self != Scheme::TwoRoomsNoRegion
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `global_ks` of the cluster file.
#[derive(Debug, Clone)]
pub struct GlobalKs {
    /// The scheme.
    pub scheme: Scheme,
    /// The rooms; the first one serves to begin with, where only one does.
    pub rooms: Vec<Room>,
    /// The host apart from both rooms, where the scheme has one.
    pub arbiter: Option<IpAddr>,
    /// Whether there is a recovery database.
    pub recovery_pg: bool,
    /// Where the scheme stands in the file.
    pub place: Place,
}

/// A data centre that carries the global control plane.
#[derive(Debug, Clone)]
pub struct Room {
    /// Its name: `global1a`.
    pub name: String,
    /// Its machines.
    pub hosts: Vec<IpAddr>,
    /// The availability zone in the same data centre.
    pub zone: Option<String>,
    /// The address that moves between its proxies.
    pub vip: Option<IpAddr>,
    /// Where its name stands in the file.
    pub place: Place,
}

impl GlobalKs {
    /// Whether commits of the database that this job serves wait for the other room, where a person
    /// switches between two: the global one where the scheme says so, the recovery database always.
    pub fn waits_across(&self, job: &str) -> bool {
        self.scheme.is_synchronous_across_rooms() || job == "recoverypgserver"
    }

    /// Finds the room that a host stands in; an arbiter stands in none.
    pub fn room_of(&self, host: IpAddr) -> Option<&Room> {
        self.rooms.iter().find(|room| room.hosts.contains(&host))
    }

    /// Finds a room by its name.
    pub fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.name == name)
    }

    /// Returns the room across, in the schemes in which a person switches between two.
    pub fn other_room(&self, name: &str) -> Option<&Room> {
        let mut others = self.rooms.iter().filter(|room| room.name != name);
        others.next().filter(|_| self.rooms.len() == 2)
    }
}

impl Cluster {
    /// Lists the hosts of a room that run a job, in the file's order.
    pub fn hosts_in<'a>(&'a self, room: &'a Room, job: &'a str) -> Vec<IpAddr> {
        self.instances_of_job(job)
            .map(|(_, instance)| instance.address)
            .filter(|host| room.hosts.contains(host))
            .collect()
    }

    /// Names a host's server as the operations do: room, job, and its number in the room, as in
    /// `global1a-pgserver0`.
    pub fn node_name(&self, job: &str, host: IpAddr) -> Option<String> {
        let room = self.global_ks.as_ref()?.room_of(host)?;
        let hosts = self.hosts_in(room, job);
        let number = hosts.iter().position(|other| *other == host)?;
        Some(format!("{}-{job}{number}", room.name))
    }
}

/// Writes PostgreSQL's `synchronous_standby_names` for any one of these servers.
pub fn any_one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    format!("ANY 1 ({})", names.join(","))
}
