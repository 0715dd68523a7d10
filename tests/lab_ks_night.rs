//! All five schemes of the global control plane through every event, and twenty losses of the
//! primary's room in a row. Long; `bin/nightly` runs it (feature `nightly`).

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::injected;
use common::rooms::{
    Layout, Rooms, THREE_ROOMS, Writers, assert_none_lost, lose_the_primarys_room,
};
use common::site::said;
use serde_json::Value;

/// PAAS_KS_LOSSES says how often, if not twenty times.
#[test]
fn three_rooms_lose_the_primarys_room_twenty_times() {
    let losses = std::env::var("PAAS_KS_LOSSES").map_or(20, |count| count.parse().unwrap());
    let Some(rooms) = (Layout {
        name: "test-ks-three-night",
        net: 51,
        ..THREE_ROOMS
    })
    .build() else {
        return;
    };
    lose_the_primarys_room(&rooms, losses);
    lose_a_standbys_room(&rooms);
    cut_the_primarys_room_off(&rooms);
}

fn index_of(rooms: &Rooms, name: &str) -> usize {
    let mut names = rooms.rooms.iter().map(|(name, _)| *name);
    names.position(|room| room == name).unwrap()
}

/// Writes stall until Patroni has left the dark room out, and go on.
fn lose_a_standbys_room(rooms: &Rooms) {
    let writers = Writers::start(rooms);
    let serving = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
    let standby = rooms
        .rooms
        .iter()
        .find(|(name, _)| *name != serving)
        .unwrap()
        .0;
    let moment = Instant::now();
    rooms.power_off(standby);
    writers.await_after(
        rooms,
        moment + Duration::from_secs(10),
        index_of(rooms, &serving),
    );
    assert_eq!(rooms.info()["ks_master_zone"], serving.as_str());
    rooms.power_on(standby);
    rooms.await_all_follow("global");
    rooms.await_protected(rooms.rooms.len() - 1);
    assert_none_lost(rooms, &writers.finish());
}

/// The others elect a primary; the one that is cut off acknowledges nothing more, and follows when
/// it's back. Had both acknowledged, the writes of one of them would be missing afterwards.
fn cut_the_primarys_room_off(rooms: &Rooms) {
    let writers = Writers::start(rooms);
    let serving = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
    let others: Vec<&str> = rooms
        .rooms
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != serving)
        .collect();
    for other in &others {
        rooms.site.succeeds(&["lab", "cut-rooms", &serving, other]);
    }
    injected(1, "rooms cut from each other");
    let moment = Instant::now();
    // Its own commits waited for the others from the first moment on.
    let late = moment + Duration::from_secs(20);
    writers.await_after(rooms, late, index_of(rooms, others[0]));
    let cut_off = index_of(rooms, &serving);
    assert_eq!(
        writers.first_after(late, cut_off),
        None,
        "the room that is cut off acknowledges"
    );
    assert!(rooms.ks(&["advise"]).contains("nothing has to be decided"));
    for other in &others {
        rooms.site.succeeds(&["lab", "heal-rooms", &serving, other]);
    }
    rooms.await_all_follow("global");
    writers.await_after(rooms, Instant::now(), cut_off);
    let acknowledged = writers.finish();
    println!(
        "the primary's room cut off: {} acknowledged writes, none lost",
        acknowledged.len()
    );
    assert_none_lost(rooms, &acknowledged);
}

fn two_rooms(name: &'static str, scheme: &'static str, net: u8) -> Layout {
    Layout {
        name,
        scheme,
        net,
        rooms: 2,
        servers_in_room: 1,
        zookeepers_in_room: 1,
        arbiter: false,
        recovery: false,
    }
}

#[test]
fn two_rooms_through_every_event() {
    through_every_event(&two_rooms("test-ks-two", "two-rooms", 11));
}

#[test]
fn two_rooms_converged_through_every_event() {
    through_every_event(&two_rooms("test-ks-converged", "two-rooms-converged", 21));
}

