//! `logs` of several hosts: one stream in order of time, hosts that can't be reached, journals. Needs
//! root for the hosts' namespaces; counted as skipped elsewhere.

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Child;

use common::injected;
use common::loopback::Loopback;
use common::site::signal;

const HOSTS: usize = 3;

/// Three hosts, each with a file and a unit, of which none has a journal.
fn three() -> Option<(Loopback, PathBuf)> {
    let loopback = Loopback::start(HOSTS)?;
    let logs = "/var/lib/paas-cluster-build/app.log";
    loopback.job(
        "app",
        &format!("logs: [{logs}]\nunits: [app]\n"),
        "log done\n",
    );
    let hosts: Vec<String> = (0..HOSTS).map(Loopback::address).collect();
    let text = format!(
        "name: three\ncomponents: [app]\nserver: {{app: {{ip: [{}]}}}}\n",
        hosts.join(", ")
    );
    let file = loopback.file("cluster.yml", &text);
    Some((loopback, file))
}

fn write(loopback: &Loopback, host: usize, text: &str) {
    let path = loopback.on(host, "app.log");
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

fn end(mut child: Child) {
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn hosts_are_one_stream_and_one_that_is_away_holds_up_nobody() {
    let Some((mut loopback, file)) = three() else {
        return;
    };
    // Each host has every third of the moments.
    for second in 0..30 {
        let line = format!("2026-11-25T09:00:{second:02}Z moment {second}.\n");
        write(&loopback, second % HOSTS, &line);
    }
    let all = loopback.succeeds(&file, "state", &["logs"]);
    let moments: Vec<&str> = all
        .lines()
        .filter(|line| line.contains(" moment "))
        .collect();
    assert_eq!(moments.len(), 30, "{all}");
    for (second, line) in moments.iter().enumerate() {
        let host = Loopback::address(second % HOSTS);
        assert!(
            line.contains(&host) && line.ends_with(&format!("moment {second}.")),
            "{line}"
        );
    }
    let limited = loopback.succeeds(
        &file,
        "state",
        &["logs", "--limit", &Loopback::address(1), "-n", "2"],
    );
    assert_eq!(limited.lines().count(), 2, "{limited}");
    assert!(
        limited
            .lines()
            .all(|line| line.contains(&Loopback::address(1)))
    );

    // One is away: it's told, the others are shown.
    loopback.down(2);
    let (code, partly) = loopback.run(&file, "state", &["logs", "-n", "1"]);
    assert_eq!(code, 3, "{partly}");
    let away = format!("note: {}: ", Loopback::address(2));
    assert_eq!(partly.matches(&away).count(), 1, "{partly}");
    assert!(
        partly.contains("moment 27.") && partly.contains("moment 28."),
        "{partly}"
    );

    // With -f it's tried again, and read when it's there.
    let follower = loopback.start_command(&file, "state", "shown", &["logs", "-f", "-n", "1"]);
    loopback.await_text("shown", "trying again");
    loopback.await_text("shown", "moment 28.");
    loopback.up(2);
    loopback.await_text("shown", "connected again");
    loopback.await_text("shown", "moment 29.");
    write(&loopback, 2, "2026-11-25T09:01:00Z it lives\n");
    loopback.await_text("shown", "it lives");
    // A machine that dies takes its connection with it; what is written until it's back isn't lost.
    loopback.down(2);
    write(&loopback, 2, "2026-11-25T09:02:00Z while it was away\n");
    write(&loopback, 0, "2026-11-25T09:02:01Z another goes on\n");
    loopback.await_text("shown", "another goes on");
    loopback.up(2);
    let shown = loopback.await_text("shown", "while it was away");
    end(follower);
    assert_eq!(shown.matches("it lives").count(), 1, "{shown}");
    injected(3, "hosts that went away while logs were read");
}
