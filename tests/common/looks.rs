//! What hosts of the global control plane say, made up: looks at them, and the plans that follow.

use std::collections::{BTreeMap, BTreeSet};

use paas_cluster_build::ks::{HostView, KsFacts, KsPlan, Site, Switch, Verdict};
use paas_cluster_build::model::Cluster;
use paas_cluster_build::operation::{KsScript, Task};

use super::{catalog, cluster};

/// A database server's part of a look.
pub struct Server {
    pub role: &'static str,
    pub timeline: u64,
    pub location: u64,
    /// Who follows it, all streaming.
    pub followers: &'static [&'static str],
    pub waits_for: &'static str,
}

pub const PRIMARY: Server = Server {
    role: "master",
    timeline: 1,
    location: 1000,
    followers: &["global1a-pgserver1"],
    waits_for: "\"global1a-pgserver1\"",
};
pub const STANDBY: Server = Server {
    role: "replica",
    timeline: 1,
    location: 1000,
    followers: &[],
    waits_for: "",
};
pub const LEADER: Server = Server {
    role: "standby_leader",
    ..STANDBY
};

pub fn look(database: &str, server: &Server) -> String {
    let followers: Vec<String> = server
        .followers
        .iter()
        .map(|name| {
            format!(
                r#"{{"application_name": "{name}", "state": "streaming", "sync_state": "sync"}}"#
            )
        })
        .collect();
    let place = if server.role == "master" {
        "location"
    } else {
        "received_location"
    };
    let streams = if server.role == "master" {
        String::new()
    } else {
        format!("streaming {} 127.0.0.1", server.timeline)
    };
    format!(
        "cluster {database} 200 {{\"members\": [{{\"name\": \"global1a-pgserver1\", \"role\": \
         \"sync_standby\"}}]}}\nunit {database} active\nnode {database} 200 {{\"state\": \"running\", \"role\": \"{}\", \
         \"timeline\": {}, \"xlog\": {{\"{place}\": {}}}, \"replication\": [{}]}}\n\
         sync {database} {}\nreceived {database} {streams}\n",
        server.role,
        server.timeline,
        server.location,
        followers.join(", "),
        server.waits_for
    )
}

/// What hosts say; those that aren't listed are silent.
pub fn facts(cluster: &Cluster, hosts: &[(&str, String)]) -> KsFacts {
    let mut facts = KsFacts::default();
    for host in &cluster.hosts {
        let said = hosts
            .iter()
            .find(|(name, _)| name.parse() == Ok(host.address));
        match said {
            Some((_, text)) => {
                facts.hosts.insert(host.address, HostView::parse(text));
            }
            None => {
                facts.silent.insert(host.address, "no way".to_owned());
            }
        }
    }
    facts
}

pub fn two_rooms() -> Cluster {
    cluster("config/global-ks-two-rooms.yml", &catalog())
}

/// Both rooms as they are on a good day.
pub fn good_day() -> Vec<(&'static str, String)> {
    let recovery = Server {
        followers: &["global2a-recoverypgserver0"],
        waits_for: "ANY 1 (\"global2a-recoverypgserver0\")",
        ..PRIMARY
    };
    let serving = "zookeeper leader\nentry global1a\nhaproxy active\nhealth 200 {\"serving\": true, \
                   \"writable\": true}\npgpool 10.8.4.11 false\ncached global1a\n";
    vec![
        (
            "10.8.4.11",
            look("global", &PRIMARY) + &look("recovery", &recovery) + serving,
        ),
        ("10.8.4.12", look("global", &STANDBY)),
        ("10.8.4.13", "zookeeper follower\n".to_owned()),
        (
            "10.8.5.11",
            look("global", &STANDBY) + &look("recovery", &LEADER) + serving,
        ),
        ("10.8.5.12", look("global", &LEADER)),
        ("10.8.5.13", "zookeeper follower\n".to_owned()),
    ]
}

pub fn without(day: Vec<(&'static str, String)>, gone: &str) -> Vec<(&'static str, String)> {
    day.into_iter()
        .filter(|(host, _)| !host.starts_with(gone))
        .collect()
}

pub fn replaced(
    day: Vec<(&'static str, String)>,
    host: &'static str,
    text: String,
) -> Vec<(&'static str, String)> {
    let mut day = without(day, host);
    day.push((host, text));
    day
}

pub fn plan(cluster: &Cluster, facts: &KsFacts, of: impl Fn(&Site<'_>) -> KsPlan) -> KsPlan {
    let plan = of(&Site {
        cluster,
        ks: cluster.global_ks.as_ref().unwrap(),
        facts,
        run: "r1",
    });
    // A stage and a step are known by their names: twice the same couldn't be followed.
    let names = plan.operation.stages.iter().map(|stage| &stage.name);
    let different: BTreeSet<&String> = names.clone().collect();
    assert_eq!(different.len(), names.count(), "{:?}", steps(&plan));
    let all = steps(&plan);
    let different: BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "{all:?}");
    plan
}

pub fn to(room: &str, back: bool) -> Switch {
    Switch {
        to: room.to_owned(),
        back,
        disaster_zone: None,
        given_up: None,
    }
}

/// The plan is refused, and a gate says so in these words.
#[track_caller]
pub fn assert_refused(plan: &KsPlan, words: &str) {
    let closed: Vec<&str> = plan
        .gates
        .iter()
        .filter(|gate| gate.verdict == Verdict::NoGo)
        .map(|gate| gate.finding.as_str())
        .collect();
    assert!(
        closed.iter().any(|finding| finding.contains(words)),
        "{words}: {:#?}",
        plan.gates
    );
    assert!(!plan.is_go());
}

/// The scripts of a plan in order, each with its host's last number.
pub fn steps(plan: &KsPlan) -> Vec<String> {
    let tasks = plan.operation.stages.iter().flat_map(|stage| &stage.tasks);
    tasks
        .map(|task| match task {
            Task::Ks(task) => format!("{} {}", task.step(), task.host),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The values of a plan's first step of a kind.
pub fn values(plan: &KsPlan, script: KsScript) -> BTreeMap<String, serde_json::Value> {
    let mut tasks = plan.operation.stages.iter().flat_map(|stage| &stage.tasks);
    let found = tasks.find_map(|task| match task {
        Task::Ks(task) if task.script == script => Some(task.values.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {script:?}: {:?}", steps(plan)))
}
