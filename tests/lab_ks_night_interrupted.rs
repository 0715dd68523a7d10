//! What a person meets after a bad night between two rooms: a planned switch whose controller died, and
//! rooms that both wait for the other. The runbook's commands lead out. Long; `bin/nightly` runs it (feature `nightly`).

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::injected;
use common::random::{Random, number};
use common::rooms::{Layout, Rooms, TWO_ROOMS, Writers};
use common::site::said;

#[test]
fn two_rooms_after_a_bad_night() {
    let Some(rooms) = (Layout {
        name: "test-ks-interrupted",
        net: 61,
        ..TWO_ROOMS
    })
    .build() else {
        return;
    };
    interrupted_switches(&rooms);
    both_rooms_held_back(&rooms);
    rooms.ks(&["doctor"]);
}

/// `PAAS_KS_INTERRUPTIONS` is how often (12 unless set), `PAAS_KS_SEED` repeats a run.
fn interrupted_switches(rooms: &Rooms) {
    let rounds = number("PAAS_KS_INTERRUPTIONS").unwrap_or(12);
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), 0);
    let start = Instant::now();
    rooms.ks(&["failover", "--to", "global2a", "--yes"]);
    let whole = start.elapsed();
    let (mut from, mut to) = ("global2a", "global1a");
    let mut random = Random::seeded("PAAS_KS_SEED");
    let (mut killed, mut forward, mut back) = (0, 0, 0);
    for round in 0..rounds {
        rooms.await_all_follow("global");
        let mut controller =
            (rooms.site).start("state", "killed", &["ks", "failover", "--to", to, "--yes"]);
        // The instant is the fault that is injected, not something that is waited for.
        let instant = Duration::from_micros(random.next() % whole.as_micros() as u64);
        thread::sleep(instant);
        if controller.try_wait().unwrap().is_none() {
            killed += 1;
        }
        controller.kill().unwrap();
        controller.wait().unwrap();
        println!("round {round}: killed after {:.1} s", instant.as_secs_f64());
        if round % 2 == 1 && goes_back(rooms, from) {
            back += 1;
        } else {
            rooms.ks(&["failover", "--to", to, "--yes"]);
            recover(rooms, to);
            assert_eq!(rooms.info()["ks_master_zone"], to);
            (from, to) = (to, from);
            forward += 1;
        }
        rooms.await_all_follow("global");
        let moment = Instant::now();
        for room in [0, 1] {
            writers.await_after(rooms, moment, room);
        }
    }
    injected(
        killed,
        &format!("switches interrupted; {forward} went on, {back} back"),
    );
    writers.finish_without_loss(rooms, "interrupted switches");
}

/// One room took over from the other, which never came back to follow; then all was dark. Each waits
/// for the other, until a person names the one that served last.
fn both_rooms_held_back(rooms: &Rooms) {
    let first = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
    let (names, index) = (["global1a", "global2a"], usize::from(first == "global1a"));
    let last = names[index];
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), index);
    rooms.power_off(&first);
    let moment = Instant::now();
    rooms.ks(&["failover", "--to", last, "--yes", "--confirm", &first]);
    writers.await_after(rooms, moment, index);
    rooms.power_off(last);
    rooms.power_on(&first);
    rooms.power_on(last);
    let until = Instant::now() + Duration::from_secs(120);
    let check = || said(&rooms.site.run(&["ks", "check-pg", "--db", "global"]));
    while check().matches("held back: not started").count() < 2 {
        assert!(Instant::now() < until, "{}", check());
        thread::sleep(Duration::from_millis(500));
    }
    let recover_pg = |node: &str, other: &str| {
        let arguments = [
            "ks",
            "recover-pg",
            "--db",
            "global",
            "--primary",
            node,
            "--yes",
            "--confirm",
            other,
        ];
        rooms.site.run(&arguments)
    };
    let wrong = recover_pg(&format!("{first}-pgserver0"), last);
    let said = said(&wrong);
    assert!(
        !wrong.status.success() && said.contains(", later"),
        "{said}"
    );
    let right = recover_pg(&format!("{last}-pgserver0"), &first);
    assert!(right.status.success(), "{}", common::site::said(&right));
    recover(rooms, last);
    rooms.await_all_follow("global");
    let moment = Instant::now();
    for room in [0, 1] {
        writers.await_after(rooms, moment, room);
    }
    writers.finish_without_loss(rooms, "both rooms held back");
}

fn recover(rooms: &Rooms, room: &str) {
    let node = format!("{room}-pgserver0");
    rooms.ks(&["recover-pg", "--db", "global", "--primary", &node, "--yes"]);
}

/// Where nothing was promoted yet, the room that served goes on. False where the other one leads.
fn goes_back(rooms: &Rooms, from: &str) -> bool {
    let node = format!("{from}-pgserver0");
    let back = [
        "ks",
        "recover-pg",
        "--db",
        "global",
        "--primary",
        &node,
        "--yes",
    ];
    let output = rooms.site.run(&back);
    if !output.status.success() {
        let said = said(&output);
        assert!(said.contains("no-go: nothing is done"), "{said}");
        return false;
    }
    recover(rooms, from);
    assert_eq!(rooms.info()["ks_master_zone"], from);
    true
}
