//! One sick host among others: a login that hangs, a server that says nothing, a file system that
//! hangs, two addresses of one machine. Commands end in time, name the host, use the others' answers,
//! and a Ctrl-C ends them whatever a host does.

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::ground::wait_for_file;
use common::sshd::*;
use common::{injected, root, skip};
use paas_cluster_build::model::Sudo;
use paas_cluster_build::transport::{Transport, TransportErrorKind};

/// What a command may take to end after a Ctrl-C here, where other tests keep the machine busy; it
/// is to be a second, and without any care it would be half a minute or for ever.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A server on 127.0.0.1 and 127.0.0.2; logins to the second do as `sick` says, in shell. The file
/// `begun` tells that one is at it.
fn server(sick: &str) -> Sick {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("command");
    let begun = folder.path().join("begun");
    let text = format!(
        "#!/bin/sh\ncase $SSH_CONNECTION in\n*' 127.0.0.2 '*) echo >>'{}'; {sick} ;;\nesac\n\
         exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
        begun.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start_first(&format!(
        "ListenAddress 127.0.0.2\nForceCommand {}",
        script.display()
    ));
    Sick {
        server,
        begun,
        _folder: folder,
    }
}

/// Such a server.
struct Sick {
    server: Server,
    begun: PathBuf,
    _folder: tempfile::TempDir,
}

/// The binary, for a cluster on these addresses.
fn operator(server: &Server, addresses: &str, ssh: &str) -> Command {
    let text = format!(
        "name: sick\ncomponents: [nats]\nserver: {{nats: {{ip: {addresses}}}}}\nsudo: false\nssh:\n  \
         port: {}\n  user: {}\n  identity: {}\n  known_hosts: {}\n{ssh}",
        server.port,
        user(),
        server.path("client").display(),
        server.path("known/hosts").display()
    );
    let file = tempfile::NamedTempFile::new_in(server.folder.path()).unwrap();
    let (_, file) = file.keep().unwrap();
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
    command
        .arg("-c")
        .arg(file)
        .arg("--state-dir")
        .arg(server.path("operator"))
        .env("HOME", server.folder.path())
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

const BOTH: &str = "[127.0.0.1, 127.0.0.2]";

/// Runs a command to its end and returns its code and all that it said.
fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn the_others_answers_are_used_and_the_silent_host_is_named() {
    let Sick { server, .. } = &server("sleep 600");
    let mut exec = operator(server, BOTH, "");
    exec.args([
        "--connect-timeout",
        "8s",
        "exec",
        "--root",
        "--",
        "echo well",
    ]);
    let (code, said) = ended(&mut exec);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("well"), "{said}");
    assert!(said.contains("still waiting for 127.0.0.2 ("), "{said}");
    assert!(said.contains("the host doesn't answer"), "{said}");
    assert!(said.contains("within 8 s"), "{said}");
    let mut status = operator(server, BOTH, "");
    let (code, said) = ended(status.args(["--connect-timeout", "3s", "status"]));
    assert_eq!(code, Some(3), "{said}");
    let rows: Vec<&str> = said.lines().filter(|line| line.contains("nats")).collect();
    assert!(rows[0].contains("not installed"), "{said}");
    assert!(rows[1].contains("doesn't answer"), "{said}");
    let mut plan = operator(server, BOTH, "");
    let (code, said) = ended(plan.args(["--connect-timeout", "3s", "plan"]));
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("127.0.0.2: the host doesn't answer"),
        "{said}"
    );
    injected(3, "commands with one host whose login shell hangs");
}

/// Sends the signal of Ctrl-C, and returns the code with which the command ends, and how late.
fn interrupted(mut child: Child) -> (Option<i32>, Duration) {
    let since = Instant::now();
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let code = child.wait().unwrap().code();
    (code, since.elapsed())
}

#[test]
fn a_ctrl_c_ends_every_command_whatever_a_host_does() {
    let Sick { server, begun, .. } = &server("sleep 600");
    let commands: [&[&str]; 7] = [
        &["exec", "--", "true"],
        &["status"],
        &["plan"],
        &["attach"],
        &["cancel", "r1"],
        &["stop", "--yes"],
        &["remove", "nats", "--yes"],
    ];
    for words in commands {
        let _ = fs::remove_file(begun);
        let child = operator(server, BOTH, "").args(words).spawn().unwrap();
        wait_for_file(begun);
        let (code, late) = interrupted(child);
        assert_eq!(code, Some(130), "{words:?}");
        assert!(late < AT_ONCE, "{words:?}: {late:?}");
    }
    injected(commands.len(), "Ctrl-Cs while a login shell hangs");
}

