//! Failover and failback: another room gets the primary, and serves.

use super::database::{Database, Db, Server};
use super::facts::Role;
use super::gate::Gate;
use super::stages::{self, about, stage};
use super::{KsPlan, Site};
use crate::operation::{KsScript, Operation};

/// How far a standby may be behind for a planned switch, in bytes: what is written meanwhile is
/// waited for, but nobody wants to wait for gigabytes.
const NEAR: u64 = 16 * 1024 * 1024;

/// What kind of switch is meant.
#[derive(Debug, Clone)]
pub struct Switch {
    /// The room that is to serve.
    pub to: String,
    /// Whether it goes back to a room that was lost: then everything must have been re-adopted.
    pub back: bool,
    /// The zone that the disaster took with it, which is marked faulty.
    pub disaster_zone: Option<String>,
    /// The room that a person has given up, by typing its name.
    pub given_up: Option<String>,
}

/// Plans a switch of the global database and of everything that follows it.
pub fn switch(site: &Site<'_>, wish: &Switch) -> KsPlan {
    let database = site.database(Db::Global);
    let mut plan = KsPlan {
        gates: Vec::new(),
        operation: Operation {
            name: if wish.back {
                "ks-failback"
            } else {
                "ks-failover"
            },
            stages: Vec::new(),
        },
        point_of_no_return: None,
        expected_seconds: 0,
        loses: String::new(),
        unfenced: None,
    };
    one_primary(&database, &mut plan.gates);
    if wish.back {
        all_adopted(site, &mut plan.gates);
    }
    recovery_first(site, wish, &mut plan.gates);
    if database
        .primary()
        .is_some_and(|primary| primary.room == wish.to)
    {
        plan.gates.push(Gate::warn(
            "does another room serve now?",
            format!(
                "{} has the primary already; what is missing is done again",
                wish.to
            ),
        ));
        finish(site, &database, wish, &mut plan);
        return plan;
    }
    match site.ks.scheme.heals_itself() {
        true => in_one_cluster(site, &database, wish, &mut plan),
        false => between_clusters(site, &database, wish, &mut plan),
    }
    plan
}

pub(super) fn one_primary(database: &Database<'_>, gates: &mut Vec<Gate>) {
    let question = &format!("has the {} database one primary?", database.db.name());
    let names: Vec<&str> = database
        .primaries()
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    gates.push(match names[..] {
        [one] => Gate::go(question, one),
        [] => Gate::warn(question, "none that can be asked"),
        _ => Gate::no(
            question,
            format!(
                "{} all take writes: decide which one's data counts, stop the others \
                 (`systemctl stop pg-{}` there), and look again",
                names.join(" and "),
                database.db.name()
            ),
        ),
    });
}

/// Before a failback, every server of every database follows again.
fn all_adopted(site: &Site<'_>, gates: &mut Vec<Gate>) {
    for db in [Db::Global, Db::Recovery] {
        let database = site.database(db);
        if database.servers.is_empty() {
            continue;
        }
        let question = &format!("do all servers of the {} database follow?", db.name());
        let strays = database.strays();
        gates.push(match strays.first() {
            None => Gate::go(question, "every one, on the primary's timeline"),
            Some(_) => {
                let list: Vec<String> = strays
                    .iter()
                    .map(|server| format!("{} {}", server.name, server.words()))
                    .collect();
                let primary = database.primary().map_or("NODE", |p| p.name.as_str());
                Gate::no(
                    question,
                    format!(
                        "{}; too early: take them back first with `ks recover-pg --db {} --primary \
                         {primary}`",
                        list.join("; "),
                        db.name()
                    ),
                )
            }
        });
    }
}

/// The recovery database comes first: it must be writable before the global one is touched.
fn recovery_first(site: &Site<'_>, wish: &Switch, gates: &mut Vec<Gate>) {
    let database = site.database(Db::Recovery);
    if database.servers.is_empty() {
        return;
    }
    let question = "is the recovery database writable?";
    gates.push(match database.primary() {
        Some(primary) if is_stuck(&database, primary) => Gate::no(
            question,
            format!(
                "{} waits for a room that doesn't answer; first `ks recover-pg --db recovery \
                 --primary {}`",
                primary.name, primary.name
            ),
        ),
        Some(primary) => Gate::go(question, primary.name.as_str()),
        None => {
            let there = database.in_room(&wish.to).next();
            let name = there.map_or("NODE", |server| server.name.as_str());
            Gate::no(
                question,
                format!("no; it comes first: `ks recover-pg --db recovery --primary {name}`"),
            )
        }
    });
}

