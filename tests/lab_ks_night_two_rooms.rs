//! The schemes of the global control plane in which a person switches, through every event. Long;
//! `bin/nightly` runs it (feature `nightly`).

mod common;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use common::injected;
use common::rooms::{Layout, Rooms, TWO_ROOMS, Writers};
use common::site::said;
use serde_json::Value;

#[test]
fn two_rooms_through_every_event() {
    through_every_event(&TWO_ROOMS);
}

#[test]
fn two_rooms_converged_through_every_event() {
    through_every_event(&Layout {
        name: "test-ks-converged",
        scheme: "two-rooms-converged",
        net: 21,
        ..TWO_ROOMS
    });
}

#[test]
fn two_rooms_that_are_no_region_through_every_event() {
    let layout = Layout {
        name: "test-ks-far",
        scheme: "two-rooms-no-region",
        net: 31,
        servers_in_room: 2,
        zookeepers_in_room: 3,
        recovery: true,
        ..TWO_ROOMS
    };
    through_every_event(&layout);
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
    if layout.servers_in_room > 1 {
        loss_of_a_machine(&rooms);
    }
    keep_the_standby_room_of_a_cut(&rooms, layout, is_synchronous);
    first_room_back_alone(&rooms, layout);
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
        writers.print_gap("planned switch", moment);
    }
    writers.finish_without_loss(rooms, "planned switch and back");
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
    writers.finish_without_loss(rooms, "loss of the standby room");
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
    if !is_synchronous {
        // What is acknowledged in these seconds is nowhere else when the power goes.
        rooms
            .site
            .succeeds(&["lab", "cut-rooms", "global1a", "global2a"]);
        injected(1, "rooms cut from each other");
        let moment = Instant::now() + Duration::from_secs(3);
        writers.await_after(rooms, moment, 0);
    }
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
    let asynchronous = "replication between the rooms is asynchronous; the last write that it has was \
                        committed 20";
    assert_eq!(said.contains(asynchronous), !is_synchronous, "{said}");
    let time = writers.await_after(rooms, moment, 1);
    println!(
        "first write in the other room {:.1} s after the command",
        time.as_secs_f64()
    );
    // Too early: the lost room isn't back.
    let said = rooms.refused(&["ks", "failback", "--to", "global1a", "--yes"]);
    assert!(said.contains("too early"), "{said}");
    if !is_synchronous {
        rooms
            .site
            .succeeds(&["lab", "heal-rooms", "global1a", "global2a"]);
    }
    rooms.power_on("global1a");
    readopt(rooms, layout, "global2a");
    let acknowledged = writers.finish();
    let stored = rooms.stored();
    let lost = acknowledged.difference(&stored).count() as u64;
    let event = "loss of the serving room";
    match is_synchronous {
        true => assert_eq!(lost, 0),
        false => assert_counted(rooms, event, lost, acknowledged.len()),
    }
    rooms.site.succeeds(&["zone", "activate", "alpha", "--yes"]);
    go_back(rooms, layout);
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
    writers.finish_without_loss(rooms, "rooms cut from each other");
}

/// The machine with the primary, an entry and a ZooKeeper: the room's others take over by themselves.
fn loss_of_a_machine(rooms: &Rooms) {
    let writers = Writers::start(rooms);
    let lost = rooms.primary_host("global1a");
    let moment = Instant::now();
    rooms.site.succeeds(&["lab", "kill", &lost]);
    injected(1, "machines that lost their power");
    for room in [0, 1] {
        writers.await_after(rooms, moment + Duration::from_secs(2), room);
    }
    writers.print_gap("loss of the primary's machine", moment);
    rooms.site.succeeds(&["lab", "boot", &lost]);
    rooms.await_all_follow("global");
    writers.finish_without_loss(rooms, "loss of one machine");
}

/// The serving room is given up although it lives: fenced, left, and taken back.
fn keep_the_standby_room_of_a_cut(rooms: &Rooms, layout: &Layout, is_synchronous: bool) {
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), 0);
    rooms
        .site
        .succeeds(&["lab", "cut-rooms", "global1a", "global2a"]);
    injected(1, "rooms cut from each other");
    let at_the_cut = writers.count() as u64;
    assert!(
        rooms
            .ks(&["advise"])
            .contains("`ks failover --to global2a --confirm global1a`")
    );
    let mut databases = vec!["global"];
    if layout.recovery {
        databases.insert(0, "recovery");
    }
    // The primary's last, as the advice has it: another one would take over.
    let primary = rooms.primary_host("global1a");
    let mut hosts = rooms.machines("global1a");
    hosts.sort_by_key(|host| *host == primary);
    for host in hosts {
        let units = databases.iter().map(|db| format!("pg-{db}"));
        let units: Vec<String> = units.collect();
        let fence = format!(
            "for unit in {}; do if systemctl cat $unit >/dev/null 2>&1; then systemctl disable \
             --now $unit; fi; done",
            units.join(" ")
        );
        rooms.site.on(&host, &fence);
    }
    if layout.recovery {
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
    let moment = Instant::now();
    rooms.ks(&[
        "failover",
        "--to",
        "global2a",
        "--yes",
        "--confirm",
        "global1a",
    ]);
    writers.await_after(rooms, moment, 1);
    rooms
        .site
        .succeeds(&["lab", "heal-rooms", "global1a", "global2a"]);
    readopt(rooms, layout, "global2a");
    writers.await_after(rooms, Instant::now(), 0);
    let acknowledged = writers.finish();
    let lost = acknowledged.difference(&rooms.stored()).count() as u64;
    // A little of what was acknowledged just before may not have come across either.
    let since_the_cut = acknowledged.len() as u64 - at_the_cut + 100;
    let counted = given_up(rooms).into_values().max().unwrap_or(0);
    println!(
        "the standby room of a cut kept: {lost} of {} acknowledged writes lost, {counted} \
         transactions counted as given up at most",
        acknowledged.len()
    );
    // Told beforehand, by `advise` and by the plan; bounded by what was written during the cut.
    match is_synchronous {
        true => assert_eq!(lost, 0),
        false => assert!(
            lost > 0 && lost <= since_the_cut && lost <= counted,
            "{lost} {since_the_cut} {counted}"
        ),
    }
    go_back(rooms, layout);
}

