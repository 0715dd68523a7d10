//! The one ZooKeeper ensemble of a scheme that heals itself: whether it has a majority; where too few
//! are left, how these go on without the others; and how the others are taken back.

use std::net::IpAddr;

use super::database::{Database, Db, Server};
use super::facts::HostView;
use super::gate::Gate;
use super::stages::{self, about, stage};
use super::{KsPlan, Site, proof};
use crate::operation::{KsScript, KsTask};

const QUESTION: &str = "has ZooKeeper a majority?";

/// The members of the ensemble, as their hosts have them.
pub(super) struct Ensemble<'a> {
    members: Vec<(IpAddr, Option<&'a HostView>)>,
}

impl<'a> Ensemble<'a> {
    pub(super) fn of(site: &Site<'a>) -> Ensemble<'a> {
        let hosts = site.cluster.instances_of_job("zookeeper");
        let hosts = hosts.map(|(_, instance)| instance.address);
        Ensemble {
            members: hosts
                .map(|host| (host, site.facts.hosts.get(&host)))
                .collect(),
        }
    }

    fn those(&self, are: impl Fn(Option<&HostView>) -> bool) -> Vec<IpAddr> {
        let those = self.members.iter().filter(|(_, view)| are(*view));
        those.map(|(host, _)| *host).collect()
    }

    /// Those that go on without the others. One that rejoins is still one of them until all serve
    /// again, unless these went on without it.
    fn alone(&self) -> Vec<IpAddr> {
        let has =
            |is: fn(&HostView) -> bool| self.members.iter().any(|(_, view)| view.is_some_and(is));
        let some_are = has(|view| view.zookeeper_alone);
        let whole_serves = has(|view| !view.zookeeper_alone && serves(view));
        let rejoins = |view: &HostView| {
            view.zookeeper_rejoining && view.zookeeper_held.is_none() && (some_are || !whole_serves)
        };
        self.those(|view| view.is_some_and(|view| view.zookeeper_alone || rejoins(view)))
    }

    /// Those that can be asked and that others went on without.
    fn back(&self) -> Vec<IpAddr> {
        let alone = self.alone();
        let mut back = self.those(|view| view.is_some());
        back.retain(|host| !alone.contains(host));
        back
    }

    /// Those that are members of the whole again, but weren't cleaned up after.
    pub(super) fn left_over(&self) -> Vec<IpAddr> {
        let alone = self.alone();
        let mut those = self.those(|view| view.is_some_and(|view| view.zookeeper_rejoining));
        those.retain(|host| !alone.contains(host));
        those
    }

    /// Whether some serve beside those that a person had go on alone.
    pub(super) fn is_beside(&self) -> bool {
        !self.beside().is_empty()
    }

    fn beside(&self) -> Vec<IpAddr> {
        if !self.is_reduced() {
            return Vec::new();
        }
        let alone = self.alone();
        let mut beside = self.those(|view| view.is_some_and(serves));
        beside.retain(|host| !alone.contains(host));
        beside
    }

    fn silent(&self) -> Vec<IpAddr> {
        self.those(|view| view.is_none())
    }

    /// Those that can be asked, and serve nobody.
    pub(super) fn idle(&self) -> Vec<IpAddr> {
        self.those(|view| view.is_some_and(|view| !serves(view)))
    }

    fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Whether some go on without the others.
    pub(super) fn is_reduced(&self) -> bool {
        !self.alone().is_empty()
    }

    /// Whether those that vote at the moment have a majority among themselves.
    pub(super) fn has_majority(&self) -> bool {
        let alone = self.alone();
        let mut serving = self.those(|view| view.is_some_and(serves));
        let voters = match alone.len() {
            0 => self.members.len(),
            some => {
                serving.retain(|host| alone.contains(host));
                some
            }
        };
        serving.len() * 2 > voters
    }

    /// Names where members are: their rooms, or the arbiter.
    fn places(&self, site: &Site<'_>, members: &[IpAddr]) -> Vec<String> {
        let mut places = Vec::new();
        for host in members {
            let room = site.ks.room_of(*host);
            let place = room.map_or("arbiter".to_owned(), |room| room.name.clone());
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

fn serves(view: &HostView) -> bool {
    view.zookeeper.as_deref().is_some_and(|mode| mode != "none")
}

/// A majority of the ensemble answers.
pub(super) fn quorum(site: &Site<'_>, gates: &mut Vec<Gate>) {
    let ensemble = Ensemble::of(site);
    let (all, alone) = (ensemble.members.len(), ensemble.alone());
    let serving = ensemble.those(|view| view.is_some_and(serves)).len();
    if let Some(two) = two_ensembles(&ensemble) {
        gates.push(two);
        return;
    }
    gates.push(match (ensemble.has_majority(), alone.is_empty()) {
        (true, true) => Gate::go(QUESTION, format!("{serving} of {all} serve")),
        (true, false) => Gate::warn(
            QUESTION,
            format!("{} of {all} go on without the others", alone.len()),
        ),
        (false, _) => Gate::no(
            QUESTION,
            format!(
                "{serving} of {all} serve, so nobody can be elected and no write is taken; bring a \
                 room or the arbiter back, or `ks recover-pg --db global --primary NODE` has what is \
                 left go on without"
            ),
        ),
    });
}

/// Two ensembles at once: those that were left behind have found a majority of their own.
fn two_ensembles(ensemble: &Ensemble<'_>) -> Option<Gate> {
    let hosts = words(&ensemble.beside())?;
    let alone = words(&ensemble.alone())?;
    Some(Gate::no(
        QUESTION,
        format!(
            "there are two ensembles: {hosts} serve beside {alone}, which a person had go on alone. \
             Both may have taken writes. Stop the side whose data counts less at once (`systemctl \
             disable --now paas-zookeeper pg-global`); the runbook \"The majority is lost\" says how \
             it comes back"
        ),
    ))
}

fn words(hosts: &[IpAddr]) -> Option<String> {
    let hosts: Vec<String> = hosts.iter().map(IpAddr::to_string).collect();
    (!hosts.is_empty()).then(|| hosts.join(", "))
}

/// The addresses in one line, as scripts take them.
fn line(hosts: &[IpAddr]) -> String {
    let hosts: Vec<String> = hosts.iter().map(IpAddr::to_string).collect();
    hosts.join(" ")
}

/// Too few are left: a person may have them go on without the others. `server` is the one that is to
/// be the primary.
pub(super) fn go_on_without(
    site: &Site<'_>,
    database: &Database<'_>,
    server: &Server<'_>,
    plan: &mut KsPlan,
) {
    let ensemble = Ensemble::of(site);
    let (left, dark) = (ensemble.back(), ensemble.silent());
    let all = ensemble.members.len();
    if left.is_empty() {
        plan.gates
            .push(Gate::no(QUESTION, "none can be asked; bring one back"));
        return;
    }
    if left.len() >= ensemble.majority() {
        plan.gates.push(Gate::no(
            QUESTION,
            format!(
                "{} of {all} can be asked, but they serve nobody: look again, then at `systemctl \
                 status paas-zookeeper` on {}",
                left.len(),
                words(&ensemble.idle()).unwrap_or_default()
            ),
        ));
        return;
    }
    let places = ensemble.places(site, &dark).join(",");
    plan.gates.push(Gate::warn(
        QUESTION,
        format!(
            "{} of {all} can be asked, so nobody can be elected. Best is to bring any one of {places} \
             back: then it heals by itself",
            left.len()
        ),
    ));
    plan.gates.push(Gate::warn(
        &format!("can {places} be kept from writing?"),
        format!(
            "no: they can't be asked. They must be off, and stay off until they can reach {}: \
             together they are a majority of their own",
            words(&left).unwrap_or_default()
        ),
    ));
    plan.unfenced = Some(places.clone());
    plan.loses = format!(
        "nothing if {} was in touch when the others went dark; else what they acknowledged \
         afterwards{}",
        server.name,
        last_write(server)
    );
    plan.expected_seconds = 45;
    let name = format!("ZooKeeper goes on without {places}");
    plan.operation.stages.push(alone(&name, &left, &dark));
    plan.point_of_no_return = Some(name);
    elect_all(site, database, server, plan);
    let entries = stages::reachable(site, "proxy");
    plan.operation.stages.push(proof::write(site, &entries));
}

fn alone(name: &str, left: &[IpAddr], dark: &[IpAddr]) -> crate::operation::Outline {
    let task = |host: &IpAddr| {
        KsTask::new(KsScript::ZookeeperAlone, *host)
            .with("remaining", line(left))
            .with("dark", line(dark))
    };
    stage(name, left.iter().map(task).collect())
}

/// Says when the last write was committed that a server has.
pub(super) fn last_write(server: &Server<'_>) -> String {
    let at = server.view.and_then(|view| view.replayed_at);
    let at = at.and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(String::new, |at| {
        format!("; the last write that it has was committed {at}")
    })
}

/// Each database elects among what is left, and acknowledges alone.
fn elect_all(site: &Site<'_>, database: &Database<'_>, server: &Server<'_>, plan: &mut KsPlan) {
    plan.operation.stages.push(elect(database, server, false));
    for db in [Db::Recovery, Db::Global] {
        let other = site.database(db);
        let mut there = other.servers.iter().filter(|server| server.view.is_some());
        if db != database.db
            && let Some(there) = there.next()
        {
            plan.operation.stages.push(elect(&other, there, false));
        }
    }
}

/// Has Patroni elect; with `strict`, the primary acknowledges nothing that no other server confirms.
pub(super) fn elect(
    database: &Database<'_>,
    server: &Server<'_>,
    strict: bool,
) -> crate::operation::Outline {
    let there = database.servers.iter().filter(|s| s.view.is_some());
    let peers: Vec<IpAddr> = there.map(|server| server.host).collect();
    let task = about(database.db, KsScript::Elect, server.host)
        .with("strict", strict)
        .with("peers", line(&peers));
    let name = match strict {
        true => format!(
            "commits wait for another room always ({})",
            database.db.name()
        ),
        false => format!("elect among those that are left ({})", database.db.name()),
    };
    stage(&name, vec![task])
}

/// Those that came back are members again, once they are enough for a majority of all.
pub(super) fn rejoin(site: &Site<'_>, plan: &mut KsPlan) {
    let ensemble = Ensemble::of(site);
    let (survivors, back, dark) = (ensemble.alone(), ensemble.back(), ensemble.silent());
    let question = "can the others be taken back into ZooKeeper?";
    if !ensemble.is_reduced() {
        let idle = ensemble.idle();
        if let Some(hosts) = words(&idle) {
            plan.gates.push(Gate::warn(
                "does every ZooKeeper serve?",
                format!("{hosts} doesn't: started"),
            ));
            plan.operation.stages.push(join("start ZooKeeper", &idle));
        }
        let mut left_over = ensemble.left_over();
        left_over.retain(|host| !idle.contains(host));
        if !left_over.is_empty() {
            let stage = join("ZooKeeper is one of all again", &left_over);
            plan.operation.stages.push(stage);
        }
        return;
    }
    if !ensemble.has_majority() {
        // An earlier attempt ended half-way.
        if !dark.is_empty() {
            plan.unfenced = Some(ensemble.places(site, &dark).join(","));
            plan.loses =
                "what those that can't be asked acknowledged without the others".to_owned();
        }
        let stage = alone("ZooKeeper goes on alone", &survivors, &dark);
        plan.operation.stages.push(stage);
    }
    let stages = &mut plan.operation.stages;
    if survivors.len() + back.len() < ensemble.majority() {
        plan.gates.push(Gate::warn(
            question,
            format!(
                "not yet: {} can't be asked",
                ensemble.places(site, &dark).join(", ")
            ),
        ));
        return;
    }
    plan.gates.push(Gate::go(
        question,
        format!(
            "{} rejoin {}, emptied before: what they know is old",
            words(&back).unwrap_or_default(),
            words(&survivors).unwrap_or_default()
        ),
    ));
    let clear = |host: &IpAddr| {
        KsTask::new(KsScript::ZookeeperClear, *host).with("survivors", line(&survivors))
    };
    stages.push(stage(
        "empty the ZooKeepers that came back",
        back.iter().map(clear).collect(),
    ));
    // Never so many emptied ones that they are a majority by themselves.
    let (first, then) = back.split_at(ensemble.majority() - survivors.len());
    stages.push(join(
        "ZooKeeper is a majority of all again",
        &[&survivors, first].concat(),
    ));
    if !then.is_empty() {
        stages.push(join("the others of ZooKeeper join", then));
    }
}

fn join(name: &str, hosts: &[IpAddr]) -> crate::operation::Outline {
    let task = |host: &IpAddr| KsTask::new(KsScript::ZookeeperJoin, *host);
    stage(name, hosts.iter().map(task).collect())
}
