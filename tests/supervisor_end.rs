//! How steps are ended before their time: cancelled, taken over, past their deadline; and what
//! becomes of too much output.

mod common;

use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::ground::*;
use common::{run_step, step_request, supervise};
use paas_cluster_build::transport::{
    Connection, OnLock, StepCall, StepEnd, StepNews, StepRequest, StopReason,
};

const HOLDER: &str = r#"{"operator":"ada","workstation":"desk","run":"r1","step":"nats"}"#;

fn stop(step: &str, grace: u64) -> StepCall<'_> {
    StepCall::Stop {
        run: "r1",
        step,
        offset: 0,
        grace: Duration::from_secs(grace),
        by: "bea at home \"; rm",
    }
}

fn cancelled(status: i32, by: &str) -> StepEnd {
    StepEnd::Stopped {
        status,
        why: StopReason::Cancelled(by.to_owned()),
    }
}

#[test]
fn a_cancelled_step_gets_term_and_its_receipt_says_so() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "trap 'echo bye; exit 5' TERM; echo begun", "");
    let mut output = Vec::new();
    let end = supervise(&mut ground.open(), &stop("nats", 10), &mut |bytes| {
        output.extend_from_slice(bytes)
    });
    // What can't stand in JSON is replaced.
    assert_eq!(end.unwrap(), cancelled(5, "bea at home __ rm"));
    // Between them the shell tells what it was interrupted in.
    assert!(output.starts_with(b"begun\n") && output.ends_with(b"bye\n"));
    assert_eq!(step.end().0.unwrap(), cancelled(5, "bea at home __ rm"));
    let receipt = ground.receipt("nats");
    assert_eq!(receipt["stopped"], "cancelled bea at home __ rm");
    assert_eq!(receipt["status"], 5);
    assert_eq!(ground.run_as("r2", "echo next").0, StepEnd::Exited(0));
}

#[test]
fn a_step_that_ignores_term_is_killed_with_all_its_children() {
    let ground = Ground::new();
    let before = "trap '' TERM; sleep 1000 & echo $!";
    let step = Begun::start(&ground, before, "sleep 1000");
    let child = fs::read_to_string(ground.path("runs/r1/nats/out")).unwrap();
    let end = supervise(&mut ground.open(), &stop("nats", 1), &mut |_| {});
    assert_eq!(end.unwrap(), cancelled(137, "bea at home __ rm"));
    wait_until_gone(child.trim());
    assert_eq!(step.end().0.unwrap(), cancelled(137, "bea at home __ rm"));
}

#[test]
fn an_orphan_whose_supervisor_was_killed_can_still_be_ended() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    let orphan = ground.pid("runs/r1/nats/step-pid");
    kill("-KILL", &ground.pid("runs/r1/nats/pid"));
    assert!(matches!(step.end().0.unwrap(), StepEnd::Unknown(_)));
    let end = supervise(&mut ground.open(), &stop("nats", 5), &mut |_| {});
    assert!(matches!(end.unwrap(), StepEnd::Unknown(_)));
    wait_until_gone(&orphan);
    assert_eq!(ground.run_as("r2", "true").0, StepEnd::Exited(0));
}

#[test]
fn a_step_that_has_ended_isnt_cancelled_any_more() {
    let ground = Ground::new();
    ground.run("echo done");
    let end = supervise(&mut ground.open(), &stop("nats", 5), &mut |_| {});
    assert_eq!(end.unwrap(), StepEnd::Exited(0));
    assert_eq!(ground.receipt("nats").get("stopped"), None);
    let end = supervise(&mut ground.open(), &stop("uaa", 5), &mut |_| {});
    assert!(matches!(end.unwrap(), StepEnd::Unknown(why) if why.contains("never started")));
}

#[test]
fn a_cancelled_run_starts_nothing_more_on_the_host() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    let grace = Duration::from_secs(5);
    let ended = ground.open().cancel_run("r1", "bea at home", grace);
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(step.end().0.unwrap(), cancelled(143, "bea at home"));
    let next = step_request("r1", "uaa", "touch \"$PAAS_ROOT/ran\"");
    let end = run_step(&mut ground.open(), &next, &mut |_| {});
    assert_eq!(end.unwrap(), StepEnd::Refused("bea at home".into()));
    assert!(!ground.path("ran").exists());
    // Also where the run hasn't come to yet.
    assert_eq!(ground.open().cancel_run("r7", "bea", grace).unwrap(), 0);
    assert_eq!(ground.run_as("r8", "true").0, StepEnd::Exited(0));
}