/// The logs of what servers of the global database gave up, with the transactions counted in each.
fn given_up(rooms: &Rooms) -> BTreeMap<String, u64> {
    let info = rooms.info();
    let mut logs = BTreeMap::new();
    for (host, view) in info["hosts"].as_object().unwrap() {
        let of_host = view["servers"]["global"]["given_up"].as_array();
        for log in of_host.into_iter().flatten() {
            let name = format!("{host} {}", log["kept"].as_str().unwrap());
            logs.insert(name, log["transactions"].as_u64().unwrap());
        }
    }
    logs
}

/// What was lost is what was written while nothing came across; counted from the log that was kept,
/// with what was never acknowledged.
fn assert_counted(rooms: &Rooms, event: &str, lost: u64, all: usize) {
    let logs = given_up(rooms);
    let counted = logs.values().copied().max().unwrap_or(0);
    println!(
        "{event}: {lost} of {all} acknowledged writes lost, {counted} transactions counted as given up"
    );
    assert!(
        lost > 0 && lost <= counted && counted <= lost + 10,
        "{lost} {counted} {logs:?}"
    );
}

fn go_back(rooms: &Rooms, layout: &Layout) {
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
        rooms.await_all_follow("recovery");
    }
    rooms.await_all_follow("global");
}

/// Both rooms were dark, and only one comes back: its guard holds it until a person names the other.
fn first_room_back_alone(rooms: &Rooms, layout: &Layout) {
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), 0);
    let primary = primary_name(rooms, "global1a");
    rooms.power_off("global2a");
    rooms.power_off("global1a");
    rooms.power_on("global1a");
    let until = Instant::now() + Duration::from_secs(90);
    let doctor = || said(&rooms.site.run(&["ks", "doctor"]));
    while !doctor().contains("held back: not started: the other room can't be asked") {
        assert!(Instant::now() < until, "{}", doctor());
    }
    let mut databases = vec![("global", primary)];
    if layout.recovery {
        databases.insert(0, ("recovery", "global1a-recoverypgserver0".to_owned()));
    }
    let moment = Instant::now();
    for (db, node) in &databases {
        let recover = ["ks", "recover-pg", "--db", db, "--primary", node, "--yes"];
        let said = rooms.refused(&recover);
        assert!(said.contains("add `--confirm global2a`"), "{said}");
        rooms
            .site
            .succeeds(&[&recover[..], &["--confirm", "global2a"]].concat());
    }
    let time = writers.await_after(rooms, moment, 0);
    println!(
        "first room back alone: first write {:.1} s after the command",
        time.as_secs_f64()
    );
    rooms.power_on("global2a");
    readopt(rooms, layout, "global1a");
    writers.await_after(rooms, Instant::now(), 1);
    writers.finish_without_loss(rooms, "first room back alone");
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
    let done = |text: &str| {
        let answer = ask(text);
        assert_eq!(answer["ret_code"], 0, "{answer}");
        await_run(rooms, answer["uuid"].as_str().unwrap());
    };
    done(&format!(
        r#"{{"action": "FailoverGlobalKS", "ks_master_zone": "{to}"}}"#
    ));
    assert_eq!(rooms.info()["ks_master_zone"], to);
    rooms.await_all_follow("global");
    let status = || {
        let sql = "runuser -u postgres -- psql -p 5432 -Atc \"select status from zones where zone_id = \
                   'alpha'\" global";
        rooms.site.on(&rooms.primary_host(to), sql)
    };
    done(r#"{"action": "ModifyZoneAttributes", "zone": "alpha", "status": "faulty"}"#);
    assert_eq!(status().trim(), "faulty");
    done(r#"{"action": "ActiveDisasterZone", "recover_zone": "alpha"}"#);
    assert_eq!(status().trim(), "active");
    let primary = primary_name(rooms, to);
    let idle = ask(&format!(
        r#"{{"action": "RecoverPG", "db_name": "global", "pg_master": "{primary}"}}"#
    ));
    assert_eq!(idle["message"], "nothing is to be done", "{idle}");
    done(r#"{"action": "FailbackGlobalKS", "ks_master_zone": "global1a"}"#);
    assert_eq!(rooms.info()["ks_master_zone"], "global1a");
}

/// The id that a directive answers with is one that `runs` and `attach` know.
fn await_run(rooms: &Rooms, id: &str) {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let runs = rooms.site.succeeds(&["runs"]);
        let mut lines = runs.lines();
        let line = lines.find(|line| line.contains(id)).unwrap_or_default();
        if line.contains("done") {
            break;
        }
        assert!(!line.contains("failed") && Instant::now() < until, "{runs}");
        thread::sleep(Duration::from_millis(300));
    }
    let attached = rooms.site.run(&["attach", id]);
    assert!(attached.status.success(), "{}", said(&attached));
}
