//! What a person meets after a bad night between two rooms: a planned switch whose controller died, and
//! rooms that both wait for the other. The runbook's commands lead out. Long; `bin/nightly` runs it (feature `nightly`).

mod common;

use std::process::Output;
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
    both_rooms_have_led(&rooms);
    the_first_room_is_built_anew(&rooms);
    rooms.ks(&["doctor"]);
}

fn other(room: &str) -> &'static str {
    if room == "global1a" {
        "global2a"
    } else {
        "global1a"
    }
}

fn serving(rooms: &Rooms) -> String {
    rooms.info()["ks_master_zone"].as_str().unwrap().to_owned()
}

fn await_writes(rooms: &Rooms, writers: &Writers) {
    let moment = Instant::now();
    for room in [0, 1] {
        writers.await_after(rooms, moment, room);
    }
}

/// `recover-pg` of the global database to a room's server.
fn recover_pg(rooms: &Rooms, room: &str, given_up: Option<&str>) -> Output {
    let node = format!("{room}-pgserver0");
    let mut arguments = vec![
        "ks",
        "recover-pg",
        "--db",
        "global",
        "--primary",
        &node,
        "--wait=60s",
        "--yes",
    ];
    if let Some(given_up) = given_up {
        arguments.extend(["--confirm", given_up]);
    }
    rooms.site.run(&arguments)
}

fn await_said(rooms: &Rooms, words: &str, times: usize) {
    let until = Instant::now() + Duration::from_secs(120);
    let check = || said(&rooms.site.run(&["ks", "check-pg", "--db", "global"]));
    while check().matches(words).count() < times {
        assert!(Instant::now() < until, "{}", check());
        thread::sleep(Duration::from_millis(500));
    }
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
            // A step of the dead controller may still be at work.
            rooms.ks(&["failover", "--to", to, "--wait=60s", "--yes"]);
            recover(rooms, to);
            assert_eq!(rooms.info()["ks_master_zone"], to);
            (from, to) = (to, from);
            forward += 1;
        }
        rooms.await_all_follow("global");
        await_writes(rooms, &writers);
    }
    injected(
        killed,
        &format!("switches interrupted; {forward} went on, {back} back"),
    );
    writers.finish_without_loss(rooms, "interrupted switches");
}

fn recover(rooms: &Rooms, room: &str) {
    let output = recover_pg(rooms, room, None);
    assert!(output.status.success(), "{}", said(&output));
}

/// Where nothing was promoted yet, the room that served goes on. False where the other one leads.
fn goes_back(rooms: &Rooms, from: &str) -> bool {
    let output = recover_pg(rooms, from, None);
    if !output.status.success() {
        let said = said(&output);
        assert!(said.contains("no-go: nothing is done"), "{said}");
        return false;
    }
    recover(rooms, from);
    assert_eq!(serving(rooms), from);
    true
}

/// One room took over from the other, which never came back to follow; then all was dark. Each waits
/// for the other, until a person names the one that served last.
fn both_rooms_held_back(rooms: &Rooms) {
    let first = serving(rooms);
    let last = other(&first);
    let index = usize::from(last == "global2a");
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), index);
    rooms.power_off(&first);
    let moment = Instant::now();
    rooms.ks(&["failover", "--to", last, "--yes", "--confirm", &first]);
    writers.await_after(rooms, moment, index);
    rooms.power_off(last);
    rooms.power_on(&first);
    rooms.power_on(last);
    await_said(rooms, "held back: not started", 2);
    let wrong = recover_pg(rooms, &first, Some(last));
    let words = said(&wrong);
    assert!(
        !wrong.status.success() && words.contains(", later"),
        "{words}"
    );
    let right = recover_pg(rooms, last, Some(&first));
    assert!(right.status.success(), "{}", said(&right));
    recover(rooms, last);
    rooms.await_all_follow("global");
    await_writes(rooms, &writers);
    writers.finish_without_loss(rooms, "both rooms held back");
}

/// A person starts the room that didn't serve last, while the one that did is dark. When that is back,
/// nothing of it is copied over; only who names the other room gives that up.
fn both_rooms_have_led(rooms: &Rooms) {
    let first = serving(rooms);
    let last = other(&first);
    let index = usize::from(last == "global2a");
    let writers = Writers::start(rooms);
    writers.await_after(rooms, Instant::now(), index);
    rooms.power_off(&first);
    let moment = Instant::now();
    rooms.ks(&["failover", "--to", last, "--yes", "--confirm", &first]);
    writers.await_after(rooms, moment, index);
    // What counts is from here on in this room alone.
    let counts = writers.finish();
    rooms.power_off(last);
    rooms.power_on(&first);
    await_said(rooms, "held back: not started", 1);
    let alone = recover_pg(rooms, &first, Some(last));
    assert!(alone.status.success(), "{}", said(&alone));
    rooms.power_on(last);
    await_said(rooms, "both rooms have led", 1);
    let wrong = recover_pg(rooms, &first, None);
    let words = said(&wrong);
    assert!(!wrong.status.success(), "{words}");
    assert!(
        words.contains(&format!("add `--confirm {last}`")),
        "{words}"
    );
    // The one that counts leads again; the other is stopped, and copied anew.
    for host in rooms.machines(&first) {
        let fence = "if systemctl cat pg-global >/dev/null 2>&1; then systemctl disable --now pg-global; fi";
        rooms.site.on(&host, fence);
    }
    let right = recover_pg(rooms, last, Some(&first));
    assert!(right.status.success(), "{}", said(&right));
    let back = recover_pg(rooms, last, Some(&first));
    assert!(back.status.success(), "{}", said(&back));
    rooms.await_all_follow("global");
    let stored = rooms.stored();
    let lost = counts.difference(&stored).count();
    assert_eq!(lost, 0, "of {}", counts.len());
    println!(
        "both rooms have led: {} acknowledged writes, none lost",
        counts.len()
    );
}

/// The first room's machine loses its disk: it must not begin an empty database beside the only copy.
fn the_first_room_is_built_anew(rooms: &Rooms) {
    if serving(rooms) != "global1a" {
        rooms.ks(&["failback", "--to", "global1a", "--yes"]);
        rooms.await_all_follow("global");
    }
    let writers = Writers::start(rooms);
    await_writes(rooms, &writers);
    let host = rooms.primary_host("global1a");
    let lose = "systemctl stop pg-global paas-zookeeper; rm -rf /var/lib/postgresql/paas-global/data \
                /var/lib/zookeeper/version-2; systemctl start paas-zookeeper; systemctl start --no-block \
                pg-global";
    rooms.site.on(&host, lose);
    injected(1, "disks lost");
    await_said(rooms, "the other room has the database", 1);
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
    recover(rooms, "global2a");
    rooms.await_all_follow("global");
    await_writes(rooms, &writers);
    writers.finish_without_loss(rooms, "the first room built anew");
    rooms.ks(&["failback", "--to", "global1a", "--yes"]);
    rooms.await_all_follow("global");
}
