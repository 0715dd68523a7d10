//! The questions to ask when the global control plane doesn't work, in the order in which they are
//! worth asking, each with its answer.

use serde::Serialize;

use super::Site;
use super::checks::is_stuck;
use super::database::Db;
use super::gate::Verdict;
use super::majority::{Ensemble, quorum};
use crate::model::Scheme;

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// Whether all is well; nothing where that can't be seen from here.
    pub is_well: Option<bool>,
    /// What was found.
    pub findings: Vec<String>,
}

/// Answers every question.
pub fn doctor(site: &Site<'_>) -> Vec<Answer> {
    let mut answers = vec![entries(site), zookeeper(site)];
    for db in [Db::Recovery, Db::Global] {
        if !site.database(db).servers.is_empty() {
            answers.push(database(site, db));
        }
    }
    answers.push(pgpool(site));
    answers.push(haproxy(site));
    answers.push(zone_database(site));
    answers.push(cache(site));
    answers.push(hosts(site));
    answers
}

fn answer(question: &str, troubles: Vec<String>, well: impl Into<String>) -> Answer {
    let is_well = troubles.is_empty();
    Answer {
        question: question.to_owned(),
        is_well: Some(is_well),
        findings: if is_well { vec![well.into()] } else { troubles },
    }
}

/// 1. Where do clients come in: the hosts entry of the seed, which here leads to any room's entry.
fn entries(site: &Site<'_>) -> Answer {
    let question = "does every room's entry lead to the room that serves?";
    if site.ks.scheme.heals_itself() {
        return answer(question, Vec::new(), "every room serves");
    }
    let Some(serving) = site.serving_room() else {
        let none = "the global database has no one primary, so no room serves".to_owned();
        return answer(question, vec![none], "");
    };
    let mut troubles = Vec::new();
    for (host, view) in &site.facts.hosts {
        if let Some(entry) = view.entry.as_ref().filter(|entry| *entry != serving) {
            troubles.push(format!(
                "{host} leads to {entry}, but {serving} has the primary; {} mends that",
                recover_line(site)
            ));
        }
    }
    answer(
        question,
        troubles,
        format!("all that can be asked lead to {serving}"),
    )
}

/// The command that has everything follow the global database's primary.
fn recover_line(site: &Site<'_>) -> String {
    let database = site.database(Db::Global);
    let primary = database.primary().map_or("NODE", |primary| &primary.name);
    format!("`ks recover-pg --db global --primary {primary}`")
}

/// 2. Can anybody be elected?
fn zookeeper(site: &Site<'_>) -> Answer {
    let mut troubles = Vec::new();
    if site.ks.scheme.heals_itself() {
        let mut gates = Vec::new();
        quorum(site, &mut gates);
        let closed = gates.into_iter().filter(|gate| gate.verdict != Verdict::Go);
        troubles.extend(closed.map(|gate| gate.finding));
    }
    let ensemble = Ensemble::of(site);
    for host in ensemble.idle() {
        let view = site.facts.hosts.get(&host);
        let held = view.and_then(|view| view.zookeeper_held.as_deref());
        troubles.push(match held {
            Some(why) => format!("{host}: {why}"),
            None => format!("{host} serves nobody: `systemctl status paas-zookeeper` there"),
        });
    }
    troubles.extend(ensemble.left_over().iter().map(|host| {
        format!(
            "{host}: /etc/zookeeper/paas/zoo.cfg.whole is left over from going on alone; `ks \
             recover-pg` with the primary clears it"
        )
    }));
    answer(
        "does ZooKeeper have a majority, and serve everywhere?",
        troubles,
        "every one that can be asked serves",
    )
}

/// 3. Are the databases well?
fn database(site: &Site<'_>, db: Db) -> Answer {
    let database = site.database(db);
    let question = format!("is the {} database well?", db.name());
    let mut troubles = Vec::new();
    let primaries = database.primaries();
    if primaries.len() != 1 {
        let names: Vec<&str> = primaries
            .iter()
            .map(|server| server.name.as_str())
            .collect();
        troubles.push(match names[..] {
            [] => "no server takes writes".to_owned(),
            _ => format!("{} servers take writes: {}", names.len(), names.join(", ")),
        });
    }
    if let Some(primary) = database
        .primary()
        .filter(|primary| is_stuck(&database, primary))
    {
        troubles.push(format!(
            "writes hang: {} waits for {}, and none of them is there; `ks recover-pg --db {} \
             --primary {}` lets it go on without",
            primary.name,
            primary.view.map_or("", |view| &view.waits_for),
            db.name(),
            primary.name
        ));
    }
    if let Some(primary) = database.primary()
        && database.strays().is_empty()
        && !database.is_protected()
    {
        troubles.push(format!(
            "commits wait for nobody, so losing {} would lose writes; `ks recover-pg --db {} \
             --primary {}` mends it where Patroni doesn't in a few seconds",
            primary.name,
            db.name(),
            primary.name
        ));
    }
    if let Some(primary) = database.primary().filter(|_| database.lacks_strictness()) {
        troubles.push(format!(
            "{} may acknowledge alone since a person had it go on without the others; `ks recover-pg \
             --db {} --primary {}` has commits wait for another room always",
            primary.name,
            db.name(),
            primary.name
        ));
    }
    for server in database.strays() {
        troubles.push(format!("{}: {}", server.name, server.words()));
    }
    let well = database.primary().map_or_else(String::new, |primary| {
        format!("{} is the primary, the others follow", primary.name)
    });
    answer(&question, troubles, well)
}

