//! Waits on hosts are measured by the kernel's own clock. A date that is set meanwhile, as fresh
//! machines do in their first minutes, neither ends a wait early nor lets it last for ever.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{injected, root, skip};
use paas_cluster_build::script::{Values, render_site_template};
use regex::Regex;
use serde_json::json;

/// Where a script may ask for the date, how often, and what for: never to measure a wait.
const DATES: [(&str, usize, &str); 5] = [
    ("deploy/adopt.sh", 1, "when a receipt was written"),
    ("deploy/supervisor/wrapper.sh", 2, "times in the receipt"),
    (
        "deploy/probe.sh",
        1,
        "the host's clock, compared with others",
    ),
    ("deploy/ks/follow.sh", 1, "the name of a folder"),
    (
        "deploy/pitrix-example/build",
        1,
        "the date of a release, fixed",
    ),
];

/// Every file below a folder that is run by a shell, and every Rust source, which may hold such text.
fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scripts(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let name = path.to_str().unwrap();
            let first = text.lines().next().unwrap_or_default();
            let is_shell = first.starts_with("#!") && first.ends_with("sh");
            if is_shell || name.ends_with(".sh") || name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
}

#[test]
fn no_script_measures_a_wait_by_the_date() {
    let date =
        Regex::new(r"\bdate +[-+'\x22]|\$\{?(SECONDS|EPOCHSECONDS|EPOCHREALTIME)\b").unwrap();
    let comment = Regex::new(r"(?m)^\s*(#|//).*$").unwrap();
    let mut files = Vec::new();
    for folder in ["cluster_jobs", "deploy", "lib", "tests/fixtures/site-jobs"] {
        scripts(&root().join(folder), &mut files);
    }
    assert!(files.len() > 60, "{}", files.len());
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let count = date.find_iter(&comment.replace_all(&text, "")).count();
        if count > 0 {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            asked.insert(name, count);
        }
    }
    let allowed = DATES.map(|(file, count, _)| (file.to_owned(), count));
    assert_eq!(
        asked,
        BTreeMap::from(allowed),
        "a wait is measured by `now` (/proc/uptime), not by the date"
    );
}

/// What is done to the date, each as a `date` that the script finds in place of the real one.
const CLOCKS: [(&str, &str); 2] = [
    (
        "jumps ahead by an hour at each look",
        "#!/bin/sh\nn=$(($(cat \"$F/n\" 2>/dev/null || echo 0) + 1))\necho $n >\"$F/n\"\n\
         echo $((1700000000 + 3600 * n))\n",
    ),
    (
        "is set back again and again",
        "#!/bin/sh\necho 1700000000\n",
    ),
];

/// Runs a script in a mount namespace where `date` is another program; `None` where there can be
/// none. The wait for it is bounded from outside.
fn with_date(folder: &Path, date: &str, script: &str) -> Option<String> {
    fs::write(folder.join("date"), date).unwrap();
    fs::write(folder.join("script"), script).unwrap();
    let setup = "set -e; chmod 755 \"$F/date\"; mount --bind \"$F/date\" /usr/bin/date\n\
                 exec timeout 60 sh \"$F/script\"";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", setup])
        .env("F", folder)
        .output()
        .ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if said.contains("unshare:") {
        return None;
    }
    assert_ne!(output.status.code(), Some(124), "it waits for ever: {said}");
    Some(said)
}

/// The wait for health of a job whose only question is this command.
fn wait(command: &str, timeout: u32) -> String {
    let mut values = Values::new();
    values.set("paas_user", "root");
    values.set("paas_home", "/nowhere");
    values.set("own_address", "127.0.0.1");
    for nothing in [
        "services",
        "units",
        "tcp",
        "http",
        "logs",
        "entries",
        "status_pages",
    ] {
        values.set(nothing, json!([]));
    }
    values.set("commands", [command]);
    values.set("timeout", timeout);
    let parts = [
        include_str!("../cluster_jobs/prelude.sh"),
        include_str!("../cluster_jobs/health.sh"),
    ];
    let parts = parts.map(|part| render_site_template("t.sh", part, &values).unwrap() + "\n");
    parts.concat() + "date +%s; wait_healthy\n"
}

#[test]
fn a_wait_for_health_lasts_as_long_as_it_says_whatever_the_date_does() {
    for (clock, date) in CLOCKS {
        let folder = tempfile::tempdir().unwrap();
        // The third look finds it well: two seconds of twenty.
        let looks = folder.path().join("looks");
        let third = format!("echo look >>{0}; test $(wc -l <{0}) -ge 3", looks.display());
        let Some(said) = with_date(folder.path(), date, &wait(&third, 20)) else {
            skip("a date that is set: no mount namespace can be had");
            return;
        };
        assert!(said.starts_with("17"), "the date is the test's own: {said}");
        assert!(said.ends_with("healthy\n"), "the date {clock}: {said}");
        let folder = tempfile::tempdir().unwrap();
        let said = with_date(folder.path(), date, &wait("false", 1)).unwrap();
        assert!(
            said.contains("not healthy after 1 s"),
            "the date {clock}: {said}"
        );
    }
    injected(4, "waits for health while the date was set");
}

#[test]
fn a_wait_for_the_lock_lasts_as_long_as_it_says_whatever_the_date_does() {
    for (clock, date) in CLOCKS {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("supervisor"),
            include_str!("../deploy/supervisor/supervisor.sh"),
        )
        .unwrap();
        // Another holds the lock for as long as its standard input is open: until the script ends.
        let ask = "date +%s; mkdir -p \"$F/state\"; mkfifo \"$F/held\" \"$F/end\"\n\
                   flock \"$F/state/lock\" sh -c 'echo held >\"$F/held\"; read -r _ <\"$F/end\"' &\n\
                   read -r _ <\"$F/held\"\n\
                   mkfifo \"$F/in\"; exec 3<>\"$F/in\"\n\
                   printf 'run %s/state r1 nats no wait-2 0 1000000 5 0 0 0 0 0\\n' \"$F\" >&3\n\
                   wrapper= sh -c 'eval \"$(cat \"$F/supervisor\")\"' <&3\n\
                   echo >\"$F/end\"; wait\n";
        let Some(said) = with_date(folder.path(), date, ask) else {
            skip("a date that is set: no mount namespace can be had");
            return;
        };
        assert!(said.contains("pcb1 locked"), "the date {clock}: {said}");
        // It was waited for: some signs of life came first.
        assert!(
            said.matches("pcb1 alive").count() >= 2,
            "the date {clock}: {said}"
        );
    }
    injected(2, "waits for a host's lock while the date was set");
}
