//! SSH against a real sshd on this machine's loopback, with keys and configuration of the test's
//! own. Who runs the tests logs in as themselves; nothing outside of temporary folders is touched.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread::{self};
use std::time::Duration;

use paas_cluster_build::model::{HostKeyPolicy, Jump, PasswordSource, Sudo};
use paas_cluster_build::script::Upload;
use paas_cluster_build::transport::{
    SshTransport, StepEnd, StepRequest, Transport, TransportErrorKind,
};

mod common;

use common::sshd::*;
use common::{run_step, step_request};
use sha2::{Digest, Sha256};

const SCRIPT: &str = "echo out; echo err >&2; printf 'no newline'; exit 3";

fn step(script: &str) -> StepRequest<'_> {
    step_request("r1", "nats", script)
}

#[test]
fn a_step_is_one_session_and_one_command() {
    let server = Server::start();
    let mut connection = server.connect(&server.host()).unwrap();
    let mut output = Vec::new();
    let end = run_step(connection.as_mut(), &step(SCRIPT), &mut |bytes| {
        output.extend_from_slice(bytes)
    })
    .unwrap();
    assert_eq!(end, StepEnd::Exited(3));
    assert_eq!(output, b"out\nerr\nno newline");
    drop(connection);
    assert!(server.path("state/receipts/nats.json").exists());
    let log = server.stop();
    let count = |words: &str| log.iter().filter(|line| line.contains(words)).count();
    assert_eq!(count("Starting session: command"), 1, "{log:#?}");
    assert_eq!(count("Connection from"), 1, "{log:#?}");
}

#[test]
fn everything_runs_on_one_connection() {
    let server = Server::start();
    let mut connection = server.connect(&server.host()).unwrap();
    let answer = connection.query("echo \"$PAAS_ROOT\"; exit 5").unwrap();
    assert_eq!(answer.status, 5);
    assert_eq!(
        answer.output,
        format!("{}\n", server.path("state").display()).as_bytes()
    );
    let content: Vec<u8> = (0..5_000_000u32).map(|n| (n % 249) as u8).collect();
    let sha256: String = Sha256::digest(&content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let upload = Upload {
        path: "file".into(),
        bytes: content.len() as u64,
        sha256: sha256.clone(),
    };
    connection
        .put(&upload, &mut &content[..], &mut |_| {})
        .unwrap();
    connection
        .put(&upload, &mut &content[..], &mut |_| panic!("it's there"))
        .unwrap();
    assert!(fs::read(server.path(&format!("state/artifacts/{sha256}"))).unwrap() == content);
    // An error of the host's doesn't cost the connection.
    let mut other = upload.clone();
    other.sha256 = "0".repeat(64);
    let error = connection
        .put(&other, &mut &content[..], &mut |_| {})
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    let mut bytes = 0;
    let end = run_step(connection.as_mut(), &step("seq 1 300000"), &mut |more| {
        bytes += more.len()
    })
    .unwrap();
    assert_eq!((end, bytes), (StepEnd::Exited(0), 1_988_895));
    drop(connection);
    let log = server.stop();
    assert_eq!(
        log.iter()
            .filter(|line| line.contains("Connection from"))
            .count(),
        1
    );
}

#[test]
fn an_interrupted_step_is_lost_here_and_goes_on_there() {
    let server = Server::start();
    let fifo = server.path("gate");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let script = format!("echo begun; read -r _ <'{}'; echo ended", fifo.display());
    let mut connection = server.connect(&server.host()).unwrap();
    let interrupt = connection.interrupter();
    let request = step(&script);
    let error = run_step(connection.as_mut(), &request, &mut |_| interrupt()).unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Lost);
    assert_eq!(
        connection.query("true").unwrap_err().kind,
        TransportErrorKind::Lost
    );
    // The same start on a new connection follows what was started on the old one.
    fs::write(&fifo, "go\n").unwrap();
    let mut output = Vec::new();
    let mut again = server.connect(&server.host()).unwrap();
    let end = run_step(again.as_mut(), &request, &mut |bytes| {
        output.extend_from_slice(bytes)
    })
    .unwrap();
    assert_eq!(
        (end, output),
        (StepEnd::Exited(0), b"begun\nended\n".to_vec())
    );
}

