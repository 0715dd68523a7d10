//! The majority of ZooKeeper is lost: what is left goes on by a person's word, and the others are taken
//! back.

mod common;

use common::looks::*;
use common::{catalog, cluster};
use paas_cluster_build::ks::{Db, KsFacts, recover, switch};
use paas_cluster_build::operation::KsScript;

#[test]
fn without_a_majority_a_person_has_what_is_left_go_on() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let left = look("global", &STANDBY) + "replayed global 1700000000\nzookeeper none\nentry x\n";
    let dark = facts(&cluster, &[("10.8.1.11", left.clone())]);
    let recover_on = |facts: &KsFacts, name: &str| {
        plan(&cluster, facts, |site| {
            recover(site, Db::Global, name, None)
        })
    };
    assert_refused(&recover_on(&dark, "global2a-pgserver0"), "can't be reached");
    let go_on = recover_on(&dark, "global1a-pgserver0");
    assert!(go_on.is_go(), "{:#?}", go_on.gates);
    assert_eq!(go_on.unfenced.as_deref(), Some("global2a,global3a"));
    assert!(
        go_on.loses.contains("committed 2023-11-14T22:13:20Z"),
        "{}",
        go_on.loses
    );
    assert_eq!(
        steps(&go_on),
        [
            "ks-zookeeper-alone 10.8.1.11",
            "ks-elect-global 10.8.1.11",
            "ks-write 10.8.1.11"
        ]
    );
    let alone = values(&go_on, KsScript::ZookeeperAlone);
    assert_eq!(alone["dark"], "10.8.2.11 10.8.3.11");
    // Two that can be asked are a majority: nobody has to be given up.
    let day = [("10.8.1.11", left.clone()), ("10.8.2.11", left)];
    let refused = recover_on(&facts(&cluster, &day), "global1a-pgserver0");
    assert_refused(&refused, "2 of 3 can be asked, but they serve nobody");
    let switched = plan(&cluster, &dark, |site| switch(site, &to("global1a", false)));
    assert_refused(&switched, "there is no primary to hand over");
}

#[test]
fn those_that_were_left_behind_are_taken_back_emptied() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let alone = Server {
        followers: &[],
        waits_for: "",
        ..PRIMARY
    };
    let survivor = look("global", &alone) + "config global 200 {}\nzookeeper standalone\nalone\n";
    let held = "unit global active\nnode global 000\nzookeeper none\nzookeeper-why \
                zookeeper-guard: not started: 10.8.1.11 goes on without this one\n";
    let day = [
        ("10.8.1.11", survivor.clone()),
        ("10.8.2.11", held.to_owned()),
        ("10.8.3.11", held.to_owned()),
    ];
    let recover_in = |day: &[(&str, String)]| {
        let facts = facts(&cluster, day);
        plan(&cluster, &facts, |site| {
            recover(site, Db::Global, "global1a-pgserver0", None)
        })
    };
    let back = recover_in(&day);
    assert!(back.is_go(), "{:#?}", back.gates);
    assert_eq!(
        steps(&back),
        [
            "ks-zookeeper-clear 10.8.2.11",
            "ks-zookeeper-clear 10.8.3.11",
            // Two emptied ones would be a majority: only one joins at first.
            "ks-zookeeper-join 10.8.1.11",
            "ks-zookeeper-join 10.8.2.11",
            "ks-zookeeper-join 10.8.3.11",
            "ks-follow-global 10.8.2.11",
            "ks-follow-global 10.8.3.11",
            "ks-elect-global 10.8.1.11",
            "ks-write 10.8.1.11",
            "ks-write 10.8.2.11",
            "ks-write 10.8.3.11",
            "ks-seen-global 10.8.2.11",
            "ks-seen-global 10.8.3.11",
        ]
    );
    assert_eq!(back.operation.stages[1].tasks.len(), 2);
    assert_eq!(values(&back, KsScript::Elect)["strict"], true);
    // An attempt that ended half-way: the survivor has the whole list and no majority.
    let mut half = day.clone();
    half[0].1 = look("global", &STANDBY) + "zookeeper none\nalone\n";
    let again = recover_in(&half);
    assert!(again.is_go(), "{:#?}", again.gates);
    assert_eq!(steps(&again)[0], "ks-zookeeper-alone 10.8.1.11");
    // They came back where they couldn't reach it, and are a majority of their own.
    let mut two = day;
    two[1].1 = "zookeeper leader\n".to_owned();
    assert_refused(
        &recover_in(&two),
        "there are two ensembles: 10.8.2.11 serve beside 10.8.1.11",
    );
}

#[test]
fn commits_that_wait_for_anybody_where_nobody_is_are_let_go() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let hangs = Server {
        followers: &[],
        waits_for: "*",
        ..PRIMARY
    };
    let survivor = look("global", &hangs) + "config global 200 {}\nzookeeper standalone\nalone\n";
    let facts = facts(&cluster, &[("10.8.1.11", survivor)]);
    let mended = plan(&cluster, &facts, |site| {
        recover(site, Db::Global, "global1a-pgserver0", None)
    });
    assert_eq!(
        steps(&mended),
        ["ks-elect-global 10.8.1.11", "ks-write 10.8.1.11"]
    );
    assert_eq!(values(&mended, KsScript::Elect)["strict"], false);
}

#[test]
fn two_ensembles_are_decided_by_a_person() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    // The one that went on alone was stopped; those left behind serve. They mustn't be emptied.
    let stopped = "unit global inactive\nnode global 000\nzookeeper none\nalone\n".to_owned();
    let rogue = look("global", &PRIMARY) + "config global 200 {}\nzookeeper leader\n";
    let day = [
        ("10.8.1.11", rogue),
        (
            "10.8.2.11",
            look("global", &STANDBY) + "zookeeper follower\n",
        ),
        ("10.8.3.11", stopped),
    ];
    let facts = facts(&cluster, &day);
    let refused = plan(&cluster, &facts, |site| {
        recover(site, Db::Global, "global1a-pgserver0", None)
    });
    assert_refused(&refused, "there are two ensembles: 10.8.1.11, 10.8.2.11");
    assert_eq!(steps(&refused), [""; 0]);
}

#[test]
fn a_list_that_was_left_over_says_nothing_of_a_later_crash() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let primary = Server {
        followers: &["global2a-pgserver0"],
        waits_for: "\"global2a-pgserver0\"",
        ..PRIMARY
    };
    let strict = "config global 200 {\"synchronous_mode_strict\": true}\n";
    let serves = look("global", &primary) + strict + "zookeeper leader\n";
    let follows = look("global", &STANDBY) + "zookeeper follower\n";
    let crashed = look("global", &STANDBY) + "zookeeper none\nrejoining\n";
    let day = [
        ("10.8.1.11", serves),
        ("10.8.2.11", follows),
        ("10.8.3.11", crashed),
    ];
    let mended = plan(&cluster, &facts(&cluster, &day), |site| {
        recover(site, Db::Global, "global1a-pgserver0", None)
    });
    assert!(mended.is_go(), "{:#?}", mended.gates);
    assert_eq!(steps(&mended)[0], "ks-zookeeper-join 10.8.3.11");
    assert!(
        !steps(&mended)[1..]
            .iter()
            .any(|step| step.contains("zookeeper"))
    );
}
