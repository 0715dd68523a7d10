//! The gates before an operation on the global control plane: what is refused, and with which words.
//! The facts are what `deploy/ks/look.sh` prints.

mod common;

use common::{catalog, cluster};
use paas_cluster_build::ks::{
    Db, HostView, KsFacts, KsPlan, Site, Switch, Verdict, advise, doctor, recover, switch,
};
use paas_cluster_build::model::Cluster;
use paas_cluster_build::operation::{KsScript, Task};

/// A database server's part of a look.
struct Server {
    role: &'static str,
    timeline: u64,
    location: u64,
    /// Who follows it, all streaming.
    followers: &'static [&'static str],
    waits_for: &'static str,
}

const PRIMARY: Server = Server {
    role: "master",
    timeline: 1,
    location: 1000,
    followers: &["global1a-pgserver1"],
    waits_for: "\"global1a-pgserver1\"",
};
const STANDBY: Server = Server {
    role: "replica",
    timeline: 1,
    location: 1000,
    followers: &[],
    waits_for: "",
};
const LEADER: Server = Server {
    role: "standby_leader",
    ..STANDBY
};

fn look(database: &str, server: &Server) -> String {
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
fn facts(cluster: &Cluster, hosts: &[(&str, String)]) -> KsFacts {
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

fn two_rooms() -> Cluster {
    cluster("config/global-ks-two-rooms.yml", &catalog())
}

/// Both rooms as they are on a good day.
fn good_day() -> Vec<(&'static str, String)> {
    let recovery = Server {
        followers: &["global2a-recoverypgserver0"],
        waits_for: "ANY 1 (\"global2a-recoverypgserver0\")",
        ..PRIMARY
    };
    let serving = "zookeeper leader\nentry global1a\nhaproxy active\nhealth 200 {\"serving\": true, \
                   \"writable\": true}\npgpool 10.8.4.11/32 false\ncached global1a\n";
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

fn without(day: Vec<(&'static str, String)>, gone: &str) -> Vec<(&'static str, String)> {
    day.into_iter()
        .filter(|(host, _)| !host.starts_with(gone))
        .collect()
}

fn replaced(
    day: Vec<(&'static str, String)>,
    host: &'static str,
    text: String,
) -> Vec<(&'static str, String)> {
    let mut day = without(day, host);
    day.push((host, text));
    day
}

fn plan(cluster: &Cluster, facts: &KsFacts, of: impl Fn(&Site<'_>) -> KsPlan) -> KsPlan {
    of(&Site {
        cluster,
        ks: cluster.global_ks.as_ref().unwrap(),
        facts,
        run: "r1",
    })
}

fn to(room: &str, back: bool) -> Switch {
    Switch {
        to: room.to_owned(),
        back,
        disaster_zone: None,
        given_up: None,
    }
}

/// The plan is refused, and a gate says so in these words.
#[track_caller]
fn assert_refused(plan: &KsPlan, words: &str) {
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
fn steps(plan: &KsPlan) -> Vec<String> {
    let tasks = plan.operation.stages.iter().flat_map(|stage| &stage.tasks);
    tasks
        .map(|task| match task {
            Task::Ks(task) => format!("{} {}", task.step(), task.host),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_planned_switch_stops_the_old_room_first_and_ends_with_it_following() {
    let cluster = two_rooms();
    let facts = facts(&cluster, &good_day());
    let plan = plan(&cluster, &facts, |site| {
        switch(site, &to("global2a", false))
    });
    assert!(plan.is_go(), "{:#?}", plan.gates);
    assert_eq!(
        steps(&plan),
        [
            "ks-stop-global 10.8.4.12",
            "ks-stop-global 10.8.4.11",
            "ks-promote-global 10.8.5.12",
            "ks-master 10.8.5.12",
            "ks-serve 10.8.4.11",
            "ks-serve 10.8.5.11",
            "ks-write 10.8.4.11",
            "ks-write 10.8.5.11",
            "ks-follow-global 10.8.4.11",
            "ks-follow-global 10.8.4.12",
            "ks-seen-global 10.8.4.11",
            "ks-seen-global 10.8.4.12",
        ]
    );
    assert_eq!(plan.unfenced, None);
    assert_eq!(
        plan.point_of_no_return.as_deref(),
        Some("promote global2a (global)")
    );
}

#[test]
fn a_room_that_cannot_be_asked_has_to_be_named() {
    let cluster = two_rooms();
    let recovery = Server {
        waits_for: "",
        ..PRIMARY
    };
    let day = without(good_day(), "10.8.4.");
    let day = replaced(
        day,
        "10.8.5.11",
        look("global", &STANDBY) + &look("recovery", &recovery),
    );
    let facts = facts(&cluster, &day);
    let plan = plan(&cluster, &facts, |site| {
        switch(site, &to("global2a", false))
    });
    assert!(plan.is_go(), "{:#?}", plan.gates);
    assert_eq!(plan.unfenced.as_deref(), Some("global1a"));
    assert!(plan.loses.contains("asynchronous"), "{}", plan.loses);
    assert!(!steps(&plan).iter().any(|step| step.contains("10.8.4.")));
}

#[test]
fn a_failback_is_refused_before_everything_follows() {
    let cluster = two_rooms();
    let facts = facts(
        &cluster,
        &replaced(good_day(), "10.8.5.12", "unit global failed\n".to_owned()),
    );
    let plan = plan(&cluster, &facts, |site| switch(site, &to("global2a", true)));
    assert_refused(&plan, "too early: take them back first");
}

#[test]
fn a_server_on_an_older_timeline_does_not_follow() {
    let cluster = two_rooms();
    // "Standby, running, nothing behind", and yet diverged.
    let primary = Server {
        timeline: 2,
        ..PRIMARY
    };
    let recovery = look(
        "recovery",
        &Server {
            waits_for: "",
            ..PRIMARY
        },
    );
    let day = replaced(
        good_day(),
        "10.8.4.11",
        look("global", &primary) + &recovery,
    );
    let facts = facts(&cluster, &day);
    let plan = plan(&cluster, &facts, |site| {
        switch(site, &to("global2a", false))
    });
    assert_refused(&plan, "it doesn't follow the primary");
}

#[test]
fn the_recovery_database_comes_first() {
    let cluster = two_rooms();
    let facts = facts(&cluster, &without(good_day(), "10.8.4."));
    let plan = plan(&cluster, &facts, |site| {
        switch(site, &to("global2a", false))
    });
    assert_refused(
        &plan,
        "it comes first: `ks recover-pg --db recovery --primary global2a-recoverypgserver0`",
    );
}

#[test]
fn two_primaries_stop_everything() {
    let cluster = two_rooms();
    let facts = facts(
        &cluster,
        &replaced(good_day(), "10.8.5.12", look("global", &PRIMARY)),
    );
    for room in ["global1a", "global2a"] {
        let plan = plan(&cluster, &facts, |site| switch(site, &to(room, false)));
        assert_refused(
            &plan,
            "global1a-pgserver0 and global2a-pgserver1 all take writes",
        );
    }
    let plan = plan(&cluster, &facts, |site| {
        recover(site, Db::Global, "global1a-pgserver0", None)
    });
    assert_refused(&plan, "all take writes");
    let site = Site {
        cluster: &cluster,
        ks: cluster.global_ks.as_ref().unwrap(),
        facts: &facts,
        run: "r1",
    };
    assert!(
        advise(&site)
            .iter()
            .any(|line| line.contains("both take writes"))
    );
}

#[test]
fn a_primary_that_lags_is_not_made_one() {
    let cluster = two_rooms();
    let behind = Server {
        location: 600,
        ..LEADER
    };
    let day = replaced(good_day(), "10.8.4.11", look("global", &STANDBY));
    let day = replaced(day, "10.8.5.12", look("global", &behind));
    let facts = facts(&cluster, &day);
    let plan = plan(&cluster, &facts, |site| {
        recover(site, Db::Global, "global2a-pgserver1", None)
    });
    assert_refused(&plan, "has 400 bytes more than global2a-pgserver1");
}

#[test]
fn a_name_that_is_no_server_is_told_with_those_that_are() {
    let cluster = two_rooms();
    let facts = facts(&cluster, &good_day());
    let plan = plan(&cluster, &facts, |site| {
        recover(site, Db::Recovery, "global1a-pgserver0", None)
    });
    assert_refused(
        &plan,
        "global1a-recoverypgserver0, global2a-recoverypgserver0",
    );
}

#[test]
fn a_dark_standby_room_lets_commits_go_on_and_comes_back() {
    let cluster = two_rooms();
    let dark = facts(&cluster, &without(good_day(), "10.8.5."));
    let name = "global1a-recoverypgserver0";
    let relax = plan(&cluster, &dark, |site| {
        recover(site, Db::Recovery, name, None)
    });
    assert!(relax.is_go(), "{:#?}", relax.gates);
    assert_eq!(steps(&relax), ["ks-wait-for-recovery 10.8.4.11"]);
    assert_eq!(
        relax.operation.stages[0].name,
        "commits wait for nobody (recovery)"
    );
    // Back, but not following, and commits wait for nobody yet.
    let alone = Server {
        waits_for: "",
        followers: &[],
        ..PRIMARY
    };
    let day = replaced(
        good_day(),
        "10.8.4.11",
        look("global", &PRIMARY) + &look("recovery", &alone),
    );
    let day = replaced(
        day,
        "10.8.5.11",
        look("global", &STANDBY) + "unit recovery activating\n",
    );
    let back = facts(&cluster, &day);
    let adopt = plan(&cluster, &back, |site| {
        recover(site, Db::Recovery, name, None)
    });
    assert!(adopt.is_go(), "{:#?}", adopt.gates);
    assert_eq!(
        steps(&adopt),
        [
            "ks-follow-recovery 10.8.5.11",
            "ks-wait-for-recovery 10.8.4.11"
        ]
    );
}

#[test]
fn without_a_majority_nothing_is_promised() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let facts = facts(
        &cluster,
        &[("10.8.1.11", look("global", &STANDBY) + "zookeeper none\n")],
    );
    for name in ["global1a-pgserver0", "global2a-pgserver0"] {
        let plan = plan(&cluster, &facts, |site| {
            recover(site, Db::Global, name, None)
        });
        assert_refused(&plan, "0 of 3 serve, so nobody can be elected");
    }
    let plan = plan(&cluster, &facts, |site| {
        switch(site, &to("global1a", false))
    });
    assert_refused(&plan, "there is no primary to hand over");
}

#[test]
fn three_rooms_hand_over_inside_one_cluster() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let rest = "zookeeper follower\nentry global1a\n";
    let primary = Server {
        waits_for: "2 (\"global2a-pgserver0\",\"global3a-pgserver0\")",
        ..PRIMARY
    };
    let day = [
        ("10.8.1.11", look("global", &primary) + rest),
        ("10.8.2.11", look("global", &STANDBY) + rest),
        ("10.8.3.11", look("global", &STANDBY) + rest),
    ];
    let facts = facts(&cluster, &day);
    let plan = plan(&cluster, &facts, |site| {
        switch(site, &to("global3a", false))
    });
    assert!(plan.is_go(), "{:#?}", plan.gates);
    let scripts: Vec<KsScript> = plan
        .operation
        .stages
        .iter()
        .flat_map(|stage| &stage.tasks)
        .filter_map(|task| match task {
            Task::Ks(task) => Some(task.script),
            _ => None,
        })
        .collect();
    assert_eq!(scripts[0], KsScript::Switchover);
    assert!(
        scripts[1..]
            .iter()
            .all(|script| matches!(script, KsScript::Write | KsScript::Seen))
    );
}

#[test]
fn the_doctor_asks_in_order_and_names_the_finding() {
    let cluster = two_rooms();
    let day = replaced(
        good_day(),
        "10.8.5.11",
        look("global", &STANDBY)
            + "unit recovery failed\nwhy recovery room-guard: not started: the other room can't be \
               asked\nzookeeper leader\nentry global2a\nhaproxy active\nhealth 503 {\"room\": \
               \"global2a\", \"serving\": false, \"error\": \"global1a serves\"}\npgpool FATAL: no\n\
               cached global2a\n",
    );
    let facts = facts(&cluster, &without(day, "10.8.5.13"));
    let site = Site {
        cluster: &cluster,
        ks: cluster.global_ks.as_ref().unwrap(),
        facts: &facts,
        run: "r1",
    };
    let answers = doctor(&site);
    let said = |number: usize| answers[number].findings.join("\n");
    assert!(said(0).contains("10.8.5.11 leads to global2a, but global1a has the primary"));
    assert!(
        said(1).contains("held back: not started: the other room can't be asked"),
        "{}",
        said(1)
    );
    assert!(answers[2].is_well, "{}", said(2));
    assert!(said(3).contains("10.8.5.11: FATAL: no"));
    assert!(said(4).contains("can't take a write: global1a serves"));
    assert!(said(6).contains("10.8.5.11 has global2a cached, but global1a serves"));
    assert!(said(7).contains("10.8.5.13 (global2a): no way"));
}

#[test]
fn a_room_with_a_silent_server_is_not_stopped_by_halves() {
    let cluster = two_rooms();
    // The other server there would be elected when the primary stops.
    let facts = facts(&cluster, &without(good_day(), "10.8.4.12"));
    let plan = plan(&cluster, &facts, |site| {
        switch(site, &to("global2a", false))
    });
    assert_refused(
        &plan,
        "global1a-pgserver1 can't be asked, and could become the primary there",
    );
}

/// The values of a plan's first step of a kind.
fn values(
    plan: &KsPlan,
    script: KsScript,
) -> std::collections::BTreeMap<String, serde_json::Value> {
    let mut tasks = plan.operation.stages.iter().flat_map(|stage| &stage.tasks);
    let found = tasks.find_map(|task| match task {
        Task::Ks(task) if task.script == script => Some(task.values.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {script:?}: {:?}", steps(plan)))
}

#[test]
fn a_switch_that_was_interrupted_still_wants_everything_to_be_there() {
    let cluster = two_rooms();
    // The old room was stopped; the new one wasn't promoted.
    let stopped = "unit global inactive\nnode global 000\ncontrol global 1\n";
    let day = replaced(good_day(), "10.8.4.12", stopped.to_owned());
    let recovery = Server {
        followers: &["global2a-recoverypgserver0"],
        waits_for: "ANY 1 (\"global2a-recoverypgserver0\")",
        ..PRIMARY
    };
    let day = replaced(
        day,
        "10.8.4.11",
        stopped.to_owned() + &look("recovery", &recovery),
    );
    let facts = facts(&cluster, &day);
    let again = plan(&cluster, &facts, |site| {
        switch(site, &to("global2a", false))
    });
    assert!(again.is_go(), "{:#?}", again.gates);
    assert_eq!(again.unfenced, None);
    assert_eq!(values(&again, KsScript::Promote)["planned"], true);
    // Unless a person gives up what the old room has.
    let mut wish = to("global2a", false);
    wish.given_up = Some("global1a".to_owned());
    let given_up = plan(&cluster, &facts, |site| switch(site, &wish));
    assert_eq!(values(&given_up, KsScript::Promote)["planned"], false);
    assert!(
        given_up.loses.contains("asynchronous"),
        "{}",
        given_up.loses
    );
}

#[test]
fn the_room_on_the_later_timeline_counts() {
    let cluster = two_rooms();
    let down = |timeline: u64| {
        format!(
            "unit global activating\nnode global 000\ncontrol global {timeline}\nwhy global \
             room-guard: not started: the other room can't be asked\n"
        )
    };
    let day = vec![("10.8.4.11", down(1)), ("10.8.5.12", down(2))];
    let facts = facts(&cluster, &day);
    let wrong = plan(&cluster, &facts, |site| {
        recover(site, Db::Global, "global1a-pgserver0", None)
    });
    assert_refused(&wrong, "global2a-pgserver1 is on timeline 2, later (1)");
    let right = plan(&cluster, &facts, |site| {
        recover(site, Db::Global, "global2a-pgserver1", None)
    });
    assert!(right.is_go(), "{:#?}", right.gates);
    assert_eq!(right.unfenced.as_deref(), Some("global1a"));
    assert_eq!(steps(&right), ["ks-start-global 10.8.5.12"]);
}

#[test]
fn a_standby_that_is_cut_off_keeps_its_data() {
    let cluster = two_rooms();
    // It can be asked from here, but the primary sees nobody: whoever is cut off is left alone.
    let alone = Server {
        followers: &[],
        waits_for: "ANY 1 (\"global2a-recoverypgserver0\")",
        ..PRIMARY
    };
    let day = replaced(
        good_day(),
        "10.8.4.11",
        look("global", &PRIMARY) + &look("recovery", &alone),
    );
    let cut = "unit recovery active\nnode recovery 200 {\"state\": \"running\", \"role\": \
               \"standby_leader\", \"timeline\": 1}\n";
    let day = replaced(day, "10.8.5.11", look("global", &STANDBY) + cut);
    let facts = facts(&cluster, &day);
    let name = "global1a-recoverypgserver0";
    let plan = plan(&cluster, &facts, |site| {
        recover(site, Db::Recovery, name, None)
    });
    assert_eq!(steps(&plan), ["ks-wait-for-recovery 10.8.4.11"]);
}
