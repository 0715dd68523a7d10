//! Failover and failback: another room gets the primary, and serves.

use super::checks::{
    all_adopted, can_be_stopped, caught_up, has_all, heir, one_primary, recovery_first,
};
use super::database::{Database, Db, Server};
use super::gate::Gate;
use super::majority::{last_write, quorum};
use super::stages::{self, about, stage};
use super::{KsPlan, Site, proof, recover};
use crate::operation::KsScript;

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

impl Switch {
    /// What is to be noted of zones.
    fn zones(&self) -> Vec<(String, String)> {
        let zones = self.disaster_zone.iter();
        zones
            .map(|zone| (zone.clone(), "faulty".to_owned()))
            .collect()
    }
}

/// Plans a switch of the global database and of everything that follows it.
pub fn switch(site: &Site<'_>, wish: &Switch) -> KsPlan {
    let database = site.database(Db::Global);
    let name = if wish.back {
        "ks-failback"
    } else {
        "ks-failover"
    };
    let mut plan = KsPlan::new(name, 5);
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
    let zones = wish.zones();
    if !zones.is_empty() {
        let note = stages::note(candidate.host, "", &zones);
        plan.operation.stages.push(note);
    }
    let standbys = database.running_beside(candidate);
    plan.operation
        .stages
        .extend(proof::writable(site, database, candidate, &standbys));
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
        plan.operation
            .stages
            .push(stages::forget(site, &[&wish.to], Some("before")));
    }
    let stops = stages::stop_room(database, &from.name, &leader.name);
    plan.operation.stages.extend(stops);
    let promotion = stages::promote(database, leader, &from.name, complete);
    plan.point_of_no_return = Some(promotion.name.clone());
    plan.operation.stages.push(promotion);
    let zones = wish.zones();
    plan.operation
        .stages
        .push(stages::note(leader.host, &wish.to, &zones));
    let stages = &mut plan.operation.stages;
    stages.push(stages::serve(site, &wish.to));
    let mut neighbours = database.running_beside(leader);
    neighbours.retain(|server| server.room == wish.to);
    if !is_planned {
        stages.extend(proof::writable(site, database, leader, &neighbours));
        stages.push(stages::forget(site, &[&wish.to], None));
        return;
    }
    // First what clients wait for, then what keeps their data, and what is cached last.
    let entries = stages::reachable(site, "proxy");
    stages.push(proof::write(site, &entries));
    let old: Vec<&Server<'_>> = database.in_room(&from.name).collect();
    stages.extend(stages::follow(
        site,
        database,
        &old,
        leader.host,
        true,
        None,
    ));
    if site.ks.waits_across(database.db.job()) {
        let names = database.any_of(&from.name);
        stages.push(stages::wait_for(database, leader.host, &names));
    }
    let standbys = old.iter().chain(&neighbours).map(|server| server.host);
    let standbys: Vec<_> = standbys.collect();
    stages.extend(proof::seen(site, &entries, &standbys));
    stages.push(stages::forget(site, &[&from.name, &wish.to], None));
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
        has_all(database, leader, lost, &mut plan.gates);
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
    plan.loses = match site.ks.waits_across(database.db.job()) {
        _ if complete => "nothing: it's promoted only with all that was written".to_owned(),
        true => format!(
            "nothing that was acknowledged while commits waited for {0}. If `recover-pg` had {lost} go \
             on without {0} since, all from then on is lost{1}",
            leader.room,
            last_write(leader)
        ),
        false => format!(
            "what was acknowledged in {lost} and hadn't reached {} yet: replication between the \
             rooms is asynchronous{}",
            leader.room,
            last_write(leader)
        ),
    };
    complete
}

/// What is left to do where the primary is already in the right room.
fn finish(site: &Site<'_>, database: &Database<'_>, wish: &Switch, plan: &mut KsPlan) {
    let Some(primary) = database.primary() else {
        return;
    };
    let zones = wish.zones();
    let is_alone = !site.ks.scheme.heals_itself();
    let stages = &mut plan.operation.stages;
    if is_alone || !zones.is_empty() {
        stages.push(stages::note(primary.host, &wish.to, &zones));
    }
    if is_alone {
        stages.push(stages::serve(site, &wish.to));
    }
    // A switch that was interrupted may have left the old room stopped, and commits alone.
    let followers = recover::adopt(site, database, primary, wish.given_up.as_deref(), plan);
    let stages = &mut plan.operation.stages;
    if is_alone {
        recover::forget_what_is_stale(site, primary, stages);
    }
    stages.extend(proof::writable(site, database, primary, &followers));
}
