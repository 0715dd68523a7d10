//! Whether the rooms of the global control plane can do what their scheme promises.

use std::collections::HashMap;
use std::net::IpAddr;

use super::global_ks::Scheme;
use super::validate::{at, jobs_of, used_entries};
use crate::cluster_file::{ClusterFile, GlobalKsEntry, Place, Problem, RoomEntry};

/// The jobs that every room has.
const IN_EVERY_ROOM: [(&str, &str); 6] = [
    ("zookeeper", "services find and elect each other there"),
    (
        "memcached",
        "the services of a room share what they looked up",
    ),
    ("pgserver", "a room without a database can't take over"),
    (
        "proxy",
        "it's the room's entry, and its way to the database",
    ),
    ("pgpool", "the services reach the database through it"),
    ("webservice", "these are the services themselves"),
];
/// The jobs that only make sense in a room.
const OF_ROOMS: [&str; 8] = [
    "zookeeper",
    "memcached",
    "cassandra",
    "pgserver",
    "recoverypgserver",
    "proxy",
    "pgpool",
    "webservice",
];
const RECOVERY: &str = "recoverypgserver";

/// Adds everything that doesn't fit.
pub(super) fn check(file: &ClusterFile, problems: &mut Vec<Problem>) {
    match &file.global_ks {
        None => without_rooms(file, problems),
        Some(ks) => {
            // The reader has told what else a scheme can't be.
            if let Some(scheme) = Scheme::named(&ks.scheme.value) {
                rooms(ks, scheme, problems);
                arbiter(file, ks, scheme, problems);
                placement(file, ks, problems);
                // A room too few is the cause of all that it would be missing.
                if ks.rooms.len() == scheme.rooms() {
                    contents(file, ks, problems);
                    quorum(file, ks, scheme, problems);
                    servers(file, ks, scheme, problems);
                }
                recovery(file, ks, problems);
            }
        }
    }
}

/// Every host that runs a job, with where it stands.
fn hosts_of<'a>(
    file: &'a ClusterFile,
    job: &'a str,
) -> impl Iterator<Item = (IpAddr, Place, usize)> + 'a {
    used_entries(file)
        .filter(move |(server, _)| jobs_of(server).iter().any(|name| name.value == job))
        .map(|(_, entry)| (entry.ip.value, entry.ip.place, entry.ip.len))
}

fn count_in(file: &ClusterFile, room: &RoomEntry, job: &str) -> usize {
    let is_there = |host: IpAddr| room.hosts.iter().any(|known| known.value == host);
    hosts_of(file, job)
        .filter(|(host, ..)| is_there(*host))
        .count()
}

fn without_rooms(file: &ClusterFile, problems: &mut Vec<Problem>) {
    for (server, job) in file
        .server
        .iter()
        .flat_map(|server| jobs_of(server).into_iter().map(move |job| (server, job)))
    {
        if OF_ROOMS.contains(&job.value.as_str())
            && file
                .components
                .iter()
                .any(|name| name.value == server.name.value)
        {
            let message = format!("`{}` needs `global_ks`, which isn't in the file", job.value);
            problems.push(
                at(job, message)
                    .expected("`global_ks` with the scheme and its rooms")
                    .help("`paas-cluster-build explain scheme` shows the schemes"),
            );
        }
    }
}

