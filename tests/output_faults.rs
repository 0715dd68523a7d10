//! Output that goes to a full disk or to nobody, for every command; folders and files that can't be
//! written. Nothing panics, and what the command does goes on.

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use common::desk::{Desk, Ended};
use common::sshd::{Server, user};
use paas_cluster_build::journal::read_journal;
use paas_cluster_build::run_state::RunState;

/// What needs no host.
const ALONE: [&[&str]; 9] = [
    &["check"],
    &["plan", "--offline"],
    &["plan", "--offline", "--output", "json"],
    &["completions", "bash"],
    &["schema"],
    &["explain", "scheme"],
    &["--help"],
    &["exec", "--help"],
    &["--version"],
];

fn assert_told(arguments: &[&str], ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    assert!(ended.error.contains(words), "{arguments:?}: {ended:?}");
    assert!(
        !ended.error.contains("panicked"),
        "{arguments:?}: {ended:?}"
    );
}

#[test]
fn a_full_disk_is_told_with_a_code_of_its_own_and_a_closed_pipe_ends_quietly() {
    let desk = Desk::seed();
    for arguments in ALONE {
        let full = desk.run_on_full_disk(arguments);
        assert_told(arguments, &full, 7, "the disk is full");
        let unread = desk.run_unread(arguments);
        assert_told(arguments, &unread, 141, "");
        assert!(!unread.error.contains("can't be written"), "{unread:?}");
    }
    common::injected(2 * ALONE.len(), "outputs to a full disk or a closed pipe");
}

#[test]
fn a_failure_keeps_its_own_code_whatever_becomes_of_the_output() {
    let desk = Desk::seed();
    let ended = desk.run_on_full_disk(&["build"]);
    assert_told(&["build"], &ended, 2, "no release is named");
    let ended = desk.run_on_full_disk(&["plan", "--offline", "--output", "json", "nope"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    common::injected(2, "failures whose output can't be written either");
}

/// A standard error that can't be written has nobody left to be told.
#[test]
fn a_full_standard_error_changes_nothing() {
    let desk = Desk::seed();
    for (arguments, code) in [
        (&["check"][..], 0),
        (&["plan", "--offline"], 0),
        (&["nope"], 2),
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let status = desk
            .command(arguments)
            .stderr(full)
            .output()
            .unwrap()
            .status;
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
    common::injected(3, "standard errors on a full disk");
}

/// A run whose steps can't be shown: it goes on, and its journal is whole.
#[test]
fn a_run_goes_on_and_keeps_its_journal_when_it_cant_be_shown() {
    // Where nothing listens.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut faults = 0;
    for output in ["human", "plain", "json"] {
        let desk = Desk::at_port(port, "");
        let arguments = ["start", "--yes", "--output", output];
        for ended in [
            desk.run_on_full_disk(&arguments),
            desk.run_unread(&arguments),
        ] {
            assert_told(&arguments, &ended, 3, "");
            faults += 1;
        }
        let journals = desk.journals();
        assert_eq!(journals.len(), 2);
        for journal in journals {
            let (events, torn) = read_journal(&journal).unwrap();
            assert!(torn.is_none());
            let mut state = RunState::new();
            events.iter().for_each(|event| state.apply(event).unwrap());
            assert!(state.is_over(), "{output}");
        }
    }
    common::injected(faults, "runs whose display can't be written");
}

/// A cluster on a real sshd, as whoever runs the tests.
fn desk_on(server: &Server) -> Desk {
    let ssh = format!(
        ", user: {}, identity: {}, known_hosts: {}",
        user(),
        server.path("client").display(),
        server.path("known").display()
    );
    Desk::at_port(server.port, &ssh)
}

#[test]
fn what_asks_hosts_ends_the_same_way() {
    if user() != "root" {
        common::skip("what hosts answer on a full disk: needs root's rights on this machine");
        return;
    }
    let server = Server::start();
    let desk = desk_on(&server);
    let commands: [&[&str]; 4] = [
        &["exec", "--", "echo", "hello"],
        &["exec", "--output", "json", "--", "echo", "hello"],
        &["plan"],
        &["plan", "--output", "json"],
    ];
    for arguments in commands {
        let fine = desk.run(arguments);
        assert_eq!(fine.code, 0, "{fine:?}");
        let full = desk.run_on_full_disk(arguments);
        assert_told(arguments, &full, 7, "the disk is full");
        let unread = desk.run_unread(arguments);
        assert_told(arguments, &unread, 141, "");
    }
    let status = desk.run_on_full_disk(&["status"]);
    assert_told(&["status"], &status, 1, "the disk is full");
    common::injected(
        2 * commands.len() + 1,
        "answers of hosts to a full disk or a closed pipe",
    );
}

#[test]
fn only_what_keeps_state_needs_a_folder_for_it() {
    let desk = Desk::seed();
    let homeless = |arguments: &[&str]| -> Ended {
        let mut command = desk.command(arguments);
        command.env_remove("HOME").env("XDG_STATE_HOME", "relative");
        let output = command.output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    for arguments in [
        &["check"][..],
        &["plan", "--offline"],
        &["render", "--to", "scripts"],
        &["schema"],
        &["completions", "bash"],
    ] {
        let ended = homeless(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    }
    let ended = homeless(&["runs"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    for words in [
        "--state-dir isn't given",
        "XDG_STATE_HOME is \"relative\", which isn't an absolute path",
        "HOME isn't set",
    ] {
        assert!(ended.error.contains(words), "{ended:?}");
    }
    common::injected(6, "commands without HOME");
}

/// The limit of a file's size sends a signal, which must not end the tool without a word.
#[test]
fn a_file_that_may_not_grow_says_so() {
    let desk = Desk::seed();
    let limited = |line: &str| {
        let line = format!("ulimit -f 1; exec \"$0\" {line}");
        let binary = env!("CARGO_BIN_EXE_paas-cluster-build");
        let mut command = Command::new("sh");
        command
            .args(["-c", &line, binary])
            .current_dir(desk.folder.path())
            .env("XDG_STATE_HOME", desk.path("state"))
            .env("PAAS_CLUSTER_FILE", "cluster.yml");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = limited("render --to scripts");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ulimit -f"), "{said}");
    let (code, said) = limited("schema > schema.json");
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("ulimit -f"), "{said}");
    common::injected(2, "files that may not grow");
}

/// A macro of the standard library that prints panics where it can't.
#[test]
fn every_output_goes_through_the_one_writer() {
    let root = common::root();
    let mut folders = vec![root.join("bin/paas-cluster-build"), root.join("lib")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            seen += 1;
            let text = fs::read_to_string(&path).unwrap();
            for forbidden in ["println!(", "print!(", "stdout().write", "dbg!("] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
            }
        }
    }
    assert!(seen > 100, "the sources are read");
}
