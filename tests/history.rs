//! What ran is listed, newest first, with who, when and how much; what is over is shown with its
//! own times.

mod common;

use std::net::TcpListener;

use common::desk::Desk;
use common::sshd::{Server, user};
use serde_json::Value;

/// Where nothing listens.
fn closed() -> Desk {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Desk::at_port(listener.local_addr().unwrap().port(), "")
}

fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn runs_come_newest_first_and_exec_is_among_them() {
    let desk = closed();
    for arguments in [&["start", "--yes"][..], &["exec", "--", "true"]] {
        assert_eq!(desk.run(arguments).code, 3);
    }
    let runs = json_lines(&desk.run(&["runs", "--output", "json"]).out);
    let mut ids: Vec<&str> = runs
        .iter()
        .map(|run| run["run"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    let listed = ids.clone();
    ids.sort_unstable();
    ids.reverse();
    assert_eq!(listed, ids);
    let mut operations: Vec<&str> = runs
        .iter()
        .map(|r| r["operation"].as_str().unwrap())
        .collect();
    operations.sort_unstable();
    assert_eq!(operations, ["exec", "start"]);
    for run in &runs {
        assert_eq!(
            (&run["ran"], &run["not_started"]),
            (&0.into(), &1.into()),
            "{run}"
        );
        assert!(
            run["started"].is_string() && run["operator"].is_string(),
            "{run}"
        );
    }
    let said = desk.run(&["runs"]).out;
    assert!(said.contains("0 ran, 1 not started"), "{said}");
    assert_eq!(desk.run(&["runs", "--last", "1"]).out.lines().count(), 2);
}

#[test]
fn exec_tells_how_many_ran_and_how_many_failed() {
    if user() != "root" {
        common::skip("exec in the history: needs root's rights on this machine");
        return;
    }
    let server = Server::start();
    let ssh = format!(
        ", user: root, identity: {}, known_hosts: {}",
        server.path("client").display(),
        server.path("known").display()
    );
    let desk = Desk::at_port(server.port, &ssh);
    assert_eq!(desk.run(&["exec", "--", "echo secret-word"]).code, 0);
    let runs = json_lines(&desk.run(&["runs", "--output", "json"]).out);
    assert_eq!(
        (&runs[0]["ran"], &runs[0]["failed"]),
        (&1.into(), &0.into()),
        "{runs:?}"
    );
    assert_eq!(desk.run(&["exec", "--", "exit 3"]).code, 1);
    let said = desk.run(&["runs"]).out;
    assert!(said.contains("1 ran"), "{said}");
    for journal in desk.journals() {
        let text = std::fs::read_to_string(journal).unwrap();
        assert!(
            !text.contains("secret-word"),
            "what is typed and answered isn't kept"
        );
    }
}

#[test]
fn a_run_that_is_over_says_so_and_is_shown_as_it_was() {
    let desk = closed();
    assert_eq!(desk.run(&["start", "--yes"]).code, 3);
    let runs = json_lines(&desk.run(&["runs", "--output", "json"]).out);
    let id = runs[0]["run"].as_str().unwrap();
    let started: jiff::Timestamp = runs[0]["started"].as_str().unwrap().parse().unwrap();
    let shown = desk.run(&["attach", id]);
    assert_eq!(shown.code, 3, "as the run itself ended: {shown:?}");
    assert!(
        shown.error.contains(&format!("run {id} has ended, at")),
        "{shown:?}"
    );
    let zone = jiff::tz::TimeZone::system();
    let time = started.to_zoned(zone).strftime("%H:%M:%S").to_string();
    assert!(
        shown.out.contains(&format!("{time} run: start of desk")),
        "{time}: {shown:?}"
    );
    assert!(shown.out.contains("unreachable"), "{shown:?}");
    let events = json_lines(&desk.run(&["attach", id, "--output", "json"]).out);
    assert_eq!(events[0]["event"], "run_started");
    assert_eq!(events[0]["time"], runs[0]["started"]);
    assert_eq!(events.last().unwrap()["event"], "run_finished");
}
