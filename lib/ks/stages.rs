//! The stages that several operations are made of.

use std::net::IpAddr;

use serde_json::json;

use super::Site;
use super::database::{Database, Db, Server};
use crate::operation::{KsScript, KsTask, Outline, Task};

/// A stage in which every host does the same.
pub(super) fn stage(name: &str, tasks: Vec<KsTask>) -> Outline {
    Outline::unlimited(name, tasks.into_iter().map(Task::from).collect())
}

/// A task about a database.
pub(super) fn about(db: Db, script: KsScript, host: IpAddr) -> KsTask {
    KsTask::new(script, host).with("database", db.name())
}

/// Stops a room's servers: those that follow first, so that none takes over from the one that leads.
/// `follower` must be following the primary at that moment.
pub(super) fn stop_room(database: &Database<'_>, room: &str, follower: &str) -> Vec<Outline> {
    let stop = |server: &Server<'_>| {
        let task = about(database.db, KsScript::Stop, server.host);
        let is_primary = server.role() == Some(super::Role::Primary);
        task.with("follower", if is_primary { follower } else { "" })
    };
    let reachable = database
        .in_room(room)
        .filter(|server| server.view.is_some());
    let (leading, following): (Vec<_>, Vec<_>) =
        reachable.partition(|server| server.role() == Some(super::Role::Primary));
    let stages = [
        ("stop the standbys", following),
        ("stop the primary", leading),
    ];
    stages
        .into_iter()
        .filter(|(_, servers)| !servers.is_empty())
        .map(|(name, servers)| {
            let name = format!("{name} of {room} ({})", database.db.name());
            stage(&name, servers.into_iter().map(stop).collect())
        })
        .collect()
}

/// Makes a room's servers writable, through the one that follows the other room.
/// `other` is the room that gives it up. With `complete`, only once everything that it wrote is here.
pub(super) fn promote(
    database: &Database<'_>,
    server: &Server<'_>,
    other: &str,
    complete: bool,
) -> Outline {
    let task = about(database.db, KsScript::Promote, server.host)
        .with("planned", complete)
        .with("peers", database.addresses(server.room))
        .with("others", database.addresses(other))
        .with("slot", other);
    stage(
        &format!("promote {} ({})", server.room, database.db.name()),
        vec![task],
    )
}

/// Has servers follow the primary: in each room first the one that leads it, since the others copy
/// from there. Where all of them were stopped before, that is the one that was the primary.
pub(super) fn follow(
    site: &Site<'_>,
    database: &Database<'_>,
    servers: &[&Server<'_>],
    primary: IpAddr,
    all_stopped: bool,
    given_up: Option<&str>,
) -> Vec<Outline> {
    let task = |server: &Server<'_>| {
        about(database.db, KsScript::Follow, server.host)
            .with("primary", primary.to_string())
            .with("room_has_own_cluster", !site.ks.scheme.heals_itself())
            .with("peers", database.addresses(server.room))
            .with("given_up", given_up == Some(server.room))
    };
    let mut rooms: Vec<&str> = Vec::new();
    let (mut first, mut then) = (Vec::new(), Vec::new());
    let mut servers = servers.to_vec();
    servers.sort_by_key(|server| server.role() != Some(super::Role::Primary));
    for server in servers {
        let is_led = rooms.contains(&server.room)
            || !all_stopped
                && database.in_room(server.room).any(|other| {
                    other.name != server.name
                        && (database.follows(other) || other.role() == Some(super::Role::Primary))
                });
        rooms.push(server.room);
        if is_led { &mut then } else { &mut first }.push(task(server));
    }
    let name = format!("follow ({})", database.db.name());
    let stages = [(name.clone(), first), (format!("{name}, the others"), then)];
    stages
        .into_iter()
        .filter(|(_, tasks)| !tasks.is_empty())
        .map(|(name, tasks)| stage(&name, tasks))
        .collect()
}

/// Sets whose confirmation commits wait for.
pub(super) fn wait_for(database: &Database<'_>, primary: IpAddr, names: &str) -> Outline {
    let task = about(database.db, KsScript::WaitFor, primary).with("names", names);
    let name = match names {
        "" => format!("commits wait for nobody ({})", database.db.name()),
        _ => format!("commits wait for the other room ({})", database.db.name()),
    };
    stage(&name, vec![task])
}

/// Notes in the global database which room serves, and how zones are.
pub(super) fn note(primary: IpAddr, room: &str, zones: &[(String, String)]) -> Outline {
    let zones: Vec<_> = zones
        .iter()
        .map(|(name, status)| json!({"name": name, "status": status}))
        .collect();
    let task = KsTask::new(KsScript::Master, primary)
        .with("room", room)
        .with("zones", zones);
    stage("note it in the global database", vec![task])
}

/// Has every entry that can be reached lead to the room that serves.
pub(super) fn serve(site: &Site<'_>, room: &str) -> Outline {
    let tasks = reachable(site, "proxy")
        .into_iter()
        .map(|host| KsTask::new(KsScript::Serve, host).with("room", room));
    stage(&format!("entries lead to {room}"), tasks.collect())
}

/// Forgets what rooms cached. An operation that does it twice says on which occasion.
pub(super) fn forget(site: &Site<'_>, rooms: &[&str], occasion: Option<&'static str>) -> Outline {
    let is_there = |host: &IpAddr| {
        let room = site.ks.room_of(*host);
        room.is_some_and(|room| rooms.contains(&room.name.as_str()))
    };
    let (caches, services) = (reachable(site, "memcached"), reachable(site, "webservice"));
    let mut hosts = [caches.clone(), services.clone()].concat();
    hosts.sort();
    hosts.dedup();
    hosts.retain(is_there);
    let tasks = hosts.into_iter().map(|host| {
        KsTask::new(KsScript::Forget, host)
            .with("cache", caches.contains(&host))
            .with("services", services.contains(&host))
            .on(occasion)
    });
    let name = format!("forget what {} cached", rooms.join(" and "));
    stage(&name, tasks.collect())
}

/// The hosts of a job that answer.
pub(super) fn reachable(site: &Site<'_>, job: &str) -> Vec<IpAddr> {
    let hosts = site.cluster.instances_of_job(job);
    hosts
        .map(|(_, instance)| instance.address)
        .filter(|host| site.facts.hosts.contains_key(host))
        .collect()
}