#[test]
fn a_server_that_dies_is_a_lost_connection() {
    let server = Server::start();
    let mut connection = server.connect(&server.host()).unwrap();
    // Up from the script to the sshd process that serves this connection.
    let script = r#"p=$$
        until grep -q '^sshd' "/proc/$p/comm"; do
            p=$(cut -d ' ' -f 4 "/proc/$p/stat")
            if [ "$p" -le 1 ]; then exit 1; fi
        done
        kill -KILL "$p""#;
    let error = connection.query(script).unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Lost);
}

#[test]
fn a_new_key_is_noted_once_and_then_known() {
    let server = Server::start();
    let host = server.host();
    server.connect(&host).unwrap();
    server.connect(&host).unwrap();
    let known = server.path("known/hosts");
    let line = format!(
        "[127.0.0.1]:{} {}\n",
        server.port,
        public_key(&server.path("host.pub"))
    );
    assert_eq!(fs::read_to_string(&known).unwrap(), line);
    assert_eq!(
        fs::metadata(&known).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut strict = host;
    strict.ssh.host_keys = HostKeyPolicy::Strict;
    server.connect(&strict).unwrap();
}

#[test]
fn a_host_of_which_only_another_kind_of_key_is_known_is_asked_for_that_one() {
    let server = Server::start();
    let known = server.path("known_rsa");
    let line = format!(
        "[127.0.0.1]:{} {}\n",
        server.port,
        public_key(&server.path("host_rsa.pub"))
    );
    fs::write(&known, &line).unwrap();
    let mut host = server.host();
    host.ssh.known_hosts = Some(known.clone());
    server.connect(&host).unwrap();
    assert_eq!(fs::read_to_string(known).unwrap(), line);
}

#[test]
fn an_unknown_key_is_refused_where_that_is_strict() {
    let server = Server::start();
    let mut host = server.host();
    host.ssh.host_keys = HostKeyPolicy::Strict;
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::HostKey);
    assert!(
        error
            .message
            .contains(&fingerprint(&server.path("host.pub"))),
        "{error}"
    );
    assert!(!server.path("known/hosts").exists());
    host.ssh.host_keys = HostKeyPolicy::Off;
    server.connect(&host).unwrap();
    assert!(!server.path("known/hosts").exists());
}

#[test]
fn a_changed_key_is_refused_with_both_fingerprints_and_the_line() {
    let server = Server::start();
    make_key(&server.path("old"), "ed25519");
    let known = server.path("changed");
    let old = public_key(&server.path("old.pub"));
    fs::write(
        &known,
        format!("# mine\n[127.0.0.1]:{} {old}\n", server.port),
    )
    .unwrap();
    let mut host = server.host();
    host.ssh.known_hosts = Some(known.clone());
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::HostKey);
    for words in [
        fingerprint(&server.path("host.pub")),
        fingerprint(&server.path("old.pub")),
        format!("{}:2", known.display()),
        "ssh-keygen -R".to_owned(),
    ] {
        assert!(error.message.contains(&words), "{words} is not in: {error}");
    }
}

#[test]
fn a_revoked_key_is_refused() {
    let server = Server::start();
    let known = server.path("revoked");
    fs::write(
        &known,
        format!("@revoked * {}\n", public_key(&server.path("host.pub"))),
    )
    .unwrap();
    let mut host = server.host();
    host.ssh.known_hosts = Some(known);
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::HostKey);
    assert!(error.message.contains("revoked:1"), "{error}");
}

#[test]
fn hosts_that_are_met_at_once_each_get_their_line() {
    let servers: Vec<Server> = (0..4).map(|_| Server::start()).collect();
    let known = servers[0].path("shared/known");
    thread::scope(|scope| {
        for server in &servers {
            let mut host = server.host();
            host.ssh.known_hosts = Some(known.clone());
            scope.spawn(move || server.connect(&host).map(drop).unwrap());
        }
    });
    let text = fs::read_to_string(known).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    for server in &servers {
        assert!(
            text.contains(&format!("[127.0.0.1]:{} ", server.port)),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_key_is_a_refused_login_and_says_what_was_tried() {
    let server = Server::start();
    make_key(&server.path("stranger"), "ed25519");
    let mut host = server.host();
    host.ssh.identity = Some(server.path("stranger"));
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::Auth);
    for words in ["stranger", "publickey", &user()] {
        assert!(error.message.contains(words), "{words} is not in: {error}");
    }
}

#[test]
fn a_wrong_user_is_a_refused_login() {
    let server = Server::start();
    let mut host = server.host();
    host.ssh.user = "nobody-by-that-name".into();
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::Auth);
    assert!(error.message.contains("nobody-by-that-name"), "{error}");
}

#[test]
fn an_encrypted_key_without_its_passphrase_is_told() {
    let server = Server::start();
    let path = server.path("locked");
    make_key(&path, "ed25519");
    let mut locking = Command::new("ssh-keygen");
    assert!(
        locking
            .args(["-q", "-p", "-N", "secret", "-f"])
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let mut host = server.host();
    host.ssh.identity = Some(path);
    // Nobody is asked for a passphrase where the server wouldn't take the key.
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::Auth);
    assert!(!error.message.contains("ssh-add"), "{error}");
    fs::copy(server.path("locked.pub"), server.path("authorized")).unwrap();
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::LocalSetup);
    assert!(error.message.contains("ssh-add"), "{error}");
}