#[test]
fn a_host_is_waited_for_as_long_as_was_said() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "echo first >>\"$PAAS_ROOT/order\"");
    let short = StepRequest {
        on_lock: OnLock::Wait(Duration::from_secs(1)),
        ..step_request("r2", "uaa", "true")
    };
    let end = run_step(&mut ground.open(), &short, &mut |_| {});
    assert_eq!(end.unwrap(), StepEnd::Locked(HOLDER.into()));
    let long = StepRequest {
        on_lock: OnLock::Wait(Duration::from_secs(100)),
        ..step_request("r3", "uaa", "echo second >>\"$PAAS_ROOT/order\"")
    };
    let mut waited_for = Vec::new();
    let end = ground
        .open()
        .supervise(&StepCall::Start(long), &mut |news| {
            if let StepNews::Waiting(holder) = news {
                waited_for.push(holder.to_owned());
                step.let_go();
            }
        });
    assert_eq!(end.unwrap(), StepEnd::Exited(0));
    assert_eq!(waited_for, [HOLDER]);
    let order = fs::read_to_string(ground.path("order")).unwrap();
    assert_eq!(order, "first\nsecond\n");
}

#[test]
fn a_host_that_is_taken_over_loses_its_step_and_the_rest_of_that_run() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "echo never >>\"$PAAS_ROOT/order\"");
    let mine = StepRequest {
        on_lock: OnLock::TakeOver,
        by: "bea at home in run r2",
        grace: Duration::from_secs(3),
        ..step_request("r2", "uaa", "echo mine >>\"$PAAS_ROOT/order\"")
    };
    let mut took = Vec::new();
    let end = ground
        .open()
        .supervise(&StepCall::Start(mine), &mut |news| {
            if let StepNews::TookOver(holder) = news {
                took.push(holder.to_owned());
            }
        });
    assert_eq!(end.unwrap(), StepEnd::Exited(0));
    assert_eq!(took, [HOLDER]);
    assert_eq!(
        step.end().0.unwrap(),
        cancelled(143, "bea at home in run r2")
    );
    assert_eq!(fs::read_to_string(ground.path("order")).unwrap(), "mine\n");
    assert_eq!(
        ground.receipt("nats")["stopped"],
        "cancelled bea at home in run r2"
    );
    let next = step_request("r1", "router", "true");
    let end = run_step(&mut ground.open(), &next, &mut |_| {});
    assert_eq!(
        end.unwrap(),
        StepEnd::Refused("bea at home in run r2".into())
    );
}

#[test]
fn a_deadline_ends_the_step_also_without_a_controller() {
    let ground = Ground::new();
    let request = StepRequest {
        deadline: Some(Duration::from_secs(1)),
        grace: Duration::from_secs(1),
        ..step_request("r1", "nats", "echo begun; sleep 1000")
    };
    let mut connection = ground.open();
    let interrupt = connection.interrupter();
    run_step(&mut connection, &request, &mut |_| interrupt()).unwrap_err();
    let (end, output) = follow(&ground, "r1", "nats", 0);
    let why = StopReason::Deadline("1".into());
    assert_eq!(end, StepEnd::Stopped { status: 143, why });
    assert!(output.starts_with(b"begun\n"));
    assert_eq!(ground.receipt("nats")["stopped"], "deadline 1");
}

#[test]
fn a_flood_takes_no_more_room_than_the_cap_and_what_is_missing_is_counted() {
    let ground = Ground::new();
    // Nobody follows, so the output is only dropped by the host. Numbered lines tell what is there.
    let script = "seq 1 3000000; read -r _ <\"$PAAS_ROOT/gate\"; echo end";
    fs::create_dir_all(ground.root()).unwrap();
    let gate = Command::new("mkfifo").arg(ground.path("gate")).status();
    assert!(gate.unwrap().success());
    let request = StepRequest {
        output_cap: 4 << 20,
        ..step_request("r1", "nats", script)
    };
    let mut connection = ground.open();
    let interrupt = connection.interrupter();
    run_step(&mut connection, &request, &mut |_| interrupt()).unwrap_err();
    let mark = ground.path("runs/r1/nats/dropped");
    wait_for_file(&mark);
    fs::write(ground.path("gate"), "go\n").unwrap();
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    let follow = StepCall::Follow {
        run: "r1",
        step: "nats",
        offset: 0,
        watch: true,
    };
    let end = ground.open().supervise(&follow, &mut |news| match news {
        StepNews::Output(bytes) => kept.extend_from_slice(bytes),
        StepNews::Dropped(bytes) => dropped.push((kept.len(), bytes)),
        _ => {}
    });
    assert_eq!(end.unwrap(), StepEnd::Exited(0));
    let whole: Vec<u8> = (1..=3_000_000)
        .map(|n| format!("{n}\n"))
        .chain(["end\n".to_owned()])
        .collect::<String>()
        .into_bytes();
    let [(at, missing)] = dropped[..] else {
        panic!("one gap, not {dropped:?}")
    };
    assert_eq!(at, 1 << 20, "the beginning is kept");
    assert_eq!(kept.len() + missing as usize, whole.len());
    assert!(kept[..at] == whole[..at]);
    assert!(kept[at..] == whole[at + missing as usize..]);
    use std::os::unix::fs::MetadataExt;
    let out = fs::metadata(ground.path("runs/r1/nats/out")).unwrap();
    assert_eq!(out.len(), whole.len() as u64);
    assert!(out.blocks() * 512 <= 6 << 20, "{} blocks", out.blocks());
}

