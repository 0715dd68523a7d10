//! `recover-pg`: makes a database writable without the servers that are gone, and takes them back
//! when they return.

use super::checks::{better, can_be_stopped, caught_up, heir, is_stuck, one_primary};
use super::database::{Database, Db, Server};
use super::facts::Role;
use super::gate::Gate;
use super::majority::{self, Ensemble};
use super::stages::{self, about, stage};
use super::switch::disaster;
use super::{KsPlan, Site, proof};
use crate::operation::{KsScript, Outline};

/// Plans it; `name` is the server that is to be the primary, or is it; `given_up` the room that a
/// person has given up, by typing its name.
pub fn recover(site: &Site<'_>, db: Db, name: &str, given_up: Option<&str>) -> KsPlan {
    let database = site.database(db);
    let mut plan = KsPlan::new("ks-recover-pg", 30);
    one_primary(&database, &mut plan.gates);
    let question = "is it a server of this database?";
    let Some(server) = database.server(name) else {
        let known: Vec<&str> = database.servers.iter().map(|s| s.name.as_str()).collect();
        plan.gates.push(Gate::no(
            question,
            format!("{name} isn't; there are: {}", known.join(", ")),
        ));
        return plan;
    };
    if site.ks.scheme.heals_itself() {
        let ensemble = Ensemble::of(site);
        if !ensemble.has_majority() && !ensemble.is_reduced() {
            without_a_majority(site, &database, server, &mut plan);
            return plan;
        }
        if ensemble.has_majority() || ensemble.is_beside() {
            majority::quorum(site, &mut plan.gates);
        }
        if ensemble.is_beside() {
            return plan;
        }
        majority::rejoin(site, &mut plan);
    }
    match database.primary() {
        Some(primary) if primary.name == server.name => {
            let followers = adopt(site, &database, server, given_up, &mut plan);
            lead_here(site, &database, server, &mut plan.operation.stages);
            if !plan.operation.stages.is_empty() {
                let proof = proof::writable(site, &database, server, &followers);
                plan.operation.stages.extend(proof);
            }
        }
        Some(primary) => hand_over(site, &database, primary, server, &mut plan),
        None if database.primaries().len() > 1 => {}
        None => take_over(site, &database, server, given_up, &mut plan),
    }
    plan
}

/// Nobody can be elected: a person may have what is left go on.
fn without_a_majority(
    site: &Site<'_>,
    database: &Database<'_>,
    server: &Server<'_>,
    plan: &mut KsPlan,
) {
    let question = "can it take over?";
    match (
        server.view,
        better(database, server, |other| other.name != server.name),
    ) {
        (None, _) => plan.gates.push(Gate::no(
            question,
            format!("{} {}", server.name, server.words()),
        )),
        (_, Some(other)) => plan.gates.push(worse(question, &other, server)),
        _ => {
            plan.gates.push(Gate::go(
                question,
                format!("{}: {}", server.name, server.words()),
            ));
            majority::go_on_without(site, database, server, plan);
        }
    }
}

fn worse(question: &str, better: &str, server: &Server<'_>) -> Gate {
    Gate::no(
        question,
        format!(
            "{better} than {}: name that one, or it would be lost",
            server.name
        ),
    )
}

/// It is the primary: commits stop waiting for the dead, and who returned is taken back. Returns those
/// that follow it afterwards.
pub(super) fn adopt<'b, 'a>(
    site: &Site<'_>,
    database: &'b Database<'a>,
    primary: &Server<'_>,
    given_up: Option<&str>,
    plan: &mut KsPlan,
) -> Vec<&'b Server<'a>> {
    let is_alone = is_stuck(database, primary);
    let (back, gone): (Vec<_>, Vec<_>) = database
        .strays()
        .into_iter()
        .partition(|server| server.view.is_some());
    let names = |servers: &[&Server<'_>]| -> String {
        let list: Vec<String> = servers
            .iter()
            .map(|server| format!("{} ({})", server.name, server.words()))
            .collect();
        list.join("; ")
    };
    let question = "who doesn't follow?";
    let across = site
        .ks
        .other_room(primary.room)
        .filter(|_| !site.ks.scheme.heals_itself() && site.ks.waits_across(database.db.job()));
    if across.is_some() && is_alone {
        // Whoever doesn't follow may be cut off from the primary, though not from here: what it has
        // is left alone until it can reach its source.
        let strays = [back, gone].concat();
        plan.gates.push(Gate::warn(
            question,
            format!(
                "{}; writes hang, so first they go on without; once the other room can reach this \
                 one, the same command takes it back",
                names(&strays)
            ),
        ));
        plan.loses = alone_now(primary);
        plan.operation
            .stages
            .push(stages::wait_for(database, primary.host, ""));
        plan.expected_seconds = 5;
        return Vec::new();
    }
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
    for server in &back {
        not_worth_more(database, primary, server, given_up, plan);
    }
    // One that followed by itself keeps the log of what it gave up; that is counted now.
    let is_uncounted = |server: &&Server<'_>| {
        server.role() != Some(Role::Primary)
            && database.follows(server)
            && server.view.is_some_and(|view| view.is_uncounted)
    };
    let mut followed = back.clone();
    followed.extend(database.servers.iter().filter(is_uncounted));
    let stages = &mut plan.operation.stages;
    stages.extend(stages::follow(
        site,
        database,
        &followed,
        primary.host,
        false,
        given_up,
    ));
    if let Some(other) = across {
        let will_follow = |server: &Server<'_>| server.view.is_some();
        let waits = primary.view.map_or("", |view| view.waits_for.as_str());
        let wanted = database.any_of(&other.name);
        if database.in_room(&other.name).any(will_follow) && (waits != wanted || !back.is_empty()) {
            stages.push(stages::wait_for(database, primary.host, &wanted));
        }
    }
    if site.ks.scheme.heals_itself() && site.ks.rooms.len() > 2 {
        insist(site, database, primary, plan);
    }
    plan.expected_seconds = 5 + 60 * back.len() as u64;
    let mut followers = database.running_beside(primary);
    followers.retain(|server| database.follows(server));
    followers.extend(back);
    followers
}