#[test]
fn two_rooms_that_are_no_region_through_every_event() {
    let layout = Layout {
        servers_in_room: 2,
        zookeepers_in_room: 3,
        recovery: true,
        ..two_rooms("test-ks-far", "two-rooms-no-region", 31)
    };
    through_every_event(&layout);
}

#[test]
fn two_rooms_with_an_arbiter_heal_themselves() {
    let layout = Layout {
        arbiter: true,
        ..two_rooms("test-ks-arbiter", "two-rooms-arbiter", 41)
    };
    let Some(rooms) = layout.build() else { return };
    let writers = Writers::start(&rooms);
    for _ in 0..2 {
        let lost = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
        let surviving = rooms
            .rooms
            .iter()
            .position(|(name, _)| *name != lost)
            .unwrap();
        let moment = Instant::now();
        rooms.power_off(&lost);
        writers.await_after(&rooms, moment + Duration::from_secs(2), surviving);
        rooms.power_on(&lost);
        rooms.await_all_follow("global");
        rooms.await_protected(1);
    }
    // Without the arbiter both rooms are still a majority.
    let arbiter = format!("{}.11", layout.net(2));
    rooms.site.succeeds(&["lab", "kill", &arbiter]);
    injected(1, "arbiters that lost their power");
    writers.await_after(&rooms, Instant::now() + Duration::from_secs(3), 0);
    rooms.site.succeeds(&["lab", "boot", &arbiter]);
    rooms.await_all_follow("global");
    // Cut from each other, the side that the arbiter is with goes on.
    let serving = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
    let other = if serving == "global1a" {
        "global2a"
    } else {
        "global1a"
    };
    let index = rooms
        .rooms
        .iter()
        .position(|(name, _)| *name == serving)
        .unwrap();
    rooms
        .site
        .succeeds(&["lab", "cut-rooms", "global1a", "global2a"]);
    injected(1, "rooms cut from each other");
    writers.await_after(&rooms, Instant::now() + Duration::from_secs(10), index);
    assert!(rooms.ks(&["advise"]).contains("nothing has to be decided"));
    rooms
        .site
        .succeeds(&["lab", "heal-rooms", "global1a", "global2a"]);
    rooms.await_all_follow("global");
    rooms.ks(&["failover", "--to", other, "--yes"]);
    rooms.await_all_follow("global");
    let acknowledged = writers.finish();
    println!("{} acknowledged writes, none lost", acknowledged.len());
    assert_none_lost(&rooms, &acknowledged);
}

/// Planned switch and back, loss of the standby room, loss of the serving room, return, rooms cut
/// from each other; for the schemes in which a person switches.
fn through_every_event(layout: &Layout) {
    let Some(rooms) = layout.build() else { return };
    let (first, second) = ("global1a", "global2a");
    let is_synchronous = layout.scheme != "two-rooms-no-region";
    planned_switch_and_back(&rooms);
    loss_of_the_standby_room(&rooms, layout, is_synchronous);
    loss_of_the_serving_room(&rooms, layout, is_synchronous);
    cut_from_each_other(&rooms, is_synchronous);
    rooms.await_all_follow("global");
    assert_eq!(rooms.info()["ks_master_zone"], first);
    rooms.ks(&["doctor"]);
    directives(&rooms, second);
}

fn planned_switch_and_back(rooms: &Rooms) {
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), 0);
    writers.await_after(rooms, Instant::now(), 1);
    let said = rooms.ks(&["failover", "--to", "global2a", "--rehearse"]);
    assert!(
        said.contains("point of no return") && said.ends_with("go\n"),
        "{said}"
    );
    assert_eq!(
        rooms.info()["ks_master_zone"],
        "global1a",
        "a rehearsal changes nothing"
    );
    for (command, to) in [("failover", "global2a"), ("failback", "global1a")] {
        let moment = Instant::now();
        rooms.ks(&[command, "--to", to, "--yes"]);
        for room in [0, 1] {
            writers.await_after(rooms, moment, room);
        }
        assert_eq!(rooms.info()["ks_master_zone"], to);
        rooms.await_all_follow("global");
    }
    let acknowledged = writers.finish();
    println!(
        "planned switch and back: {} acknowledged writes, none lost",
        acknowledged.len()
    );
    assert_none_lost(rooms, &acknowledged);
}

