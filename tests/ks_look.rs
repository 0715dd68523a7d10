//! What is said of the global control plane without changing it, and what is refused because of it:
//! answers of the doctor, advice, JSON, and gates on data that only one server has.

mod common;

use common::looks::*;
use common::{catalog, cluster};
use paas_cluster_build::ks::{Db, Site, advise, doctor, recover, set_zones, switch};
use paas_cluster_build::model::Cluster;
use paas_cluster_build::report;

const NODE: &str = "global1a-pgserver0";

/// Looks at hosts through one of the reports.
fn told<T>(cluster: &Cluster, day: &[(&str, String)], of: impl Fn(&Site<'_>) -> T) -> T {
    let facts = facts(cluster, day);
    of(&Site {
        cluster,
        ks: cluster.global_ks.as_ref().unwrap(),
        facts: &facts,
        run: "r1",
    })
}

fn with(
    day: Vec<(&'static str, String)>,
    host: &'static str,
    lines: &str,
) -> Vec<(&'static str, String)> {
    let said = day
        .iter()
        .find(|(name, _)| *name == host)
        .unwrap()
        .1
        .clone();
    replaced(day, host, said + lines)
}

#[test]
fn a_zone_is_noted_on_the_primary_or_not_at_all() {
    let cluster = two_rooms();
    let zones = [("alpha".to_owned(), "faulty".to_owned())];
    let noted = plan(&cluster, &facts(&cluster, &good_day()), |site| {
        set_zones(site, &zones)
    });
    assert!(noted.is_go(), "{:#?}", noted.gates);
    assert_eq!(steps(&noted), ["ks-master 10.8.4.11"]);
    let dark = facts(&cluster, &without(good_day(), "10.8.4."));
    let refused = plan(&cluster, &dark, |site| set_zones(site, &zones));
    assert_refused(&refused, "has no one primary");
    assert_eq!(steps(&refused), [""; 0]);
}

#[test]
fn a_failback_waits_until_all_have_caught_up_and_forgets_first() {
    let cluster = two_rooms();
    let back = |day: &[(&str, String)]| {
        plan(&cluster, &facts(&cluster, day), |site| {
            switch(site, &to("global2a", true))
        })
    };
    let far = Server {
        location: 1000 + 20 * 1024 * 1024,
        ..PRIMARY
    };
    let ahead = good_day().into_iter().map(|(host, said)| match host {
        "10.8.4.11" => (
            host,
            look("global", &far) + said.split_once("received global \n").unwrap().1,
        ),
        _ => (host, said),
    });
    let ahead: Vec<_> = ahead.collect();
    assert_refused(&back(&ahead), "bytes behind; wait until it has caught up");
    // On a good day, what the returning room cached goes first.
    let plan = back(&good_day());
    assert!(plan.is_go(), "{:#?}", plan.gates);
    assert_eq!(
        steps(&plan)[..2],
        ["ks-forget-before 10.8.5.11", "ks-forget-before 10.8.5.13"]
    );
}

#[test]
fn a_disaster_ends_with_the_cache_of_the_room_that_took_over_forgotten() {
    let cluster = two_rooms();
    let recovery = Server {
        waits_for: "",
        ..PRIMARY
    };
    let day = without(good_day(), "10.8.4.");
    let day = replaced(
        day,
        "10.8.5.11",
        look("global", &STANDBY) + &look("recovery", &recovery) + "entry global1a\n",
    );
    let plan = plan(&cluster, &facts(&cluster, &day), |site| {
        switch(site, &to("global2a", false))
    });
    assert!(plan.is_go(), "{:#?}", plan.gates);
    assert_eq!(
        steps(&plan),
        [
            "ks-promote-global 10.8.5.12",
            "ks-master 10.8.5.12",
            "ks-serve 10.8.5.11",
            "ks-write 10.8.5.11",
            "ks-seen-global 10.8.5.11",
            "ks-forget 10.8.5.11",
            "ks-forget 10.8.5.13",
        ]
    );
}

#[test]
fn a_synchronous_standby_says_how_old_it_is_too() {
    let cluster = cluster("tests/fixtures/converged.yml", &catalog());
    let standby = look("global", &LEADER) + "replayed global 1700000000\n";
    let day = [("10.8.8.11", standby), ("10.8.8.12", String::new())];
    let plan = plan(&cluster, &facts(&cluster, &day), |site| {
        switch(site, &to("global2a", false))
    });
    assert!(plan.is_go(), "{:#?}", plan.gates);
    assert!(
        plan.loses.contains("all from then on is lost")
            && plan.loses.contains("committed 2023-11-14T22:13:20Z"),
        "{}",
        plan.loses
    );
}

#[test]
fn a_switch_that_is_done_again_leads_the_entries_once() {
    let cluster = two_rooms();
    // The primary is there already, and an entry still leads to the other room.
    let day = with(good_day(), "10.8.5.11", "entry global2a\n");
    let again = plan(&cluster, &facts(&cluster, &day), |site| {
        switch(site, &to("global1a", false))
    });
    assert!(again.is_go(), "{:#?}", again.gates);
    let serves = steps(&again)
        .iter()
        .filter(|step| step.starts_with("ks-serve"))
        .count();
    assert_eq!(serves, 2, "{:?}", steps(&again));
}

#[test]
fn what_only_a_server_has_that_returned_is_given_up_by_name_only() {
    let cluster = two_rooms();
    let recover_with = |lines: &str, given_up: Option<&str>| {
        let day = replaced(
            good_day(),
            "10.8.5.12",
            format!("unit global failed\n{lines}"),
        );
        let day = with(day, "10.8.4.11", "system global 7001\n");
        plan(&cluster, &facts(&cluster, &day), |site| {
            recover(site, Db::Global, NODE, given_up)
        })
    };
    // It comes back from before: nothing is lost with it.
    assert!(recover_with("control global 1\nsystem global 7001\n", None).is_go());
    let later = "control global 2\nsystem global 7001\n";
    let refused = recover_with(later, None);
    assert_refused(&refused, "global2a-pgserver1 is on timeline 2, later (1)");
    assert_refused(&refused, "add `--confirm global2a`");
    let given_up = recover_with(later, Some("global2a"));
    assert!(given_up.is_go(), "{:#?}", given_up.gates);
    assert!(
        given_up.loses.contains("what only global2a-pgserver1 has"),
        "{}",
        given_up.loses
    );
    let led = "why global room-guard: not started: both rooms have led on one timeline\n";
    assert_refused(&recover_with(led, None), "has led as well");
    // Another database is never copied over.
    let other = "control global 1\nsystem global 7002\n";
    assert_refused(
        &recover_with(other, Some("global2a")),
        "another database altogether",
    );
}

#[test]
fn a_server_without_data_is_not_started_alone() {
    let cluster = two_rooms();
    let start = |lines: &str| {
        let day = [("10.8.5.11", format!("unit global failed\n{lines}"))];
        let facts = facts(&cluster, &day);
        plan(&cluster, &facts, |site| {
            recover(site, Db::Global, "global2a-pgserver0", None)
        })
    };
    assert!(start("control global 1\n").is_go());
    assert_refused(
        &start("control global \n"),
        "it would begin an empty database",
    );
}

#[test]
fn the_doctor_tells_dead_fronts_and_what_it_has_not_looked_at() {
    let cluster = two_rooms();
    let day = with(
        good_day(),
        "10.8.4.11",
        "front ws-front DOWN\nfront api-front UP\n",
    );
    let answers = told(&cluster, &day, doctor);
    let entries = answers
        .iter()
        .find(|answer| answer.question.contains("every entry answer"))
        .unwrap();
    assert_eq!(entries.is_well, Some(false));
    assert!(
        entries.findings[0].contains("10.8.4.11: nobody is there behind ws-front"),
        "{entries:?}"
    );
    let zone = answers
        .iter()
        .find(|answer| answer.question.contains("zone's own"))
        .unwrap();
    assert_eq!(zone.is_well, None);
    assert!(report::answers(&answers).contains("is the zone's own database writable? --\n"));
}

#[test]
fn the_doctor_misses_a_zones_database_in_converged_rooms() {
    let cluster = cluster("tests/fixtures/converged.yml", &catalog());
    let primary = Server {
        followers: &["global2a-pgserver0"],
        waits_for: "ANY 1 (\"global2a-pgserver0\")",
        ..PRIMARY
    };
    let day = [
        (
            "10.8.7.11",
            look("global", &primary) + "zones global beta\n",
        ),
        ("10.8.8.11", look("global", &LEADER)),
    ];
    let answers = told(&cluster, &day, doctor);
    let zone = answers
        .iter()
        .find(|answer| answer.question.contains("zone's own"))
        .unwrap();
    assert_eq!(
        zone.findings,
        ["there is no database zone_alpha on global1a-pgserver0"]
    );
}

#[test]
fn three_rooms_that_may_acknowledge_alone_are_not_well() {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let primary = Server {
        followers: &["global2a-pgserver0"],
        waits_for: "\"global1a-pgserver1\"",
        ..PRIMARY
    };
    let day = [
        (
            "10.8.1.11",
            look("global", &primary)
                + "config global 200 {\"synchronous_mode_strict\": false}\nzookeeper leader\n",
        ),
        (
            "10.8.2.11",
            look("global", &STANDBY) + "zookeeper follower\n",
        ),
        (
            "10.8.3.11",
            look("global", &STANDBY) + "zookeeper follower\n",
        ),
    ];
    let check = told(&cluster, &day, |site| {
        report::check_pg(site, &site.database(Db::Global))
    });
    assert!(
        check.starts_with("global database: writable, but the primary may acknowledge alone\n"),
        "{check}"
    );
    let answers = told(&cluster, &day, |site| report::answers(&doctor(site)));
    assert!(
        answers.contains("may acknowledge alone since a person"),
        "{answers}"
    );
}

#[test]
fn check_pg_tells_pools_ways_and_entries_as_json_too() {
    let cluster = two_rooms();
    let day = with(
        good_day(),
        "10.8.4.11",
        "front pg-primary UP\nfront recovery-primary DOWN\n",
    );
    let of = |db: Db| {
        told(&cluster, &day, |site| {
            report::check_pg_json(site, &site.database(db))
        })
    };
    let global = of(Db::Global);
    assert_eq!(global["primary_node"], NODE);
    assert_eq!(global["pg_nodes"][2]["name"], "global2a-pgserver0");
    assert_eq!(
        (
            &global["pg_nodes"][2]["lag_bytes"],
            &global["pg_nodes"][2]["follows"]
        ),
        (&0.into(), &true.into())
    );
    assert_eq!(global["haproxy_nodes"][0]["is_ok"], true);
    assert_eq!(global["pgpool_nodes"][1]["is_ok"], true);
    assert_eq!(global["entries"][0]["leads_to"], "global1a");
    let recovery = of(Db::Recovery);
    assert_eq!(recovery["status"], "ok");
    assert_eq!(recovery["haproxy_nodes"][0]["is_ok"], false);
    assert_eq!(recovery["pgpool_nodes"].as_array().unwrap().len(), 0);
}

#[test]
fn advice_fences_those_that_follow_first_and_begins_with_the_recovery_database() {
    let cluster = two_rooms();
    let lines = told(&cluster, &good_day(), advise);
    let line = |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap();
    assert!(
        line("keep global1a").ends_with("Nothing has to be done for it"),
        "{lines:#?}"
    );
    let leave = lines
        .iter()
        .skip_while(|line| !line.starts_with("keep global2a"));
    let leave: String = leave.map(String::as_str).collect();
    let order = [
        "10.8.4.11 -- systemctl disable --now pg-recovery",
        "10.8.4.12 -- systemctl disable --now pg-global",
        "10.8.4.11 -- systemctl disable --now pg-global",
        "recover-pg --db recovery --primary global2a-recoverypgserver0 --confirm global1a",
        "failover --to global2a --confirm global1a",
    ];
    let places: Vec<_> = order.iter().map(|words| leave.find(words)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{leave}"
    );
}

#[test]
fn a_room_and_the_arbiter_lost_have_to_be_named() {
    let cluster = cluster("tests/fixtures/arbiter.yml", &catalog());
    let survivor = look("global", &STANDBY) + "zookeeper none\n";
    let day = [("10.8.7.11", survivor), ("10.8.7.12", String::new())];
    let lost = plan(&cluster, &facts(&cluster, &day), |site| {
        recover(site, Db::Global, NODE, None)
    });
    assert!(lost.is_go(), "{:#?}", lost.gates);
    assert_eq!(lost.unfenced.as_deref(), Some("global2a,arbiter"));
    assert_eq!(steps(&lost)[0], "ks-zookeeper-alone 10.8.7.11");
    let advice = told(&cluster, &day, advise);
    assert!(
        advice
            .last()
            .unwrap()
            .starts_with("a person has to decide: 0 of 3 serve"),
        "{advice:#?}"
    );
    let switched = plan(&cluster, &facts(&cluster, &day), |site| {
        switch(site, &to("global1a", false))
    });
    assert_refused(&switched, "0 of 3 serve, so nobody can be elected");
}