fn alone_now(primary: &Server<'_>) -> String {
    format!(
        "nothing now; while {} is alone, losing it as well would lose what it takes from here on",
        primary.room
    )
}

/// One that is to be copied anew may have what nobody else has: then a person names its room.
fn not_worth_more(
    database: &Database<'_>,
    primary: &Server<'_>,
    server: &Server<'_>,
    given_up: Option<&str>,
    plan: &mut KsPlan,
) {
    let question = &format!("has {} nothing that {} lacks?", server.name, primary.name);
    let identifier = |server: &Server<'_>| server.view?.identifier.clone();
    let (own, theirs) = (identifier(primary), identifier(server));
    if own.is_some() && theirs.is_some() && own != theirs {
        plan.gates.push(Gate::no(
            question,
            "it's another database altogether, with an identifier of its own. If that one counts, stop \
             the primary and leave it stopped; if not, move its data directory aside on its host",
        ));
        return;
    }
    let view = server.view.filter(|_| !server.runs());
    let held = view.and_then(|view| view.held.as_deref());
    let both_led = held.filter(|why| why.contains("both rooms have led"));
    let better = better(database, primary, |other| other.name == server.name);
    let Some(why) = better.or(both_led.map(|_| format!("{} has led as well", server.name))) else {
        return;
    };
    let lost = format!("what only {} has: {why}", server.name);
    if given_up == Some(server.room) {
        plan.gates
            .push(Gate::warn(question, format!("{why}; it is given up")));
        plan.loses = lost;
    } else {
        plan.gates.push(Gate::no(
            question,
            format!(
                "{why}. Look which one took the writes that count: to follow, it gives up {lost}. \
                 Copy its data directory first, then add `--confirm {}`",
                server.room
            ),
        ));
    }
}

/// With three rooms commits wait for another one always, in both databases; where too few of the
/// others can be asked, they go on alone.
fn insist(site: &Site<'_>, database: &Database<'_>, primary: &Server<'_>, plan: &mut KsPlan) {
    let is_strict = primary.view.and_then(|view| view.is_strict);
    let mut others = database.servers.iter();
    let strict = others.any(|other| other.room != primary.room && other.view.is_some());
    // Left half-way: nobody needs to confirm, but commits wait for anybody.
    let hangs = !strict && primary.view.is_some_and(|view| view.waits_for == "*");
    if hangs || is_strict.is_some_and(|is| is != strict) {
        let stages = &mut plan.operation.stages;
        stages.push(majority::elect(database, primary, strict));
        if !strict {
            plan.loses = alone_now(primary);
            if !Ensemble::of(site).is_reduced() {
                let rooms = site.ks.rooms.iter().map(|room| room.name.as_str());
                let others: Vec<&str> = rooms.filter(|room| *room != primary.room).collect();
                plan.unfenced = Some(others.join(","));
            }
        }
    }
    // What was left alone together insists again together.
    let other = site.database(if database.db == Db::Global {
        Db::Recovery
    } else {
        Db::Global
    });
    if strict
        && let Some(there) = other.primary()
        && there.view.and_then(|view| view.is_strict) == Some(false)
        && (other.servers.iter()).any(|it| it.room != there.room && other.follows(it))
    {
        let stages = &mut plan.operation.stages;
        stages.push(majority::elect(&other, there, true));
    }
}

/// What came back may still lead to where the primary was, or have that cached.
fn lead_here(
    site: &Site<'_>,
    database: &Database<'_>,
    primary: &Server<'_>,
    stages: &mut Vec<Outline>,
) {
    if database.db != Db::Global || site.ks.scheme.heals_itself() {
        return;
    }
    let leads_astray =
        |entry: &Option<String>| entry.as_deref().is_some_and(|room| room != primary.room);
    let mut views = site.facts.hosts.values();
    if views.any(|view| leads_astray(&view.entry)) {
        stages.push(stages::serve(site, primary.room));
    }
    forget_what_is_stale(site, primary, stages);
}

