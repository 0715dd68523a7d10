//! Who holds a host and who follows a step: the lock, lost and second followers, dead supervisors.

mod common;

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use common::ground::*;
use common::{run_step, step_request};
use paas_cluster_build::transport::{StepEnd, TransportErrorKind};

const HOLDER: &str = r#"{"operator":"ada","workstation":"desk","run":"r1","step":"nats"}"#;

#[test]
fn a_daemon_that_a_step_leaves_behind_holds_neither_lock_nor_controller() {
    let ground = Ground::new();
    let fifo = ground.fifo("daemon");
    let script = format!("(read -r _ <'{}'; echo late) & echo $!", fifo.display());
    let (end, output) = ground.run(&script);
    assert_eq!(end, StepEnd::Exited(0));
    let daemon = String::from_utf8(output).unwrap().trim().to_owned();
    assert!(Path::new(&format!("/proc/{daemon}")).exists());
    let (end, _) = ended(ground.open(), &step_request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Exited(0));
    fs::write(fifo, "end\n").unwrap();
    wait_until_gone(&daemon);
}

#[test]
fn a_second_step_is_told_who_holds_the_lock() {
    let ground = Ground::new();
    let first = Begun::start(&ground, "echo begun", "echo done");
    let (end, output) = ended(ground.open(), &step_request("r2", "uaa", "echo never"));
    assert_eq!(end, StepEnd::Locked(HOLDER.to_owned()));
    assert_eq!(output, b"");
    assert!(!ground.path("runs/r2/uaa").exists());
    first.let_go();
    assert_eq!(first.end().0.unwrap(), StepEnd::Exited(0));
    let (end, _) = ended(ground.open(), &step_request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Exited(0));
}

#[test]
fn steps_after_each_other_never_find_the_host_locked() {
    let ground = Ground::new();
    for n in 0..15 {
        let (end, _) = ended(
            ground.open(),
            &step_request(&format!("r{n}"), "nats", "true"),
        );
        assert_eq!(end, StepEnd::Exited(0), "run {n}");
    }
}

#[test]
fn a_cut_follower_changes_nothing_and_the_rest_is_read_from_where_it_stopped() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "seq 1 1000; exit 3");
    (step.interrupt)();
    let gate = step.gate.clone();
    let (end, first) = step.end();
    assert_eq!(end.unwrap_err().kind, TransportErrorKind::Lost);
    assert_eq!(first, b"begun\n");
    fs::write(gate, "go\n").unwrap();
    let (end, rest) = follow(&ground, "r1", "nats", first.len() as u64);
    assert_eq!(end, StepEnd::Exited(3));
    let expected: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(rest, expected.as_bytes());
}

#[test]
fn a_step_that_is_sent_twice_runs_once() {
    let ground = Ground::new();
    let script = "echo once >>\"$PAAS_ROOT/count\"; echo said; exit 4";
    for _ in 0..2 {
        assert_eq!(ground.run(script), (StepEnd::Exited(4), b"said\n".to_vec()));
    }
    assert_eq!(fs::read_to_string(ground.path("count")).unwrap(), "once\n");
}

#[test]
fn a_step_that_is_sent_again_while_it_runs_is_followed() {
    let ground = Ground::new();
    let first = Begun::start(&ground, "echo once", "");
    let mut again = ground.open();
    let (tell, told) = mpsc::channel();
    let second = thread::spawn(move || {
        run_step(
            &mut again,
            &step_request("r1", "nats", "echo twice"),
            &mut |bytes| {
                tell.send(bytes.to_vec()).unwrap();
            },
        )
    });
    assert_eq!(told.recv().unwrap(), b"once\n");
    first.let_go();
    assert_eq!(second.join().unwrap().unwrap(), StepEnd::Exited(0));
    assert_eq!(first.end().1, b"once\n");
}

#[test]
fn a_killed_wrapper_leaves_the_end_unknown_and_the_host_locked_while_the_step_lives() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    let orphan = ground.pid("runs/r1/nats/step-pid");
    kill("-KILL", &ground.pid("runs/r1/nats/pid"));
    let gate = step.gate.clone();
    let (end, _) = step.end();
    let StepEnd::Unknown(why) = end.unwrap() else {
        panic!("not unknown")
    };
    assert!(why.contains("killed"), "{why}");
    assert_eq!(
        ground.receipt("nats")["status"],
        -1,
        "the receipt says that it never ended"
    );
    // The kernel's lock is gone with the wrapper, the step isn't.
    let (end, _) = ended(ground.open(), &step_request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Locked(HOLDER.to_owned()));
    assert!(ground.path("runs/r1/nats/script").exists());
    fs::write(gate, "go\n").unwrap();
    wait_until_gone(&orphan);
    let (end, _) = ended(ground.open(), &step_request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Exited(0));
    assert!(
        !ground.path("runs/r1/nats/script").exists(),
        "its secrets went with it"
    );
}

#[test]
fn a_reboot_in_the_middle_is_told() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    let pids = [
        ground.pid("runs/r1/nats/pid"),
        ground.pid("runs/r1/nats/step-pid"),
    ];
    for pid in &pids {
        kill("-KILL", pid);
        wait_until_gone(pid);
    }
    assert!(matches!(step.end().0.unwrap(), StepEnd::Unknown(_)));
    fs::write(
        ground.path("runs/r1/nats/boot-id"),
        "00000000-0000-0000-0000-000000000000\n",
    )
    .unwrap();
    let (end, output) = follow(&ground, "r1", "nats", 0);
    assert_eq!(
        end,
        StepEnd::Unknown("host rebooted while the step ran".into())
    );
    assert_eq!(output, b"begun\n");
    assert!(!ground.path("runs/r1/nats/script").exists());
}

#[test]
fn a_run_folder_that_was_left_half_way_is_started_over() {
    let ground = Ground::new();
    let folder = ground.path("runs/r1/nats");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("script"), "echo old").unwrap();
    fs::write(folder.join("out"), "old").unwrap();
    fs::write(ground.path("holder"), "half a line without its end").unwrap();
    assert_eq!(
        ground.run("echo new"),
        (StepEnd::Exited(0), b"new\n".to_vec())
    );
}

#[test]
fn a_step_that_the_host_never_saw_is_unknown() {
    let ground = Ground::new();
    let (end, _) = follow(&ground, "r9", "nats", 0);
    assert!(matches!(end, StepEnd::Unknown(why) if why.contains("never started")));
}