fn loss_of_the_standby_room(rooms: &Rooms, layout: &Layout, is_synchronous: bool) {
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), 0);
    rooms.power_off("global2a");
    if layout.recovery {
        rooms.ks(&[
            "recover-pg",
            "--db",
            "recovery",
            "--primary",
            "global1a-recoverypgserver0",
            "--yes",
        ]);
    }
    if is_synchronous {
        // Writes wait for the dark room until a person lets them go on without.
        let output = rooms.site.run(&["ks", "doctor"]);
        assert!(said(&output).contains("writes hang"), "{}", said(&output));
        rooms.ks(&[
            "recover-pg",
            "--db",
            "global",
            "--primary",
            "global1a-pgserver0",
            "--yes",
        ]);
    }
    writers.await_after(rooms, Instant::now(), 0);
    rooms
        .site
        .succeeds(&["zone", "set-status", "beta", "faulty", "--yes"]);
    rooms.power_on("global2a");
    readopt(rooms, layout, "global1a");
    rooms.site.succeeds(&["zone", "activate", "beta", "--yes"]);
    let acknowledged = writers.finish();
    println!(
        "loss of the standby room: {} acknowledged writes, none lost",
        acknowledged.len()
    );
    assert_none_lost(rooms, &acknowledged);
}

/// Takes everything back under the room that serves.
fn readopt(rooms: &Rooms, layout: &Layout, serving: &str) {
    if layout.recovery {
        let host = rooms.info()["hosts"].clone();
        let primary = host
            .as_object()
            .unwrap()
            .iter()
            .find(|(_, view)| view["servers"]["recovery"]["role"] == "primary");
        let (address, _) = primary.unwrap_or_else(|| panic!("no recovery primary: {host}"));
        let room = rooms
            .rooms
            .iter()
            .find(|(_, net)| address.starts_with(net.as_str()))
            .unwrap()
            .0;
        let node = format!("{room}-recoverypgserver0");
        rooms.ks(&[
            "recover-pg",
            "--db",
            "recovery",
            "--primary",
            &node,
            "--yes",
        ]);
        rooms.await_all_follow("recovery");
    }
    let primary = primary_name(rooms, serving);
    rooms.ks(&[
        "recover-pg",
        "--db",
        "global",
        "--primary",
        &primary,
        "--yes",
    ]);
    rooms.await_all_follow("global");
}

fn primary_name(rooms: &Rooms, room: &str) -> String {
    let host = rooms.primary_host(room);
    let number = if host.ends_with(".13") { 1 } else { 0 };
    format!("{room}-pgserver{number}")
}