#[test]
fn a_follower_ends_with_its_controller_and_a_step_without_one_can_be_told() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    let followed = || {
        let lock = Command::new("flock")
            .args(["-n", "-x"])
            .arg(ground.path("runs/r1/nats/followed"))
            .arg("true")
            .status();
        !lock.unwrap().success()
    };
    assert!(followed());
    // Who only watches doesn't count.
    let (tell, told) = mpsc::channel();
    let mut watcher = ground.open();
    let watching = thread::spawn(move || {
        let call = StepCall::Follow {
            run: "r1",
            step: "nats",
            offset: 0,
            watch: true,
        };
        supervise(&mut watcher, &call, &mut |_| {
            let _ = tell.send(());
        })
    });
    told.recv().unwrap();
    (step.interrupt)();
    let gate = step.gate.clone();
    step.end().0.unwrap_err();
    // An exclusive lock is waited for: it comes when the follower has gone.
    let waited = Command::new("flock")
        .args(["-w", "20", "-x"])
        .arg(ground.path("runs/r1/nats/followed"))
        .arg("true")
        .status();
    assert!(waited.unwrap().success());
    fs::write(gate, "go\n").unwrap();
    assert_eq!(watching.join().unwrap().unwrap(), StepEnd::Exited(0));
}

#[test]
fn only_the_newest_runs_are_kept_and_none_that_lives() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    for old in 0..60 {
        let folder = ground.path(&format!("runs/old{old}/nats"));
        fs::create_dir_all(folder).unwrap();
    }
    let waiting = StepRequest {
        on_lock: OnLock::Wait(Duration::from_secs(60)),
        ..step_request("r2", "uaa", "true")
    };
    // The living one is made the oldest, so that only its life can save it.
    let touched = Command::new("touch")
        .args(["-d", "2001-01-01"])
        .arg(ground.path("runs/r1"))
        .status();
    assert!(touched.unwrap().success());
    let end = ground
        .open()
        .supervise(&StepCall::Start(waiting), &mut |news| {
            if let StepNews::Waiting(_) = news {
                step.let_go();
            }
        });
    assert_eq!(end.unwrap(), StepEnd::Exited(0));
    assert_eq!(fs::read_dir(ground.path("runs")).unwrap().count(), 50);
    assert!(ground.path("runs/r2/uaa/status").exists());
}

#[test]
fn secrets_are_blotted_out_of_what_stays_on_the_host() {
    let ground = Ground::new();
    let script = "echo 'pw is s3cr.t/[x]'; printf 'no newline s3cr.t/[x]'; exit 3";
    let request = StepRequest {
        redact: "s/s3cr\\.t\\/\\[x\\]/**********/g\n",
        ..step_request("r1", "nats", script)
    };
    let (end, output) = ended(ground.open(), &request);
    assert_eq!(end, StepEnd::Exited(3));
    assert_eq!(output.len(), 38);
    let kept = fs::read_to_string(ground.path("runs/r1/nats/out")).unwrap();
    assert_eq!(kept, "pw is **********\nno newline **********");
    assert!(!ground.path("runs/r1/nats/redact").exists());
    // Where the wrapper was killed, the next one does it.
    let step = Begun::start_with(&ground, "echo s3cr.t/[x]", "", request.redact);
    let pids = ["pid", "step-pid"].map(|file| ground.pid(&format!("runs/r1/uaa/{file}")));
    for pid in &pids {
        kill("-KILL", pid);
        wait_until_gone(pid);
    }
    assert!(matches!(step.end().0.unwrap(), StepEnd::Unknown(_)));
    let kept = fs::read_to_string(ground.path("runs/r1/uaa/out")).unwrap();
    assert_eq!(kept, "**********\n");
}
