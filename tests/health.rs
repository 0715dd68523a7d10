//! The health questions of the prelude in a real shell against real sockets, and what is shown when
//! a service doesn't come up.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use common::sh;
use paas_cluster_build::script::{Values, render_site_template};
use serde_json::json;

/// The prelude and the questions, with everything that the test sets.
fn script(port: u16, commands: &[&str], home: &str) -> String {
    let mut values = Values::new();
    values.set("paas_user", "root");
    values.set("paas_home", home);
    values.set("own_address", "127.0.0.1");
    let none: [&str; 0] = [];
    values.set("services", none);
    values.set("units", none);
    values.set("entries", none);
    values.set("status_pages", none);
    values.set("tcp", [port]);
    values.set("http", json!([{"port": port, "path": "/health"}]));
    values.set("commands", commands);
    values.set("logs", ["service.log"]);
    values.set("timeout", 0);
    [
        include_str!("../cluster_jobs/prelude.sh"),
        include_str!("../cluster_jobs/health.sh"),
    ]
    .map(|template| render_site_template("t.sh", template, &values).unwrap() + "\n")
    .concat()
}

/// Runs the script and returns whether it succeeded and what it printed.
fn run(script: &str) -> (bool, String) {
    let output = sh(script);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

/// Answers every request with this text, at a port of its own, as long as the test program runs.
fn serve(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            // Who only looks whether the port answers sends nothing.
            while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            if request.starts_with(b"GET /health HTTP/1.") {
                let _ = connection.write_all(answer.as_bytes());
            }
        }
    });
    port
}

#[test]
fn a_healthy_service_is_told_by_its_port_and_its_page() {
    let port = serve("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (ok, said) = run(&(script(port, &["true"], "/nowhere") + "check_health"));
    assert!(ok && said.is_empty(), "{said}");
    let (ok, said) = run(&(script(port, &["exit 3"], "/nowhere") + "check_health"));
    assert_eq!((ok, said.as_str()), (false, "the check failed: exit 3\n"));
}

#[test]
fn an_ill_service_is_told_by_its_own_words() {
    let port = serve("HTTP/1.0 503 Service Unavailable\r\n\r\nno database\0\n");
    let (ok, said) = run(&(script(port, &[], "/nowhere") + "check_health"));
    let expected =
        format!("port {port} answers /health with HTTP/1.0 503 Service Unavailable: no database\n");
    assert_eq!((ok, said), (false, expected));
}

/// A home whose log holds these lines already, and the script that watches it.
fn watched(lines: usize) -> (tempfile::TempDir, String) {
    // Bound and closed again: nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let home = tempfile::TempDir::new().unwrap();
    let log: String = (1..=lines).map(|n| format!("old {n}\n")).collect();
    fs::write(home.path().join("service.log"), log).unwrap();
    let script = script(port, &[], home.path().to_str().unwrap());
    (home, script + "watch_step\nlog=$PAAS_HOME/service.log\n")
}

#[test]
fn a_service_that_does_not_come_up_shows_what_its_log_got_meanwhile() {
    let (_home, script) = watched(3);
    let writes = "for n in $(seq 40); do echo \"line $n\" >>\"$log\"; done\nwait_healthy";
    let (ok, said) = run(&(script + writes));
    assert!(!ok);
    let (own, logs) = said.split_once("=== what its services say\n").unwrap();
    assert!(
        own.starts_with("error: not healthy after 0 s: nothing answers on port "),
        "{own}"
    );
    assert!(logs.contains(", since the step began\nline 21\n"), "{logs}");
    assert!(logs.ends_with("line 40\n"), "{logs}");
    assert!(
        !logs.contains("line 20\n") && !logs.contains("old"),
        "{logs}"
    );
}

#[test]
fn whatever_line_fails_the_log_is_shown_and_the_status_stays() {
    for (line, status) in [("false", 1), ("sh -c 'exit 7'", 7), ("nosuchcommand", 127)] {
        let (_home, script) = watched(0);
        let output = sh(&format!("{script}echo cause >>\"$log\"\n{line}\n"));
        assert_eq!(output.status.code(), Some(status), "{line}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.ends_with(", since the step began\ncause\n"), "{said}");
    }
    let (_home, script) = watched(0);
    let (ok, said) = run(&(script + "echo noise >>\"$log\"\n"));
    assert!(ok && said.is_empty(), "{said}");
}

#[test]
fn of_a_log_that_got_nothing_or_was_begun_anew_that_is_said() {
    let (_home, script) = watched(30);
    let (_, said) = run(&(script.clone() + "false"));
    assert!(
        said.ends_with(
            "which has got nothing since the step began\nold 26\nold 27\nold 28\nold 29\nold 30\n"
        ),
        "{said}"
    );
    let (_home, script) = watched(30);
    let (_, said) = run(&(script + "echo new >\"$log\"\nfalse"));
    assert!(said.ends_with(", which was begun anew\nnew\n"), "{said}");
    // A line without end stays within bounds.
    let (_home, script) = watched(0);
    let endless = "head -c 100000 /dev/zero | tr '\\000' x >>\"$log\"\nfalse";
    let (_, said) = run(&(script + endless));
    assert!(said.len() < 1000, "{} bytes", said.len());
}