fn loss_of_the_serving_room(rooms: &Rooms, layout: &Layout, is_synchronous: bool) {
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), 1);
    rooms.power_off("global1a");
    if layout.recovery {
        // The recovery database comes first, and the tool insists.
        let said = rooms.refused(&[
            "ks",
            "failover",
            "--to",
            "global2a",
            "--yes",
            "--confirm",
            "global1a",
        ]);
        assert!(
            said.contains("it comes first: `ks recover-pg --db recovery"),
            "{said}"
        );
        rooms.ks(&[
            "recover-pg",
            "--db",
            "recovery",
            "--primary",
            "global2a-recoverypgserver0",
            "--yes",
            "--confirm",
            "global1a",
        ]);
    }
    // Whoever goes on names the room that can't be asked.
    let said = rooms.refused(&["ks", "failover", "--to", "global2a", "--yes"]);
    assert!(said.contains("add `--confirm global1a`"), "{said}");
    let moment = Instant::now();
    let said = rooms.ks(&[
        "failover",
        "--to",
        "global2a",
        "--disaster-zone",
        "alpha",
        "--yes",
        "--confirm",
        "global1a",
    ]);
    assert_eq!(
        said.contains("replication between the rooms is asynchronous"),
        !is_synchronous,
        "{said}"
    );
    let time = writers.await_after(rooms, moment, 1);
    println!(
        "first write in the other room {:.1} s after the command",
        time.as_secs_f64()
    );
    // Too early: the lost room isn't back.
    let said = rooms.refused(&["ks", "failback", "--to", "global1a", "--yes"]);
    assert!(said.contains("too early"), "{said}");
    rooms.power_on("global1a");
    readopt(rooms, layout, "global2a");
    let acknowledged = writers.finish();
    let stored = rooms.stored();
    let lost = acknowledged.difference(&stored).count();
    println!(
        "loss of the serving room: {lost} of {} acknowledged writes lost",
        acknowledged.len()
    );
    match is_synchronous {
        true => assert_eq!(lost, 0),
        // What was on its way; the tool said so before.
        false => assert!(lost <= 50, "{lost}"),
    }
    rooms.site.succeeds(&["zone", "activate", "alpha", "--yes"]);
    rooms.ks(&["failback", "--to", "global1a", "--yes"]);
    if layout.recovery {
        rooms.ks(&[
            "recover-pg",
            "--db",
            "recovery",
            "--primary",
            "global1a-recoverypgserver0",
            "--yes",
        ]);
    }
}

fn cut_from_each_other(rooms: &Rooms, is_synchronous: bool) {
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), 0);
    rooms
        .site
        .succeeds(&["lab", "cut-rooms", "global1a", "global2a"]);
    injected(1, "rooms cut from each other");
    if is_synchronous {
        let until = Instant::now() + Duration::from_secs(60);
        while !rooms.ks(&["advise"]).contains("its writes hang") {
            assert!(Instant::now() < until, "{}", rooms.ks(&["advise"]));
        }
        // The main room is kept: it goes on without the other.
        rooms.ks(&[
            "recover-pg",
            "--db",
            "global",
            "--primary",
            "global1a-pgserver0",
            "--yes",
        ]);
    }
    let said = rooms.ks(&["advise"]);
    assert!(said.contains("keep global1a: it loses nothing"), "{said}");
    writers.await_after(rooms, Instant::now(), 0);
    rooms
        .site
        .succeeds(&["lab", "heal-rooms", "global1a", "global2a"]);
    let primary = primary_name(rooms, "global1a");
    rooms.ks(&[
        "recover-pg",
        "--db",
        "global",
        "--primary",
        &primary,
        "--yes",
    ]);
    rooms.await_all_follow("global");
    let acknowledged = writers.finish();
    println!(
        "rooms cut from each other: {} acknowledged writes, none lost",
        acknowledged.len()
    );
    assert_none_lost(rooms, &acknowledged);
}

/// The former system's directives: answered at once with an id, under which the run is kept.
fn directives(rooms: &Rooms, to: &str) {
    let ask = |text: &str| -> Value {
        let output = rooms.site.run(&["directive", text]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    };
    assert_eq!(
        ask(r#"{"action": "GetGlobalKSInfo"}"#)["ks_master_zone"],
        "global1a"
    );
    assert_eq!(
        ask(r#"{"action": "CheckPG", "db_name": "global"}"#)["status"],
        "ok"
    );
    let wrong = ask(r#"{"action": "FailbackGlobalKS ", "ks_master_zone": "global1a"}"#);
    assert!(
        wrong["message"].as_str().unwrap().contains("did you mean"),
        "{wrong}"
    );
    let answer = ask(&format!(
        r#"{{"action": "FailoverGlobalKS", "ks_master_zone": "{to}"}}"#
    ));
    assert_eq!(answer["ret_code"], 0, "{answer}");
    let id = answer["uuid"].as_str().unwrap();
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let runs = rooms.site.succeeds(&["runs"]);
        let line = runs
            .lines()
            .find(|line| line.contains(id))
            .unwrap_or_default();
        if line.contains("done") {
            break;
        }
        assert!(!line.contains("failed") && Instant::now() < until, "{runs}");
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(rooms.info()["ks_master_zone"], to);
}
