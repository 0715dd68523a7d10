//! The gates before an operation on the global control plane: what is refused, and with which words.
//! The facts are what `deploy/ks/look.sh` prints.

mod common;

use common::looks::*;
use common::{catalog, cluster};
use paas_cluster_build::ks::{Db, Site, advise, doctor, recover, switch};
use paas_cluster_build::operation::{KsScript, Task};

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
            "ks-seen-global 10.8.5.11",
            // What both rooms cached is the room that served before.
            "ks-forget 10.8.4.11",
            "ks-forget 10.8.4.13",
            "ks-forget 10.8.5.11",
            "ks-forget 10.8.5.13",
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
    let relaxed = [
        "ks-wait-for-recovery 10.8.4.11",
        "ks-row-recovery 10.8.4.11",
    ];
    assert_eq!(steps(&relax), relaxed);
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
            "ks-wait-for-recovery 10.8.4.11",
            "ks-row-recovery 10.8.4.11",
            "ks-seen-recovery 10.8.5.11",
        ]
    );
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
        said(2).contains("held back: not started: the other room can't be asked"),
        "{}",
        said(2)
    );
    assert_eq!(answers[3].is_well, Some(true), "{}", said(3));
    assert!(said(4).contains("10.8.5.11: FATAL: no"));
    assert!(said(5).contains("can't take a write: global1a serves"));
    assert!(said(7).contains("10.8.5.11 has global2a cached, but global1a serves"));
    assert!(said(8).contains("10.8.5.13 (global2a): no way"));
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

#[test]
fn a_switch_that_was_interrupted_still_wants_everything_to_be_there() {
    let cluster = two_rooms();
    // The old room was stopped; the new one wasn't promoted.
    let stopped =
        "unit global inactive\nnode global 000\ncontrol global 1\nclosed global 0/380 shut down\n";
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
    let facts = |day: &[(&'static str, String)]| facts(&cluster, day);
    // Closed in order, but later than what is here; or not in order.
    for (closed, why) in [
        ("0/400 shut down", "global1a-pgserver1 has 24 bytes more"),
        (
            "0/380 in production",
            "global1a-pgserver1 broke off while it was the primary",
        ),
    ] {
        let ahead = stopped.replace("0/380 shut down", closed);
        let facts = facts(&replaced(day.clone(), "10.8.4.12", ahead));
        let refused = plan(&cluster, &facts, |site| {
            switch(site, &to("global2a", false))
        });
        assert_refused(&refused, why);
    }
    let facts = facts(&day);
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
    let relaxed = [
        "ks-wait-for-recovery 10.8.4.11",
        "ks-row-recovery 10.8.4.11",
    ];
    assert_eq!(steps(&plan), relaxed);
}

#[test]
fn what_was_given_up_is_counted_also_where_all_follow_by_themselves() {
    let cluster = two_rooms();
    let kept = look("global", &STANDBY) + "uncounted global wal.before-20261121T100000Z\n";
    let day = replaced(good_day(), "10.8.4.12", kept);
    let counted = plan(&cluster, &facts(&cluster, &day), |site| {
        recover(site, Db::Global, "global1a-pgserver0", None)
    });
    assert!(counted.is_go(), "{:#?}", counted.gates);
    assert_eq!(
        steps(&counted),
        [
            "ks-follow-global 10.8.4.12",
            "ks-write 10.8.4.11",
            "ks-write 10.8.5.11",
            "ks-seen-global 10.8.4.12",
            "ks-seen-global 10.8.5.11",
            "ks-seen-global 10.8.5.12",
        ]
    );
}