/// Whether commits of a primary wait for somebody who isn't there.
pub(super) fn is_stuck(database: &Database<'_>, primary: &Server<'_>) -> bool {
    let Some(view) = primary.view else {
        return false;
    };
    let streams = |server: &Server<'_>| {
        // One whose host is silent may be listed for a few seconds yet.
        let mut followers = view.followers.iter();
        server.view.is_some() && followers.any(|f| f.name == server.name && f.state == "streaming")
    };
    !view.waits_for.is_empty()
        && !database
            .servers
            .iter()
            .filter(|server| view.waits_for.contains(&server.name))
            .any(streams)
}

/// Three rooms, or two with an arbiter: Patroni hands over to a synchronous standby.
fn in_one_cluster(site: &Site<'_>, database: &Database<'_>, wish: &Switch, plan: &mut KsPlan) {
    quorum(site, &mut plan.gates);
    let question = "can the primary be handed over?";
    let Some(primary) = database.primary() else {
        plan.gates.push(Gate::no(
            question,
            "there is no primary to hand over; where a majority of ZooKeeper is left, Patroni \
             elects one within half a minute without anybody: look again with `ks info`",
        ));
        return;
    };
    let mut candidates: Vec<&Server<'_>> = database
        .in_room(&wish.to)
        .filter(|server| database.follows(server))
        .collect();
    candidates.sort_by_key(|server| database.lag(server));
    let Some(candidate) = candidates.first() else {
        let found: Vec<String> = database.in_room(&wish.to).map(Server::words).collect();
        plan.gates.push(Gate::no(
            question,
            format!(
                "no server of {} follows the primary: {}",
                wish.to,
                found.join("; ")
            ),
        ));
        return;
    };
    plan.gates.push(Gate::go(
        question,
        format!("{} → {}", primary.name, candidate.name),
    ));
    plan.loses = "nothing: the new primary is a synchronous standby".to_owned();
    plan.expected_seconds = 10;
    let name = format!("hand over to {}", candidate.name);
    plan.point_of_no_return = Some(name.clone());
    plan.operation.stages.push(stage(
        &name,
        vec![
            about(Db::Global, KsScript::Switchover, candidate.host)
                .with("leader", primary.name.as_str())
                .with("candidate", candidate.name.as_str()),
        ],
    ));
    if let Some(zone) = &wish.disaster_zone {
        let zones = [(zone.clone(), "faulty".to_owned())];
        plan.operation
            .stages
            .push(stages::note(candidate.host, "", &zones));
    }
    let standbys: Vec<_> = database
        .servers
        .iter()
        .filter(|server| server.runs() && server.name != candidate.name)
        .map(|server| server.host)
        .collect();
    let entries = stages::reachable(site, "proxy");
    plan.operation
        .stages
        .extend(stages::verify(site, &entries, &standbys));
}

/// A majority of the one ensemble answers.
pub(super) fn quorum(site: &Site<'_>, gates: &mut Vec<Gate>) {
    let question = "has ZooKeeper a majority?";
    let all = site.cluster.instances_of_job("zookeeper").count();
    let serves = |mode: &Option<String>| mode.as_deref().is_some_and(|mode| mode != "none");
    let views = site.facts.hosts.values();
    let serving = views.filter(|view| serves(&view.zookeeper)).count();
    let words = format!("{serving} of {all} serve");
    gates.push(match serving * 2 > all {
        true => Gate::go(question, words),
        false => Gate::no(
            question,
            format!(
                "{words}, so nobody can be elected and no write is taken; bring a room or the \
                 arbiter back, or see docs/global-ks/README.md, \"The majority is lost\""
            ),
        ),
    });
}