fn rooms(ks: &GlobalKsEntry, scheme: Scheme, problems: &mut Vec<Problem>) {
    let (wanted, there) = (scheme.rooms(), ks.rooms.len());
    if wanted != there {
        let why = match scheme {
            Scheme::ThreeRooms => {
                "only with three rooms is a majority left when one goes dark; for two, take a \
                 two-rooms scheme"
            }
            _ => "this scheme is for two rooms; for three, take three-rooms",
        };
        problems.push(
            at(
                &ks.scheme,
                format!("{scheme} has {wanted} rooms, and there are {there}"),
            )
            .help(why),
        );
    }
    let mut names: HashMap<&str, Place> = HashMap::new();
    let mut hosts: HashMap<IpAddr, (&str, Place)> = HashMap::new();
    let mut zones: HashMap<&str, Place> = HashMap::new();
    for room in &ks.rooms {
        match &room.zone {
            Some(zone) => {
                if let Some(earlier) = zones.insert(&zone.value, zone.place) {
                    problems.push(
                        at(zone, format!("two rooms have the zone `{}`", zone.value))
                            .also(earlier, "the other one is here")
                            .help("a zone's machines stand in one room"),
                    );
                }
            }
            None if scheme == Scheme::TwoRoomsConverged => problems.push(
                at(
                    &room.name,
                    format!("the room `{}` names no zone", room.name.value),
                )
                .expected("`zone: NAME`")
                .help("the converged scheme carries the zones' own databases, by their names"),
            ),
            None => {}
        }
        let name = room.name.value.as_str();
        if let Some(earlier) = names.insert(name, room.name.place) {
            problems.push(
                at(&room.name, format!("two rooms are called `{name}`"))
                    .also(earlier, "the other one is here"),
            );
        }
        for host in &room.hosts {
            if let Some((other, place)) = hosts.insert(host.value, (name, host.place)) {
                problems.push(
                    at(host, format!("{} stands in two rooms", host.value))
                        .also(place, format!("it stands in `{other}` here"))
                        .help("a machine goes dark with its room, so it can be in one only"),
                );
            }
        }
    }
}

fn arbiter(file: &ClusterFile, ks: &GlobalKsEntry, scheme: Scheme, problems: &mut Vec<Problem>) {
    let Some(arbiter) = &ks.arbiter else {
        if scheme == Scheme::TwoRoomsArbiter {
            problems.push(
                at(&ks.scheme, format!("{scheme} needs an arbiter"))
                    .expected("`arbiter: ADDRESS`, a host apart from both rooms"),
            );
        }
        return;
    };
    if scheme != Scheme::TwoRoomsArbiter {
        let why = match scheme {
            Scheme::TwoRoomsConverged => {
                "the converged scheme can't take an arbiter, now or later: its ZooKeeper is shared \
                 with the zone's own control plane in each room"
            }
            Scheme::ThreeRooms => "three rooms have a majority by themselves: leave it out",
            _ => "each room has its own ZooKeeper here; with an arbiter, take two-rooms-arbiter",
        };
        problems.push(at(arbiter, format!("{scheme} has no arbiter")).help(why));
        return;
    }
    let room = ks
        .rooms
        .iter()
        .find(|room| room.hosts.iter().any(|host| host.value == arbiter.value));
    if let Some(room) = room {
        problems.push(
            at(
                arbiter,
                format!("the arbiter stands in the room `{}`", room.name.value),
            )
            .also(room.name.place, "this room")
            .help("it would go dark with that room; it has to be apart from both"),
        );
    }
    if !hosts_of(file, "zookeeper").any(|(host, ..)| host == arbiter.value) {
        problems.push(
            at(arbiter, format!("{} runs no `zookeeper`", arbiter.value))
                .expected("a component with the job `zookeeper` there: that's the arbiter's work"),
        );
    }
    for job in OF_ROOMS.into_iter().filter(|job| *job != "zookeeper") {
        for (_, place, len) in hosts_of(file, job).filter(|(host, ..)| *host == arbiter.value) {
            problems.push(
                Problem::new(place, len, format!("the arbiter can't run `{job}`"))
                    .help("it gives its vote and nothing else: put this into a room"),
            );
        }
    }
}

/// Every machine of a room is one of the cluster's, and what belongs into a room is in one.
fn placement(file: &ClusterFile, ks: &GlobalKsEntry, problems: &mut Vec<Problem>) {
    let is_used = |host: IpAddr| used_entries(file).any(|(_, entry)| entry.ip.value == host);
    for host in ks.rooms.iter().flat_map(|room| &room.hosts) {
        if !is_used(host.value) {
            problems.push(
                at(host, format!("no component runs on {}", host.value))
                    .expected("an address under `server`"),
            );
        }
    }
    let mut told: Vec<IpAddr> = Vec::new();
    for job in OF_ROOMS {
        for (host, place, len) in hosts_of(file, job) {
            let is_arbiter = ks.arbiter.as_ref().is_some_and(|at| at.value == host);
            let mut rooms = ks.rooms.iter().flat_map(|room| &room.hosts);
            if !is_arbiter && !rooms.any(|known| known.value == host) && !told.contains(&host) {
                told.push(host);
                let message = format!("{host} runs `{job}`, but stands in no room");
                problems.push(
                    Problem::new(place, len, message)
                        .expected("the address in the `hosts` of a room of `global_ks`"),
                );
            }
        }
    }
}

