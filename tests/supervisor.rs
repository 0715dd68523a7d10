//! Single steps under the on-host supervisor: what they get, print, leave behind and end with.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use common::ground::*;
use common::{run_step, step_request};
use paas_cluster_build::transport::{StepEnd, StepRequest, TransportErrorKind};

#[test]
fn a_step_runs_and_leaves_its_receipt_output_and_status_but_no_script() {
    let ground = Ground::new();
    let (end, output) = ground.run("echo out; echo err >&2; echo \"$PAAS_STEP $PAAS_RUN\"\n");
    assert_eq!(end, StepEnd::Exited(0));
    assert_eq!(output, b"out\nerr\nnats r1\n");
    let receipt = ground.receipt("nats");
    assert_eq!(receipt["script"], "print \"ü\"");
    assert_eq!(receipt["status"], 0);
    assert!(receipt["started"].as_i64() <= receipt["finished"].as_i64());
    assert_eq!(receipt["boot_id"].as_str().unwrap().len(), 36);
    let mut left: Vec<String> = fs::read_dir(ground.path("runs/r1/nats"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "about", "boot-id", "followed", "out", "pid", "status", "step-pid"
        ]
    );
    assert!(!ground.path("holder").exists());
}

#[test]
fn a_step_that_is_sent_without_a_receipt_leaves_the_old_one() {
    let ground = Ground::new();
    ground.run("true\n");
    let old = fs::read(ground.path("receipts/nats.json")).unwrap();
    let restart = StepRequest {
        receipt: "",
        ..step_request("r2", "nats", "true\n")
    };
    assert_eq!(ended(ground.open(), &restart).0, StepEnd::Exited(0));
    assert_eq!(fs::read(ground.path("receipts/nats.json")).unwrap(), old);
}

#[test]
fn the_folder_and_all_in_it_is_the_owners_alone() {
    let ground = Ground::new();
    ground.run("umask; touch \"$PAAS_ROOT/../made-by-step\"");
    for path in ["", "runs/r1/nats", "receipts"] {
        assert_eq!(
            fs::metadata(ground.path(path)).unwrap().mode() & 0o077,
            0,
            "{path}"
        );
    }
    assert_eq!(
        fs::metadata(ground.path("runs/r1/nats/out"))
            .unwrap()
            .mode()
            & 0o777,
        0o600
    );
    let made = fs::metadata(ground.folder.path().join("made-by-step")).unwrap();
    assert_eq!(
        made.mode() & 0o777,
        0o644,
        "the step itself has the usual mask"
    );
}

#[test]
fn every_status_comes_through() {
    for (run, script, status) in [
        ("a", "exit 1", 1),
        ("b", "exit 143", 143),
        ("c", "kill -TERM $$", 143),
        ("d", "kill -KILL $$", 137),
        ("e", "this is not a command", 127),
        ("f", "if then", 2),
    ] {
        let ground = Ground::new();
        let (end, _) = ended(ground.open(), &step_request(run, "nats", script));
        assert_eq!(end, StepEnd::Exited(status), "{script}");
        assert_eq!(ground.receipt("nats")["status"], status, "{script}");
    }
}

#[test]
fn output_comes_byte_for_byte() {
    let ground = Ground::new();
    let (end, output) = ground.run(r"printf 'a\0b\377\npcb1 end 9\npcb1 data 99\nno newline'");
    assert_eq!(end, StepEnd::Exited(0));
    assert_eq!(output, b"a\0b\xff\npcb1 end 9\npcb1 data 99\nno newline");
}

#[test]
fn five_megabytes_come_whole_and_in_order() {
    let ground = Ground::new();
    let (end, output) = ground.run("seq 1 750000");
    assert_eq!(end, StepEnd::Exited(0));
    let expected: String = (1..=750_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(output.len(), expected.len());
    assert!(output == expected.as_bytes());
}

#[test]
fn a_script_is_kept_where_that_is_asked() {
    let ground = Ground::new();
    let script = "# é, a 'quote' and \"two\"\n\ttrue\n\n\n";
    let mut kept = step_request("r1", "nats", script);
    kept.keep_script = true;
    ended(ground.open(), &kept);
    assert_eq!(
        fs::read_to_string(ground.path("runs/r1/nats/script")).unwrap(),
        script
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_the_hosts_error_with_its_cause() {
    let ground = Ground::new();
    fs::write(ground.root(), "a file in the way").unwrap();
    let request = step_request("r", "s", "true");
    let error = run_step(&mut ground.open(), &request, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    assert!(
        error.message.contains("Not a directory") || error.message.contains("File exists"),
        "{error}"
    );
}

#[test]
fn names_that_would_leave_their_folder_are_refused() {
    let ground = Ground::new();
    for bad in ["../x", "a/b", "", ".hidden", "a b"] {
        let request = step_request("r1", bad, "true");
        let refused = run_step(&mut ground.open(), &request, &mut |_| {});
        assert!(refused.is_err(), "{bad}");
    }
    assert!(!ground.root().exists());
}

#[test]
fn the_supervisor_is_clean_under_shellcheck() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/supervisor");
    for file in ["supervisor.sh", "wrapper.sh"] {
        let checked = Command::new("shellcheck")
            .args(["-s", "sh"])
            .arg(folder.join(file))
            .output();
        let checked = checked.expect("shellcheck is installed by bin/install-tools");
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
    }
}