/// Two rooms, each with its own cluster: stop here, promote there.
fn between_clusters(site: &Site<'_>, database: &Database<'_>, wish: &Switch, plan: &mut KsPlan) {
    let Some(from) = site.ks.other_room(&wish.to) else {
        return;
    };
    let Some(leader) = heir(database, &wish.to, &mut plan.gates) else {
        return;
    };
    let is_planned = database.primary().is_some();
    // What the old room wrote must be here whole, unless a person has given it up.
    let mut complete = true;
    if is_planned {
        can_be_stopped(database, &from.name, &mut plan.gates);
        caught_up(database, leader, &mut plan.gates);
        plan.loses = "nothing: the old primary stops in order first, and the new one has all of it"
            .to_owned();
        plan.expected_seconds = 30;
    } else {
        complete = disaster(
            site,
            database,
            leader,
            &from.name,
            wish.given_up.as_deref(),
            plan,
        );
        plan.expected_seconds = 10;
    }
    if wish.back {
        plan.operation.stages.push(stages::forget(site, &wish.to));
    }
    let stops = stages::stop_room(database, &from.name, &leader.name);
    plan.operation.stages.extend(stops);
    let promotion = stages::promote(database, leader, &from.name, complete);
    plan.point_of_no_return = Some(promotion.name.clone());
    plan.operation.stages.push(promotion);
    let zones: Vec<(String, String)> = wish
        .disaster_zone
        .iter()
        .map(|zone| (zone.clone(), "faulty".to_owned()))
        .collect();
    plan.operation
        .stages
        .push(stages::note(leader.host, &wish.to, &zones));
    plan.operation.stages.push(stages::serve(site, &wish.to));
    let own = |host: &std::net::IpAddr| {
        let room = site.ks.room_of(*host);
        is_planned || room.is_some_and(|room| room.name == wish.to)
    };
    let mut entries = stages::reachable(site, "proxy");
    entries.retain(own);
    if is_planned {
        adopt_the_old_room(site, database, leader, &from.name, &entries, plan);
    } else {
        let verify = stages::verify(site, &entries, &[]);
        plan.operation.stages.extend(verify);
    }
}

/// After a planned switch the room that served follows, and commits wait for it again.
fn adopt_the_old_room(
    site: &Site<'_>,
    database: &Database<'_>,
    leader: &Server<'_>,
    from: &str,
    entries: &[std::net::IpAddr],
    plan: &mut KsPlan,
) {
    let stages = &mut plan.operation.stages;
    stages.extend(stages::verify(site, entries, &[]));
    let old: Vec<&Server<'_>> = database.in_room(from).collect();
    stages.extend(stages::follow(site, database, &old, leader.host, true));
    if database.db.is_synchronous(site.ks) {
        let names = database.any_of(from);
        stages.push(stages::wait_for(database, leader.host, &names));
    }
    let hosts: Vec<_> = old.iter().map(|server| server.host).collect();
    let id = format!(
        "verify-{}-{}",
        site.run,
        entries.first().map_or_else(String::new, |e| e.to_string())
    );
    let seen =
        |host: &std::net::IpAddr| about(Db::Global, KsScript::Seen, *host).with("ids", id.as_str());
    stages.push(stage(
        "see it in the old room",
        hosts.iter().map(seen).collect(),
    ));
}

/// The server of a room through which it becomes writable.
pub(super) fn heir<'b, 'a>(
    database: &'b Database<'a>,
    room: &'b str,
    gates: &mut Vec<Gate>,
) -> Option<&'b Server<'a>> {
    let question = &format!("is there a server in {room} that can take over?");
    let mut servers: Vec<&Server<'a>> = database.in_room(room).filter(|s| s.runs()).collect();
    servers.sort_by_key(|server| server.role() != Some(Role::StandbyLeader));
    match servers.first() {
        Some(server) => {
            gates.push(Gate::go(
                question,
                format!("{} ({})", server.name, server.words()),
            ));
            Some(server)
        }
        None => {
            let found: Vec<String> = database
                .in_room(room)
                .map(|server| format!("{} {}", server.name, server.words()))
                .collect();
            gates.push(Gate::no(question, found.join("; ")));
            None
        }
    }
}

