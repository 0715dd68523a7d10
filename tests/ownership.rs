//! Who owns a run: watching it changes nothing, and what is joined isn't ended by who joined it.
//! Real sshds on loopback; needs root, and is counted as skipped elsewhere.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use common::injected;
use common::loopback::Loopback;
use common::site::signal;

/// Runs until the test opens the gate on its host.
const SLOW: &str = "echo begun\nwhile ! [ -e \"$PAAS_ROOT/gate\" ]; do sleep 0.1; done\n\
                    echo ran >>\"$PAAS_ROOT/ran\"\n";

const BUILD: [&str; 4] = ["build", "--yes", "--output", "plain"];

fn one_host() -> Option<(Loopback, PathBuf)> {
    let loopback = Loopback::start(1)?;
    loopback.job("slow", "{}\n", SLOW);
    let text = format!(
        "name: owned\ncomponents: [slow]\nserver: {{slow: {{ip: {}}}}}\n",
        Loopback::address(0)
    );
    let file = loopback.file("cluster.yml", &text);
    Some((loopback, file))
}

fn begin(loopback: &Loopback, file: &Path, state: &str, log: &str) -> Child {
    let child = loopback.start_command(file, state, log, &BUILD);
    loopback.await_text(log, "| begun");
    child
}

#[test]
fn who_leaves_an_attach_leaves_the_run_with_its_owner() {
    let Some((loopback, file)) = one_host() else {
        return;
    };
    let mut owner = begin(&loopback, &file, "mine", "owner");
    for how in ["INT", "TERM", "KILL"] {
        let log = format!("watched-{how}");
        let attach = ["attach", "--output", "plain"];
        let mut watcher = loopback.start_command(&file, "theirs", &log, &attach);
        loopback.await_text(&log, "| begun");
        signal(&watcher, how);
        watcher.wait().unwrap();
        // The colleague who looked on is refused like everybody else.
        let (code, said) = loopback.run(&file, "theirs", &BUILD);
        assert_eq!(code, 4, "after {how}: {said}");
        assert!(said.contains("another run is at work"), "{said}");
        let listed = loopback.succeeds(&file, "theirs", &["runs"]);
        assert!(listed.contains("watched"), "{listed}");
        assert!(!listed.contains("interrupted"), "{listed}");
    }
    fs::write(loopback.on(0, "gate"), "").unwrap();
    assert!(owner.wait().unwrap().success());
    assert_eq!(loopback.text_on(0, "ran"), "ran\n");
    injected(3, "attaches left by Ctrl-C, SIGTERM and SIGKILL");
}

#[test]
fn a_joined_step_is_not_ended_by_who_joined_it() {
    let Some((loopback, file)) = one_host() else {
        return;
    };
    // The owner's laptop dies; the step has nobody, so a colleague's build joins it.
    let mut owner = begin(&loopback, &file, "mine", "owner");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let mut joined = begin(&loopback, &file, "mine", "joined");
    signal(&joined, "INT");
    loopback.await_text("joined", "once more ends them");
    signal(&joined, "INT");
    assert_eq!(joined.wait().unwrap().code(), Some(130));
    let said = loopback.await_text("joined", "it goes on");
    assert!(said.contains("cancel "), "{said}");
    let mut again = begin(&loopback, &file, "mine", "again");
    signal(&again, "TERM");
    assert_eq!(again.wait().unwrap().code(), Some(130));
    // It still runs: whoever comes next joins it, and it ends well.
    let mut last = begin(&loopback, &file, "mine", "last");
    fs::write(loopback.on(0, "gate"), "").unwrap();
    assert!(last.wait().unwrap().success());
    assert_eq!(loopback.text_on(0, "ran"), "ran\n", "it ran once");

    // Who says that it's to be taken over may end it.
    fs::remove_file(loopback.on(0, "gate")).unwrap();
    let force = ["build", "--yes", "--force", "--output", "plain"];
    let mut owner = loopback.start_command(&file, "mine", "forced", &force);
    loopback.await_text("forced", "| begun");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let take = [&force[..], &["--take-over", "--grace", "1s"]].concat();
    let mut taker = loopback.start_command(&file, "mine", "taken", &take);
    loopback.await_text("taken", "| begun");
    signal(&taker, "TERM");
    assert_eq!(taker.wait().unwrap().code(), Some(130));
    let plan = loopback.succeeds(&file, "mine", &["plan"]);
    assert!(plan.contains("was ended: cancelled"), "{plan}");
    injected(
        5,
        "controllers killed, or told to end a step that they joined",
    );
}
