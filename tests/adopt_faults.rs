//! `adopt`, killed anywhere, is completed by the same command again; and on a terminal it asks. Needs
//! root, and is counted as skipped elsewhere.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::loopback::Loopback;
use common::site::signal;
use common::sshd::user;
use common::{injected, root, sh, skip};
use paas_cluster_build::plan::{
    Difference, Mode, Reason, Receipt, Recognised, RunIdentity, Stamp, Step, StepId,
};
use paas_cluster_build::script::Values;

/// Two found steps of one host, as they're written to it.
fn script(home: &Path) -> String {
    let run = RunIdentity {
        id: "r1".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    let step = |name: &str, values: Values| {
        let id = StepId {
            step: name.to_owned(),
            host: "127.0.0.1".parse().unwrap(),
        };
        let reason = Reason::Asked {
            what: "adopt".into(),
        };
        Step {
            receipt: Stamp::new(name, "deploy", "true\n", &values, &run).open_json(),
            values,
            ..Step::without_script(id, Mode::Query, reason)
        }
    };
    let mut values = Values::new();
    values.set("user", "root");
    values.set("home", home.display().to_string());
    values.set("release_sha256", "abc");
    values.set("micro_paas_sha256", "def");
    let steps = [step("bootstrap", values), step("nats", Values::new())];
    let unit = [Difference::Unit {
        unit: "it's a unit".to_owned(),
    }];
    let found: Vec<(&Step, &[Difference])> =
        steps.iter().map(|step| (step, unit.as_slice())).collect();
    let host = "127.0.0.1".parse().unwrap();
    Recognised::receipts(host, &found).unwrap().script
}

/// The programs that the script calls: at each call it is killed once.
const PROGRAMS: [&str; 11] = [
    "mkdir", "chmod", "flock", "runuser", "date", "cat", "sync", "mv", "tee", "env", "rm",
];

/// Has the script killed at the call with this number; whether it was.
fn killed_at(script: &str, root: &Path, number: usize) -> bool {
    let bin = root.join("bin");
    let count = root.join("count");
    let _ = fs::remove_file(&count);
    fs::create_dir_all(&bin).unwrap();
    for name in PROGRAMS {
        let text = format!(
            "#!/bin/sh\necho >>{count}\n\
             if [ $(wc -l <{count}) -ge {number} ]; then kill -KILL 0; fi\n\
             for folder in /usr/bin /usr/sbin /bin /sbin; do\n\
             \tif [ -x $folder/{name} ]; then exec $folder/{name} \"$@\"; fi\ndone\nexit 127\n",
            count = count.display()
        );
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // A process group of its own, all of which ends, as by a loss of power.
    let output = sh(&format!(
        "PAAS_ROOT={root}/host PATH={bin}:$PATH\nexport PAAS_ROOT PATH\n\
         exec setsid -w sh -c {}",
        shell_words::quote(script),
        root = root.display(),
        bin = bin.display(),
    ));
    !output.status.success()
}

fn receipts(root: &Path) -> Vec<Option<Receipt>> {
    let read = |name: &str| fs::read_to_string(root.join("host/receipts").join(name));
    let whole = |text: std::io::Result<String>| {
        let text = text.ok()?;
        Some(Receipt::parse(&text).expect("a receipt is whole or not there"))
    };
    ["bootstrap.json", "nats.json"]
        .map(|name| whole(read(name)))
        .to_vec()
}

#[test]
fn killed_at_any_command_it_leaves_whole_receipts_and_is_completed() {
    if user() != "root" {
        skip("an adoption that is killed: the script runs as root");
        return;
    }
    let mut kills = 0;
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let (root, home) = (folder.path(), folder.path().join("home"));
        let script = script(&home);
        if !killed_at(&script, root, number) {
            break;
        }
        kills += 1;
        assert!(kills < 100, "it never ends by itself");
        let before = receipts(root);
        // A package isn't known by a mark after the receipt, but before it.
        let marks = || {
            [".micro-paas", ".paas-release"]
                .map(|name| fs::read_to_string(home.join("build_dir").join(name)).ok())
        };
        if before[0].is_some() {
            assert_eq!(
                marks(),
                ["def\n", "abc\n"].map(|text| Some(text.to_owned()))
            );
        }
        let output = sh(&format!(
            "PAAS_ROOT={}/host\nexport PAAS_ROOT\n{script}",
            root.display()
        ));
        assert!(output.status.success(), "{number}: {output:?}");
        let after = receipts(root);
        assert!(after.iter().all(Option::is_some), "{number}: {after:?}");
        for (before, after) in before.iter().zip(&after) {
            assert!(before.is_none() || before == after, "{number}");
        }
        assert_eq!(
            marks(),
            ["def\n", "abc\n"].map(|text| Some(text.to_owned()))
        );
        let left = fs::read_dir(root.join("host/receipts")).unwrap().count();
        assert_eq!(left, 2, "nothing half-written stays");
    }
    assert!(kills >= 15, "{kills}");
    injected(kills, "kills of a script that writes receipts");
}

/// Hosts that a release was put on by hand; nothing runs.
fn start(hosts: usize) -> Option<(Loopback, PathBuf)> {
    let loopback = Loopback::start(hosts)?;
    fs::create_dir_all(loopback.path("jobs")).unwrap();
    let addresses: Vec<String> = (0..hosts).map(Loopback::address).collect();
    let release = root().join("tests/fixtures/plain-release");
    let file = loopback.file(
        "cluster.yml",
        &format!(
            "name: byhand\npackages: []\nrelease: {{paas_release: {{path: {release}}}}}\n\
             components: [nats]\nserver: {{nats: {{ip: [{hosts}]}}}}\n",
            release = release.display(),
            hosts = addresses.join(", ")
        ),
    );
    let command = format!("cp -r {} /root/paas-release.git", release.display());
    loopback.succeeds(&file, "by-hand", &["exec", "--root", "--", &command]);
    Some((loopback, file))
}

fn has_receipt(loopback: &Loopback, host: usize) -> bool {
    Receipt::parse(&loopback.text_on(host, "receipts/bootstrap.json")).is_some()
}

#[test]
fn a_controller_that_is_killed_between_two_hosts_is_repeated() {
    let Some((loopback, file)) = start(2) else {
        return;
    };
    // The second host takes its time to write, until this file is gone.
    let hold = loopback.path("hold");
    fs::write(&hold, "").unwrap();
    let slow = loopback.path("slow");
    let text = format!(
        "#!/bin/sh\ncase $1 in */receipts/*)\n\ttouch {reached}\n\
         \twhile [ -e {hold} ]; do sleep 0.05; done\n\t;;\nesac\nexec {real} \"$@\"\n",
        reached = loopback.path("reached").display(),
        hold = hold.display(),
        real = loopback.path("real-sync").display()
    );
    fs::write(&slow, text).unwrap();
    fs::copy("/usr/bin/sync", loopback.path("real-sync")).unwrap();
    let second = Loopback::address(1);
    let mount = format!(
        "chmod 0755 {slow} && mount --bind {slow} /usr/bin/sync",
        slow = slow.display()
    );
    let words = ["exec", "--limit", &second, "--root", "--", &mount];
    loopback.succeeds(&file, "by-hand", &words);

    let mut child = loopback.start_command(&file, "state", "first.log", &["adopt", "--yes"]);
    let until = Instant::now() + Duration::from_secs(60);
    while !(has_receipt(&loopback, 0) && loopback.path("reached").exists()) {
        let said = fs::read_to_string(loopback.path("first.log")).unwrap();
        assert!(Instant::now() < until, "it never came to write: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    assert!(!has_receipt(&loopback, 1));
    let first = loopback.text_on(0, "receipts/bootstrap.json");
    // While the script of the first one is at work there, nobody else writes; then it's completed.
    fs::remove_file(&hold).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let (code, said) = loopback.run(&file, "state", &["adopt", "--yes"]);
        if code == 0 {
            break;
        }
        assert!(said.contains("another run is at work"), "{said}");
        assert!(Instant::now() < until, "{said}");
    }
    assert!(has_receipt(&loopback, 1));
    assert_eq!(loopback.text_on(0, "receipts/bootstrap.json"), first);
    let plan = loopback.succeeds(&file, "state", &["plan"]);
    assert_eq!(plan.matches("adopted, unchanged").count(), 2, "{plan}");
    injected(1, "controllers killed while they adopted");
}

/// Runs it on a terminal that answers; returns the exit code and what stood on the terminal.
fn on_terminal(loopback: &Loopback, file: &Path, answer: &str) -> (i32, String) {
    let line = format!(
        "{} -c {} --state-dir {} adopt",
        env!("CARGO_BIN_EXE_paas-cluster-build"),
        file.display(),
        loopback.path("state").display()
    );
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(answer.as_bytes()).unwrap();
    // The terminal is to stay until it has asked; its end would be an answer of its own.
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    (output.status.code().unwrap(), said)
}

#[test]
fn on_a_terminal_it_shows_what_it_found_and_asks() {
    let Some((loopback, file)) = start(1) else {
        return;
    };
    for no in ["n\n", "\n"] {
        let (code, said) = on_terminal(&loopback, &file, no);
        assert_eq!(code, 130, "{said}");
        let found = said.find("bootstrap on 127.0.0.71: found").expect(&said);
        let asked = said.find("write 1 receipt? [y/N]").expect(&said);
        assert!(found < asked, "{said}");
        assert!(
            said.contains("not confirmed; nothing was changed"),
            "{said}"
        );
        assert!(!has_receipt(&loopback, 0));
    }
    let (code, said) = on_terminal(&loopback, &file, "y\n");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("receipts written: 1"), "{said}");
    assert!(has_receipt(&loopback, 0));
    // With nothing to write there is no question.
    let (code, said) = on_terminal(&loopback, &file, "");
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("[y/N]"), "{said}");
}