pub(super) fn caught_up(database: &Database<'_>, server: &Server<'_>, gates: &mut Vec<Gate>) {
    let question = &format!("has {} nearly everything?", server.name);
    let timeline = database
        .primary()
        .and_then(|primary| primary.view?.timeline);
    gates.push(match database.lag(server) {
        _ if timeline.is_none() => Gate::no(
            question,
            "the primary doesn't say on which timeline it is; look again",
        ),
        _ if !database.follows(server) => Gate::no(
            question,
            format!(
                "it doesn't follow the primary ({}); first `ks recover-pg --db {} --primary {}`",
                server.words(),
                database.db.name(),
                database.primary().map_or("NODE", |p| p.name.as_str())
            ),
        ),
        Some(lag) if lag <= NEAR => Gate::go(question, format!("it is {lag} bytes behind")),
        Some(lag) => Gate::no(
            question,
            format!("it is {lag} bytes behind; wait until it has caught up"),
        ),
        None => Gate::no(question, "its position isn't known"),
    });
}

/// Every server of a room that gives up the primary can be stopped: one that can't be asked might be
/// elected there once the primary is gone.
pub(super) fn can_be_stopped(database: &Database<'_>, room: &str, gates: &mut Vec<Gate>) {
    let question = &format!("can every server of {room} be stopped?");
    let silent: Vec<&str> = database
        .in_room(room)
        .filter(|server| server.view.is_none())
        .map(|server| server.name.as_str())
        .collect();
    gates.push(match silent[..] {
        [] => Gate::go(question, "all can be asked"),
        _ => Gate::no(
            question,
            format!(
                "{} can't be asked, and could become the primary there when the other stops: bring \
                 it back, or switch its machine off, and leave it out of the file",
                silent.join(", ")
            ),
        ),
    });
}

/// The room that served has no primary that can be asked: what that means, and what may be lost.
/// Returns whether what it wrote has to be whole.
pub(super) fn disaster(
    site: &Site<'_>,
    database: &Database<'_>,
    leader: &Server<'_>,
    lost: &str,
    given_up: Option<&str>,
    plan: &mut KsPlan,
) -> bool {
    let silent: Vec<&str> = database
        .in_room(lost)
        .filter(|server| server.view.is_none())
        .map(|server| server.name.as_str())
        .collect();
    let question = &format!("can {lost} be kept from writing?");
    let complete = silent.is_empty() && given_up != Some(lost);
    if complete {
        plan.gates.push(Gate::go(
            question,
            format!(
                "its servers answer and none takes writes; they are stopped for good first, and \
                 {} is promoted only if it has all that they wrote (`--confirm {lost}` gives the \
                 rest up)",
                leader.name
            ),
        ));
    } else if silent.is_empty() {
        plan.gates.push(Gate::warn(
            question,
            format!("its servers are stopped first; what only they have is given up with {lost}"),
        ));
    } else {
        let message = format!(
            "no: {} can't be asked. If it only is cut off, it may still take writes, from clients \
             on its side, which will be lost",
            silent.join(", ")
        );
        plan.gates.push(Gate::warn(question, message));
        plan.unfenced = Some(lost.to_owned());
    }
    plan.loses = match database.db.is_synchronous(site.ks) {
        _ if complete => "nothing: it's promoted only with all that was written".to_owned(),
        true => format!(
            "nothing that was acknowledged while commits waited for {}",
            leader.room
        ),
        false => format!(
            "what was acknowledged in {lost} and hadn't reached {} yet: replication between the \
             rooms is asynchronous",
            leader.room
        ),
    };
    complete
}

/// What is left to do where the primary is already in the right room.
fn finish(site: &Site<'_>, database: &Database<'_>, wish: &Switch, plan: &mut KsPlan) {
    let Some(primary) = database.primary() else {
        return;
    };
    plan.loses = "nothing".to_owned();
    let zones: Vec<(String, String)> = wish
        .disaster_zone
        .iter()
        .map(|zone| (zone.clone(), "faulty".to_owned()))
        .collect();
    let stages = &mut plan.operation.stages;
    if !site.ks.scheme.heals_itself() || !zones.is_empty() {
        stages.push(stages::note(primary.host, &wish.to, &zones));
    }
    if !site.ks.scheme.heals_itself() {
        stages.push(stages::serve(site, &wish.to));
    }
    // A switch that was interrupted may have left the old room stopped, and commits alone.
    super::recover::adopt(site, database, primary, plan);
    let entries = stages::reachable(site, "proxy");
    plan.operation
        .stages
        .extend(stages::verify(site, &entries, &[]));
}