/// 4. Do the pools reach the primary?
fn pgpool(site: &Site<'_>) -> Answer {
    let primary = site
        .database(Db::Global)
        .primary()
        .map(|p| p.host.to_string());
    let mut troubles = Vec::new();
    for (host, view) in &site.facts.hosts {
        let Some(said) = &view.pgpool else { continue };
        let reaches = said.strip_suffix(" false");
        if reaches.is_none() || reaches != primary.as_deref() {
            troubles.push(format!("{host}: {said}"));
        }
    }
    answer(
        "does every pgpool reach the primary?",
        troubles,
        "all that can be asked do, through haproxy",
    )
}

/// 5. Do the entries answer?
fn haproxy(site: &Site<'_>) -> Answer {
    let mut troubles = Vec::new();
    for (host, view) in &site.facts.hosts {
        let dead = view.fronts.iter().filter(|(_, leads)| !**leads);
        troubles.extend(dead.map(|(front, _)| {
            format!(
                "{host}: nobody is there behind {front}; `ks check-pg` and `status` tell who isn't"
            )
        }));
        if view.haproxy == Some(false) {
            troubles.push(format!("{host}: haproxy doesn't run"));
        } else if let Some(health) = &view.health
            && !(health.serving && health.writable)
        {
            let room = health.room.as_deref().unwrap_or("nobody");
            let why = health.error.as_deref().unwrap_or("no reason given");
            troubles.push(format!(
                "{host}: {room} answers, but can't take a write: {why}"
            ));
        }
    }
    answer(
        "does every entry answer, from a room that can write?",
        troubles,
        "all that can be asked do",
    )
}

/// 6. Is the zones' own database writable, where it's a cluster of its own?
fn zone_database(site: &Site<'_>) -> Answer {
    let question = "is the zone's own database writable?";
    if site.ks.scheme != Scheme::TwoRoomsConverged {
        return Answer {
            question: question.to_owned(),
            is_well: None,
            findings: vec![
                "not looked at: it's a cluster of its own, in the zone's cluster file; \
                 `paas-cluster-build -c ZONE.yml status` tells"
                    .to_owned(),
            ],
        };
    }
    let global = site.database(Db::Global);
    let Some(primary) = global.primary() else {
        let none = "no server that carries it takes writes".to_owned();
        return answer(question, vec![none], "");
    };
    let there = primary.view.map_or(&[][..], |view| &view.zones);
    let zones = site.ks.rooms.iter().filter_map(|room| room.zone.as_ref());
    let missing = zones.filter(|zone| !there.contains(zone));
    answer(
        question,
        missing
            .map(|zone| format!("there is no database zone_{zone} on {}", primary.name))
            .collect(),
        format!(
            "{} carries and takes writes for {}",
            primary.name,
            there.join(", ")
        ),
    )
}

/// 7. Does a cache mislead the billing services?
fn cache(site: &Site<'_>) -> Answer {
    let question = "does a cache name a room that doesn't serve?";
    let Some(serving) = site
        .serving_room()
        .filter(|_| !site.ks.scheme.heals_itself())
    else {
        return answer(question, Vec::new(), "it doesn't matter here");
    };
    let mut troubles = Vec::new();
    for (host, view) in &site.facts.hosts {
        if let Some(cached) = &view.cached
            && !cached.is_empty()
            && cached != serving
        {
            troubles.push(format!(
                "{host} has {cached} cached, but {serving} serves; {} clears it and restarts what \
                 reads it",
                recover_line(site)
            ));
        }
    }
    answer(question, troubles, "none does")
}

fn hosts(site: &Site<'_>) -> Answer {
    let silent = site.facts.silent.iter();
    let troubles = silent.map(|(host, why)| {
        let room = site.ks.room_of(*host).map_or("no room", |room| &room.name);
        format!("{host} ({room}): {why}")
    });
    answer("can every host be asked?", troubles.collect(), "every one")
}
