//! `@cert-authority` in known_hosts, beside the real `ssh`: a host's certificate counts here where
//! it counts there, also where `host_keys` is strict.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::sshd::*;
use paas_cluster_build::model::{HostKeyPolicy, Jump};
use paas_cluster_build::transport::TransportErrorKind;

fn ok(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A server whose first host key has a certificate made with these arguments.
fn server(folder: &Path, name: &str, arguments: &[&str]) -> Server {
    let key = folder.join(name);
    make_key(&key, "ed25519");
    let mut public = key.clone().into_os_string();
    public.push(".pub");
    ok(Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(folder.join("ca"))
        .args(["-I", "test"])
        .args(arguments)
        .arg(&public));
    Server::start_first(&format!(
        "HostKey {key}\nHostCertificate {key}-cert.pub\n",
        key = key.display()
    ))
}

/// Whether the real `ssh` accepts the host.
fn ssh_accepts(server: &Server, known: &Path) -> bool {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-i"])
        .arg(server.path("client"))
        .args(["-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "GlobalKnownHostsFile=none", "-o"])
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .args(["-p", &server.port.to_string(), "127.0.0.1", "true"])
        .stdin(Stdio::null());
    ssh.output().unwrap().status.success()
}

#[test]
fn a_certificate_counts_where_it_counts_for_ssh() {
    let folder = tempfile::tempdir().unwrap();
    for ca in ["ca", "other"] {
        make_key(&folder.path().join(ca), "ed25519");
    }
    let line = |pattern: &str, ca: &str| {
        let key = public_key(&folder.path().join(format!("{ca}.pub")));
        format!("@cert-authority {pattern} {key}\n")
    };
    let past = "20200101:20200102";
    let cases: [(&str, &[&str], String, bool); 8] = [
        ("valid", &["-h", "-n", "127.0.0.1"], line("*", "ca"), true),
        ("anybody", &["-h"], line("127.0.0.*", "ca"), true),
        ("another", &["-h", "-n", "10.0.0.1"], line("*", "ca"), false),
        (
            "expired",
            &["-h", "-n", "127.0.0.1", "-V", past],
            line("*", "ca"),
            false,
        ),
        (
            "stranger",
            &["-h", "-n", "127.0.0.1"],
            line("*", "other"),
            false,
        ),
        (
            "elsewhere",
            &["-h", "-n", "127.0.0.1"],
            line("10.*", "ca"),
            false,
        ),
        (
            "both",
            &["-h", "-n", "127.0.0.1"],
            line("*", "other") + &line("*", "ca"),
            true,
        ),
        ("unknown", &["-h", "-n", "127.0.0.1"], String::new(), false),
    ];
    for (name, arguments, known, expected) in cases {
        let server = server(folder.path(), name, arguments);
        let file = folder.path().join(format!("{name}.known"));
        fs::write(&file, &known).unwrap();
        assert_eq!(ssh_accepts(&server, &file), expected, "ssh: {name}");
        let mut host = server.host();
        host.ssh.known_hosts = Some(file.clone());
        host.ssh.host_keys = HostKeyPolicy::Strict;
        match server.connect(&host) {
            Ok(_) => assert!(expected, "{name}"),
            Err(error) => {
                assert!(!expected, "{name}: {error}");
                assert_eq!(error.kind, TransportErrorKind::HostKey, "{name}: {error}");
            }
        }
        // Nothing was noted: the authority answers for the host.
        assert_eq!(fs::read_to_string(&file).unwrap(), known, "{name}");
    }
    println!("8 host certificates beside the real ssh");
}

#[test]
fn a_revoked_key_is_refused_whatever_its_certificate_says() {
    let folder = tempfile::tempdir().unwrap();
    make_key(&folder.path().join("ca"), "ed25519");
    let server = server(folder.path(), "host", &["-h", "-n", "127.0.0.1"]);
    let known = folder.path().join("known");
    let key = |name: &str| public_key(&folder.path().join(name));
    let text = format!(
        "@cert-authority * {}\n@revoked * {}\n",
        key("ca.pub"),
        key("host.pub")
    );
    fs::write(&known, text).unwrap();
    assert!(!ssh_accepts(&server, &known));
    let mut host = server.host();
    host.ssh.known_hosts = Some(known);
    let error = refused(server.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::HostKey, "{error}");
}

#[test]
fn a_certificate_counts_behind_a_jump_host_too() {
    let folder = tempfile::tempdir().unwrap();
    make_key(&folder.path().join("ca"), "ed25519");
    let server = server(folder.path(), "host", &["-h", "-n", "127.0.0.1"]);
    let gate = Server::start();
    fs::copy(server.path("client.pub"), gate.path("authorized")).unwrap();
    let known = folder.path().join("known");
    let text = format!(
        "@cert-authority * {}\n[127.0.0.1]:{} {}\n",
        public_key(&folder.path().join("ca.pub")),
        gate.port,
        public_key(&gate.path("host.pub"))
    );
    fs::write(&known, &text).unwrap();
    let mut host = server.host();
    host.ssh.jump = vec![Jump {
        user: Some(user()),
        host: "127.0.0.1".into(),
        port: gate.port,
    }];
    host.ssh.known_hosts = Some(known.clone());
    host.ssh.host_keys = HostKeyPolicy::Strict;
    server.connect(&host).unwrap();
    assert_eq!(fs::read_to_string(&known).unwrap(), text);
}
