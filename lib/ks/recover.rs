//! `recover-pg`: makes a database writable without the servers that are gone, and takes them back
//! when they return.

use super::database::{Database, Db, Server};
use super::facts::Role;
use super::gate::Gate;
use super::stages::{self, about, stage};
use super::switch::{caught_up, disaster, heir, is_stuck, one_primary, quorum};
use super::{KsPlan, Site};
use crate::operation::{KsScript, Operation};

/// Plans it; `name` is the server that is to be the primary, or is it.
pub fn recover(site: &Site<'_>, db: Db, name: &str) -> KsPlan {
    let database = site.database(db);
    let mut plan = KsPlan {
        gates: Vec::new(),
        operation: Operation {
            name: "ks-recover-pg",
            stages: Vec::new(),
        },
        point_of_no_return: None,
        expected_seconds: 30,
        loses: "nothing".to_owned(),
        unfenced: None,
    };
    one_primary(&database, &mut plan.gates);
    if site.ks.scheme.heals_itself() {
        quorum(site, &mut plan.gates);
    }
    let question = "is it a server of this database?";
    let Some(server) = database.server(name) else {
        let known: Vec<&str> = database.servers.iter().map(|s| s.name.as_str()).collect();
        plan.gates.push(Gate::no(
            question,
            format!("{name} isn't; there are: {}", known.join(", ")),
        ));
        return plan;
    };
    match database.primary() {
        Some(primary) if primary.name == server.name => adopt(site, &database, server, &mut plan),
        Some(primary) => hand_over(site, &database, primary, server, &mut plan),
        None if database.primaries().len() > 1 => {}
        None => take_over(site, &database, server, &mut plan),
    }
    plan
}

/// It is the primary: commits stop waiting for the dead, and who returned is taken back.
fn adopt(site: &Site<'_>, database: &Database<'_>, primary: &Server<'_>, plan: &mut KsPlan) {
    let timeline = primary.view.and_then(|view| view.timeline).unwrap_or(0);
    let strays = database.strays();
    let (back, gone): (Vec<_>, Vec<_>) = strays.into_iter().partition(|s| s.view.is_some());
    let names = |servers: &[&Server<'_>]| -> String {
        let list: Vec<String> = servers
            .iter()
            .map(|server| format!("{} ({})", server.name, server.words()))
            .collect();
        list.join("; ")
    };
    let question = "who doesn't follow?";
    plan.gates.push(match (back.is_empty(), gone.is_empty()) {
        (true, true) => Gate::go(question, "everybody does"),
        (false, true) => Gate::go(question, format!("to be taken back: {}", names(&back))),
        (true, false) => Gate::warn(
            question,
            format!("left out, can't be asked: {}", names(&gone)),
        ),
        (false, false) => Gate::warn(
            question,
            format!(
                "to be taken back: {}; left out: {}",
                names(&back),
                names(&gone)
            ),
        ),
    });
    let across = site
        .ks
        .other_room(primary.room)
        .filter(|_| !site.ks.scheme.heals_itself() && database.db.is_synchronous(site.ks));
    if across.is_some() && is_stuck(database, primary) {
        plan.loses = format!(
            "nothing now; while {} is alone, losing it as well would lose what it takes from here on",
            primary.room
        );
        plan.operation
            .stages
            .push(stages::wait_for(database, primary.host, ""));
    }
    plan.operation
        .stages
        .extend(stages::follow(database, &back, timeline, false));
    if let Some(other) = across {
        let will_follow = |server: &Server<'_>| server.view.is_some();
        let waits = primary.view.map_or("", |view| view.waits_for.as_str());
        let wanted = database.any_of(&other.name);
        if database.in_room(&other.name).any(will_follow) && (waits != wanted || !back.is_empty()) {
            plan.operation
                .stages
                .push(stages::wait_for(database, primary.host, &wanted));
        }
    }
    plan.expected_seconds = 5 + 60 * back.len() as u64;
}