#[test]
fn a_key_file_that_is_missing_or_open_to_others_is_told() {
    let server = Server::start();
    let mut host = server.host();
    host.ssh.identity = Some(server.path("nowhere"));
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::LocalSetup);
    assert!(error.message.contains("nowhere"), "{error}");
    let open = server.path("client");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused(server.connect(&server.host()));
    assert_eq!(error.kind, TransportErrorKind::LocalSetup);
    assert!(error.message.contains("chmod 600"), "{error}");
}

#[test]
fn a_password_file_that_others_can_read_is_refused() {
    let server = Server::start();
    let path = server.path("password");
    fs::write(&path, "hunter2\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let sudo = Sudo::Password {
        source: PasswordSource::File(path),
        keep: false,
    };
    let error = refused(server.transport().connect(&server.host(), &sudo));
    assert_eq!(error.kind, TransportErrorKind::LocalSetup);
    assert!(
        error.message.contains("chmod 600") && !error.message.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn a_host_behind_another_is_reached_through_it() {
    let server = Server::start();
    let mut host = server.host();
    let jump = |port| {
        vec![Jump {
            user: Some(user()),
            host: "127.0.0.1".into(),
            port,
        }]
    };
    host.ssh.jump = jump(server.port);
    let answer = server
        .connect(&host)
        .unwrap()
        .query("echo through")
        .unwrap();
    assert_eq!(answer.output, b"through\n");
    // Three in a row, each with a host key of its own, which is noted like the host's.
    let (outer, inner) = (Server::start(), Server::start());
    for other in [&outer, &inner] {
        fs::copy(server.path("client.pub"), other.path("authorized")).unwrap();
    }
    host.ssh.jump = [jump(outer.port), jump(inner.port)].concat();
    let mut connection = server.connect(&host).unwrap();
    assert_eq!(connection.query("echo far").unwrap().output, b"far\n");
    let known = fs::read_to_string(server.path("known/hosts")).unwrap();
    // Debian's OpenSSH writes names as hashes.
    assert_eq!(known.lines().count(), 3, "{known}");
    drop(connection);
    let came = |server: Server| server.stop().join("\n").contains("Accepted publickey");
    assert!(came(outer) && came(inner), "the way led through both");
    host.ssh.jump = jump(free_port());
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::NoRoute);
    assert!(error.message.contains("Connection refused"), "{error}");
}

#[test]
fn a_closed_port_is_told_from_a_silent_one_and_from_no_ssh_server() {
    let folder = tempfile::tempdir().unwrap();
    let connect = |port: u16| {
        let transport = SshTransport::new().with_timeout(Duration::from_millis(300));
        refused(transport.connect(&host(port, folder.path()), &Sudo::No))
    };
    assert_eq!(connect(free_port()).kind, TransportErrorKind::Refused);

    // The kernel takes the connection; nobody ever says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(
        connect(silent.local_addr().unwrap().port()).kind,
        TransportErrorKind::Timeout
    );

    let answer = |words: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, words).unwrap();
            // Only when the other side has sent its own banner, or the reset would eat ours.
            let _ = stream.read(&mut [0; 256]);
        });
        let error = connect(port);
        server.join().unwrap();
        error
    };
    assert_eq!(answer(b"").kind, TransportErrorKind::Protocol);
    assert_eq!(
        answer(b"HTTP/1.1 400 Bad Request\r\n\r\n").kind,
        TransportErrorKind::Protocol
    );
}
