//! The global control plane in three rooms on real machines: the room of the primary goes dark, and
//! nothing that was acknowledged is lost. All schemes through every event: `bin/nightly`.

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::rooms::{Rooms, THREE_ROOMS, Writers, lose_the_primarys_room};
use common::root;
use common::site::said;

#[test]
fn three_rooms_lose_the_primarys_room_and_no_write() {
    let Some(rooms) = THREE_ROOMS.build() else {
        return;
    };
    names_lead_to_every_entry(&rooms);
    the_services_are_upgraded(&rooms);
    lose_the_primarys_room(&rooms, 1);
    the_majority_is_lost(&rooms);
}

/// Each room's name server answers with all rooms' entries.
fn names_lead_to_every_entry(rooms: &Rooms) {
    let mut entries: Vec<String> = (rooms.rooms.iter())
        .map(|(room, _)| rooms.entry(room).ip().to_string())
        .collect();
    entries.sort();
    for (room, net) in &rooms.rooms {
        let words = ["+short", "+time=2", &format!("@{net}.12"), "api.paas.local"];
        let output = Command::new("dig").args(words).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        let mut addresses: Vec<&str> = answer.lines().collect();
        addresses.sort_unstable();
        assert_eq!(addresses, entries, "the name server of {room}");
    }
}

/// Newer packages in the site's folder are all that's needed for the services to be upgraded.
fn the_services_are_upgraded(rooms: &Rooms) {
    let built = Command::new(root().join("deploy/pitrix-example/build"))
        .arg(rooms.site.path("packages"))
        .env("PITRIX_VERSION", "1.1")
        .status()
        .unwrap();
    assert!(built.success());
    let host = format!("{}.12", rooms.rooms[0].1);
    let look = "dpkg-query -W -f '${Version} ' pitrix-ws-server; supervisorctl pid ws_server";
    let before = rooms.site.on(&host, look);
    rooms.site.succeeds(&["build", "--yes"]);
    let after = rooms.site.on(&host, look);
    let (old, new) = (before.trim().split_once(' '), after.trim().split_once(' '));
    let ((old, old_pid), (new, new_pid)) = (old.unwrap(), new.unwrap());
    assert_eq!((old, new), ("1.0", "1.1"));
    assert_ne!(old_pid, new_pid, "the old program runs on");
}

/// With two of three rooms dark nobody can be elected. A person has the third go on without them, and
/// takes them back afterwards.
fn the_majority_is_lost(rooms: &Rooms) {
    let said = rooms.refused(&["ks", "failover", "--to", "global9a"]);
    assert!(said.contains("there is no room `global9a`"), "{said}");
    let serving = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
    let names: Vec<&str> = rooms.rooms.iter().map(|(name, _)| *name).collect();
    let index = names.iter().position(|name| *name != serving).unwrap();
    let survivor = names[index];
    let dark: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| *name != survivor)
        .collect();
    rooms.await_protected(2);
    let writers = Writers::start(rooms);
    for room in 0..names.len() {
        writers.await_after(rooms, Instant::now(), room);
    }
    for room in &dark {
        rooms.power_off(room);
    }
    let node = format!("{survivor}-pgserver0");
    let recover = [
        "ks",
        "recover-pg",
        "--db",
        "global",
        "--primary",
        &node,
        "--yes",
    ];
    let word = dark.join(",");
    let said = rooms.refused(&recover);
    assert!(said.contains(&format!("add `--confirm {word}`")), "{said}");
    let moment = Instant::now();
    rooms
        .site
        .succeeds(&[&recover[..], &["--confirm", &word]].concat());
    let time = writers.await_after(rooms, moment, index);
    println!(
        "two of three rooms lost: first write in the third {:.1} s after the command",
        time.as_secs_f64()
    );
    // They come back, and are a majority; but they see that it went on without them.
    for room in &dark {
        rooms.power_on(room);
    }
    let until = Instant::now() + Duration::from_secs(60);
    let held = |said: &str| said.matches("goes on without this one").count() == dark.len();
    while !held(&said_by_doctor(rooms)) {
        assert!(Instant::now() < until, "{}", said_by_doctor(rooms));
    }
    let build = rooms.refused(&["build", "zookeeper", "--yes"]);
    let why = "goes on without this one; paas-cluster-build ks recover-pg takes it back";
    assert!(build.contains(why), "{build}");
    let host = format!("{}.11", rooms.net(survivor));
    let build = rooms.refused(&[
        "build",
        "zookeeper",
        "--force",
        "--below-min-up",
        "--limit",
        &host,
        "--yes",
    ]);
    assert!(build.contains("first take them back"), "{build}");
    rooms.site.succeeds(&recover);
    rooms.await_all_follow("global");
    rooms.await_protected(2);
    for room in 0..names.len() {
        writers.await_after(rooms, Instant::now(), room);
    }
    writers.finish_without_loss(rooms, "two of three rooms lost");
    rooms.ks(&["doctor"]);
}

fn said_by_doctor(rooms: &Rooms) -> String {
    said(&rooms.site.run(&["ks", "doctor"]))
}