#[test]
fn a_ctrl_c_ends_a_connection_that_is_being_made() {
    // A server that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start();
    let accepted = server.path("accepted");
    let port = silent.local_addr().unwrap().port();
    let note = accepted.clone();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in silent.incoming() {
            held.push(stream);
            fs::write(&note, "").unwrap();
        }
    });
    // A configuration of OpenSSH's that never ends to be read.
    let config = server.path("ssh_config");
    let matched = server.path("matched");
    fs::write(
        &config,
        format!(
            "Match exec \"touch {}; exec sleep 600\"\n  Port 22\n",
            matched.display()
        ),
    )
    .unwrap();
    // A jump host that says nothing.
    let jump = format!("  jump: 127.0.0.1:{port}\n");
    let mut direct = operator(&server, "127.0.0.1", "  config: false\n");
    let mut through = operator(&server, "127.0.0.1", &format!("  config: false\n{jump}"));
    let open = format!("  config: {}\n", config.display());
    let mut configured = operator(&server, "127.0.0.1", &open);
    set_port(&mut direct, port);
    for (what, command, sign) in [
        ("a silent server", &mut direct, &accepted),
        ("a silent jump host", &mut through, &accepted),
        ("a configuration that hangs", &mut configured, &matched),
    ] {
        let _ = fs::remove_file(sign);
        let child = command.args(["exec", "--", "true"]).spawn().unwrap();
        wait_for_file(sign);
        let (code, late) = interrupted(child);
        assert_eq!(code, Some(130), "{what}");
        assert!(late < AT_ONCE, "{what}: {late:?}");
    }
    // Without one it's given up and told.
    let mut again = operator(&server, "127.0.0.1", &open);
    let (code, said) = ended(again.args(["--connect-timeout", "2s", "exec", "--", "true"]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("didn't end within 2 s"), "{said}");
    assert!(said.contains("Match exec"), "{said}");
    injected(4, "connections that hang while they're made");
}

/// Sets another port in the cluster file of a command.
fn set_port(command: &mut Command, port: u16) {
    let file = Path::new(command.get_args().nth(1).unwrap()).to_owned();
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.starts_with("  port: ") {
        true => format!("  port: {port}\n"),
        false => format!("{line}\n"),
    });
    fs::write(&file, lines.collect::<String>()).unwrap();
}

#[test]
fn the_timeout_of_a_command_counts_from_its_start() {
    let Sick { server, .. } = &server("sleep 600");
    let since = Instant::now();
    let mut stop = operator(server, BOTH, "");
    let (code, said) = ended(stop.args(["stop", "--yes", "--timeout", "2s"]));
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("--timeout of 2 s is over"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    // Not after the half minute that the host has.
    assert!(since.elapsed() < Duration::from_secs(20), "{said}");
    injected(1, "command whose time is over while a host hangs");
}

#[test]
fn a_look_that_hangs_is_given_up_and_the_operator_s_command_is_not() {
    let server = Server::start();
    let mut connection = server.connect(&server.host()).unwrap();
    let error = connection
        .query_within("echo first; sleep 600", Duration::from_secs(2))
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Timeout);
    assert!(error.message.contains("longer than 2 s"), "{error}");
    // More than the host has for its first word, and none too many for this.
    let transport = server.transport().with_timeout(Duration::from_secs(2));
    let mut connection = transport.connect(&server.host(), &Sudo::No).unwrap();
    let answer = connection.query("sleep 6; echo late").unwrap();
    assert_eq!(answer.output, b"late\n");
    injected(1, "look that hangs");
}

#[test]
fn a_file_system_that_hangs_is_told_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let golden = fs::read_to_string(root().join("tests/golden/probe.sh")).unwrap();
    fs::write(folder.path().join("probe"), golden).unwrap();
    // `df` ignores what would end it, as one that waits for a server does.
    fs::write(
        folder.path().join("df"),
        "#!/bin/sh\ntrap '' TERM\nexec sleep 600\n",
    )
    .unwrap();
    let script = "set -e; chmod 755 \"$F/df\"; mount --bind \"$F/df\" /usr/bin/df\n\
                  PAAS_ROOT=$F/state sh \"$F/probe\"";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .env("F", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if String::from_utf8_lossy(&output.stderr).contains("unshare:") {
        skip("a file system that hangs: no mount namespace can be had");
        return;
    }
    assert!(said.contains("disk_hangs 20\n"), "{said}");
    assert!(!said.contains("disk_free_kib"), "{said}");
    assert!(said.contains("\nclock "), "all else is told: {said}");
    injected(1, "file system that hangs");
}

#[test]
fn two_addresses_of_one_machine_are_refused_before_anything_runs() {
    let Sick { server, .. } = &server(":");
    let touched = server.path("touched");
    let touch = format!("echo >>'{}'", touched.display());
    for words in [
        &["exec", "--root", "--", &touch][..],
        &["plan"],
        &["stop", "--yes"],
        &["remove", "nats", "--yes"],
    ] {
        let (code, said) = ended(operator(server, BOTH, "").args(words));
        assert_eq!(code, Some(1), "{words:?}: {said}");
        let sentence = "127.0.0.1 and 127.0.0.2 are addresses of one machine";
        assert!(said.contains(sentence), "{words:?}: {said}");
        assert!(said.contains("nothing was changed"), "{words:?}: {said}");
    }
    assert!(!touched.exists(), "the command ran");
    // What only shows goes on, and tells it.
    let (_, said) = ended(operator(server, BOTH, "").args(["status"]));
    assert!(said.contains("are addresses of one machine"), "{said}");
    assert!(said.contains("not installed"), "{said}");
    // One address of it is as good as any.
    let mut one = operator(server, "127.0.0.2", "");
    let (code, said) = ended(one.args(["exec", "--root", "--", &touch]));
    assert_eq!(code, Some(0), "{said}");
    assert!(touched.exists());
    injected(5, "commands on a machine that the file names twice");
}