fn contents(file: &ClusterFile, ks: &GlobalKsEntry, problems: &mut Vec<Problem>) {
    for room in &ks.rooms {
        for (job, why) in IN_EVERY_ROOM {
            if count_in(file, room, job) == 0 {
                let message = format!("no host of the room `{}` runs `{job}`", room.name.value);
                problems.push(at(&room.name, message).help(why));
            }
        }
    }
}

/// A majority has to be left when any one room goes dark; where each room has an ensemble of its
/// own, an even one bears no more losses than one fewer.
fn quorum(file: &ClusterFile, ks: &GlobalKsEntry, scheme: Scheme, problems: &mut Vec<Problem>) {
    let all = hosts_of(file, "zookeeper").count();
    for room in &ks.rooms {
        let here = count_in(file, room, "zookeeper");
        let name = &room.name.value;
        if !scheme.heals_itself() {
            if here > 0 && here.is_multiple_of(2) {
                problems.push(
                    at(
                        &room.name,
                        format!("the room `{name}` has {here} ZooKeepers"),
                    )
                    .expected("an odd number: 1 or 3")
                    .help("an even ensemble bears no more losses than one with one fewer"),
                );
            }
        } else if (all - here) * 2 <= all {
            let message = format!(
                "without `{name}`, {} of {all} ZooKeepers are left",
                all - here
            );
            problems.push(
                at(&room.name, message)
                    .expected("more than half, or nobody can decide when this room goes dark")
                    .help("spread them evenly, one in each room and one on the arbiter"),
            );
        }
    }
}

/// Where commits wait for the other room alone, a second server in the room may lack what only the
/// other room has confirmed, and would be elected all the same.
fn servers(file: &ClusterFile, ks: &GlobalKsEntry, scheme: Scheme, problems: &mut Vec<Problem>) {
    if scheme.heals_itself() {
        // As many standbys as commits wait for must not fit into the primary's own room.
        let most = scheme.rooms() - 1;
        for room in &ks.rooms {
            for job in ["pgserver", RECOVERY] {
                let there = count_in(file, room, job);
                if there > most {
                    let message = format!("the room `{}` has {there} `{job}`", room.name.value);
                    problems.push(at(&room.name, message).expected(format!("at most {most}")).help(
                        "commits could be confirmed by servers of this room alone, and be lost with \
                         it",
                    ));
                }
            }
        }
        return;
    }
    let mut alone = vec![RECOVERY];
    if scheme.is_synchronous_across_rooms() {
        alone.push("pgserver");
    }
    for room in &ks.rooms {
        for job in &alone {
            let there = count_in(file, room, job);
            if there > 1 {
                let message = format!("the room `{}` has {there} `{job}`", room.name.value);
                problems.push(at(&room.name, message).expected("one").help(
                    "commits wait for the other room; a second server here could be elected \
                     without what only that room has confirmed",
                ));
            }
        }
    }
}

fn recovery(file: &ClusterFile, ks: &GlobalKsEntry, problems: &mut Vec<Problem>) {
    let wanted = ks.recovery_pg.as_ref().is_some_and(|at| at.value);
    if !wanted {
        for (host, place, len) in hosts_of(file, RECOVERY) {
            let message = format!("{host} runs `{RECOVERY}`, but recovery_pg isn't true");
            problems.push(
                Problem::new(place, len, message)
                    .help("set `global_ks.recovery_pg: true`, or leave the component out"),
            );
        }
        return;
    }
    for room in &ks.rooms {
        if count_in(file, room, RECOVERY) == 0 {
            let message = format!(
                "no host of the room `{}` runs `{RECOVERY}`",
                room.name.value
            );
            problems.push(
                at(&room.name, message)
                    .help("recovery_pg is true: the recovery database has a server in each room"),
            );
        }
    }
}