/// A room that has another one cached as the one that serves forgets it.
pub(super) fn forget_what_is_stale(
    site: &Site<'_>,
    primary: &Server<'_>,
    stages: &mut Vec<Outline>,
) {
    for room in &site.ks.rooms {
        let hosts = site.facts.hosts.iter();
        let mut caches = hosts.filter(|(host, _)| room.hosts.contains(host));
        let is_stale = |cached: &Option<String>| {
            cached
                .as_deref()
                .is_some_and(|cached| !cached.is_empty() && cached != primary.room)
        };
        if caches.any(|(_, view)| is_stale(&view.cached)) {
            stages.push(stages::forget(site, &[&room.name], None));
        }
    }
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
        let standbys = database.running_beside(server);
        let proof = proof::writable(site, database, server, &standbys);
        plan.operation.stages.extend(proof);
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
    can_be_stopped(database, primary.room, &mut plan.gates);
    let promotion = stages::promote(database, leader, primary.room, true);
    plan.point_of_no_return = Some(promotion.name.clone());
    let stages = &mut plan.operation.stages;
    stages.extend(stages::stop_room(database, primary.room, &leader.name));
    stages.push(promotion);
    let old: Vec<&Server<'_>> = database.in_room(primary.room).collect();
    stages.extend(stages::follow(
        site,
        database,
        &old,
        leader.host,
        true,
        None,
    ));
    let names = database.any_of(primary.room);
    stages.push(stages::wait_for(database, leader.host, &names));
    stages.extend(proof::writable(site, database, leader, &old));
}

/// Nobody is the primary: this one is made it.
fn take_over(
    site: &Site<'_>,
    database: &Database<'_>,
    server: &Server<'_>,
    given_up: Option<&str>,
    plan: &mut KsPlan,
) {
    let question = "can it take over?";
    let Some(view) = server.view else {
        plan.gates.push(Gate::no(
            question,
            format!("{} {}", server.name, server.words()),
        ));
        return;
    };
    if site.ks.scheme.heals_itself() && Ensemble::of(site).is_reduced() {
        plan.operation
            .stages
            .push(majority::elect(database, server, false));
        if database.db == Db::Global {
            let proof = proof::writable(site, database, server, &[]);
            plan.operation.stages.extend(proof);
        }
        return;
    }
    if site.ks.scheme.heals_itself() {
        plan.gates.push(Gate::no(
            question,
            "Patroni elects the primary by itself where ZooKeeper has a majority, within half a \
             minute; look again with `ks check-pg`",
        ));
        return;
    }
    if let Some(other) = better(database, server, |other| other.room != server.room) {
        plan.gates.push(worse(question, &other, server));
        return;
    }
    let Some(lost) = site.ks.other_room(server.room) else {
        return;
    };
    if view.role == Role::Down && view.checkpoint_timeline.is_none() {
        plan.gates.push(Gate::no(
            question,
            format!(
                "{} has no data: it would begin an empty database. Bring the other room back, or a copy \
                 of the data directory",
                server.name
            ),
        ));
        return;
    }
    if view.role == Role::Down {
        plan.gates.push(Gate::warn(
            question,
            format!("{}: {}", server.name, server.words()),
        ));
        let follows = |other: &Server<'_>| {
            other.role() != Some(Role::Primary)
                && other.view.and_then(|view| view.follows_other_room) == Some(true)
        };
        // A planned switch that ended before the promotion left the other room following this one.
        if database.in_room(&lost.name).all(follows) {
            plan.loses = format!("nothing: {} follows it", lost.name);
        } else {
            plan.unfenced = Some(lost.name.clone());
            plan.loses = format!(
                "what {} took as the primary, if it did while this room was away",
                lost.name
            );
        }
        plan.point_of_no_return = Some(format!("start {} alone", server.room));
        plan.operation.stages.push(stage(
            &format!("start {} alone", server.room),
            vec![about(database.db, KsScript::Start, server.host)],
        ));
        if site.ks.waits_across(database.db.job()) {
            plan.operation
                .stages
                .push(stages::wait_for(database, server.host, ""));
        }
        let stages = &mut plan.operation.stages;
        lead_here(site, database, server, stages);
        stages.extend(proof::writable(site, database, server, &[]));
    } else {
        if database.db == Db::Global {
            plan.gates.push(Gate::no(
                question,
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
        let complete = disaster(site, database, leader, &lost.name, given_up, plan);
        plan.operation
            .stages
            .extend(stages::stop_room(database, &lost.name, &leader.name));
        let promotion = stages::promote(database, leader, &lost.name, complete);
        plan.point_of_no_return = Some(promotion.name.clone());
        let mut neighbours = database.running_beside(leader);
        neighbours.retain(|other| other.room == leader.room);
        let stages = &mut plan.operation.stages;
        stages.push(promotion);
        stages.extend(proof::writable(site, database, leader, &neighbours));
    }
}