/// Another server is the primary: it hands over in order.
fn hand_over(
    site: &Site<'_>,
    database: &Database<'_>,
    primary: &Server<'_>,
    server: &Server<'_>,
    plan: &mut KsPlan,
) {
    caught_up(database, server, &mut plan.gates);
    plan.loses = "nothing: the old primary stops in order first".to_owned();
    let same_cluster = site.ks.scheme.heals_itself() || primary.room == server.room;
    if same_cluster {
        let name = format!("hand over to {}", server.name);
        plan.point_of_no_return = Some(name.clone());
        plan.operation.stages.push(stage(
            &name,
            vec![
                about(database.db, KsScript::Switchover, server.host)
                    .with("leader", primary.name.as_str())
                    .with("candidate", server.name.as_str()),
            ],
        ));
        return;
    }
    if database.db == Db::Global {
        plan.gates.push(Gate::no(
            "does only the database move?",
            format!(
                "the global database moves with everything that follows it: `ks failover --to {}`",
                server.room
            ),
        ));
        return;
    }
    let Some(leader) = heir(database, server.room, &mut plan.gates) else {
        return;
    };
    let promotion = stages::promote(database, leader, true);
    plan.point_of_no_return = Some(promotion.name.clone());
    let stages = &mut plan.operation.stages;
    stages.extend(stages::stop_room(database, primary.room, &leader.name));
    stages.push(promotion);
    let timeline = leader.view.and_then(|view| view.timeline).unwrap_or(0) + 1;
    let old: Vec<&Server<'_>> = database.in_room(primary.room).collect();
    stages.extend(stages::follow(database, &old, timeline, true));
    let names = database.any_of(primary.room);
    stages.push(stages::wait_for(database, leader.host, &names));
}

/// Nobody is the primary: this one is made it.
fn take_over(site: &Site<'_>, database: &Database<'_>, server: &Server<'_>, plan: &mut KsPlan) {
    let question = "can it take over?";
    let Some(view) = server.view else {
        plan.gates.push(Gate::no(
            question,
            format!("{} {}", server.name, server.words()),
        ));
        return;
    };
    if site.ks.scheme.heals_itself() {
        plan.gates.push(Gate::no(
            question,
            "Patroni elects the primary by itself where ZooKeeper has a majority, within half a \
             minute; look again with `ks check-pg`",
        ));
        return;
    }
    // Nobody that can be asked may have more of what was acknowledged.
    let own = view.location.unwrap_or(0);
    let ahead = database.servers.iter().find(|other| {
        let location = other.view.and_then(|view| view.location).unwrap_or(0);
        other.room != server.room && location > own
    });
    if let Some(other) = ahead {
        let more = other.view.and_then(|view| view.location).unwrap_or(0) - own;
        plan.gates.push(Gate::no(
            question,
            format!(
                "{} has {more} bytes more than {}: name that one, or it would be lost",
                other.name, server.name
            ),
        ));
        return;
    }
    let Some(lost) = site.ks.other_room(server.room) else {
        return;
    };
    if view.role == Role::Down {
        plan.gates.push(Gate::warn(
            question,
            format!("{}: {}", server.name, server.words()),
        ));
        plan.unfenced = Some(lost.name.clone());
        plan.loses = format!(
            "what {} took as the primary, if it did while this room was away",
            lost.name
        );
        plan.point_of_no_return = Some(format!("start {} alone", server.room));
        plan.operation.stages.push(stage(
            &format!("start {} alone", server.room),
            vec![about(database.db, KsScript::Start, server.host)],
        ));
        if database.db.is_synchronous(site.ks) {
            plan.operation
                .stages
                .push(stages::wait_for(database, server.host, ""));
        }
    } else {
        let Some(leader) = heir(database, server.room, &mut plan.gates) else {
            return;
        };
        disaster(site, database, leader, &lost.name, plan);
        plan.operation
            .stages
            .extend(stages::stop_room(database, &lost.name, &leader.name));
        let promotion = stages::promote(database, leader, false);
        plan.point_of_no_return = Some(promotion.name.clone());
        plan.operation.stages.push(promotion);
    }
}
