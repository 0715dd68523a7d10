//! The schemes of the global control plane that heal themselves, through every event; with three rooms,
//! twenty losses of the primary's room in a row. Long; `bin/nightly` runs it (feature `nightly`).

mod common;

use std::time::{Duration, Instant};

use common::injected;
use common::rooms::{Layout, Rooms, THREE_ROOMS, TWO_ROOMS, Writers, lose_the_primarys_room};

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
    writers.finish_without_loss(rooms, "loss of a standby's room");
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
    writers.finish_without_loss(rooms, "the primary's room cut off");
}

#[test]
fn two_rooms_with_an_arbiter_heal_themselves() {
    let layout = Layout {
        name: "test-ks-arbiter",
        scheme: "two-rooms-arbiter",
        net: 41,
        arbiter: true,
        ..TWO_ROOMS
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
    rooms.ks(&["failback", "--to", &serving, "--yes"]);
    rooms.await_all_follow("global");
    writers.finish_without_loss(&rooms, "a room, then the arbiter");
    lose_a_standbys_room(&rooms);
    lose_a_room_and_the_arbiter(&rooms, &arbiter);
    rooms.ks(&["doctor"]);
}

/// Both at once: what is left has no majority until a person has it go on alone, and takes the others
/// back afterwards.
fn lose_a_room_and_the_arbiter(rooms: &Rooms, arbiter: &str) {
    rooms.await_protected(1);
    let writers = Writers::start(rooms);
    let lost = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
    let index = 1 - index_of(rooms, &lost);
    let survivor = rooms.rooms[index].0;
    writers.await_after(rooms, Instant::now(), index);
    rooms.site.succeeds(&["lab", "kill", arbiter]);
    rooms.power_off(&lost);
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
    let word = format!("{lost},arbiter");
    let said = rooms.refused(&recover);
    assert!(said.contains(&format!("add `--confirm {word}`")), "{said}");
    let moment = Instant::now();
    (rooms.site).succeeds(&[&recover[..], &["--confirm", &word]].concat());
    let time = writers.await_after(rooms, moment, index);
    println!(
        "a room and the arbiter lost: first write in the other {:.1} s after the command",
        time.as_secs_f64()
    );
    rooms.site.succeeds(&["lab", "boot", arbiter]);
    rooms.power_on(&lost);
    rooms.await_connected();
    rooms.site.succeeds(&recover);
    rooms.await_all_follow("global");
    rooms.await_protected(1);
    for room in [0, 1] {
        writers.await_after(rooms, Instant::now(), room);
    }
    writers.finish_without_loss(rooms, "a room and the arbiter lost");
}
