//! What the operator is told where a login doesn't lead to a shell: the server's own words, by every
//! command, and what each side has where a key exchange finds nothing common.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use common::account::on_accounts;
use common::sshd::*;
use common::{injected, skip};
use paas_cluster_build::transport::TransportErrorKind;

/// The user that the test makes and removes.
const USER: &str = "pcb-test-told";

struct User;

fn ok(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

impl User {
    fn make() -> User {
        User::remove();
        ok(on_accounts("useradd").args(["-m", "-s", "/bin/sh", "-p", "x", USER]));
        User
    }

    fn remove() {
        let _ = on_accounts("userdel").args(["-r", USER]).output();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        User::remove();
    }
}

/// Runs a command of the binary's and returns all that it said.
fn said(server: &Server, arguments: &[&str]) -> String {
    let file = server.path("cluster.yml");
    let text = format!(
        "name: told\ncomponents: [nats]\nserver: {{nats: {{ip: 127.0.0.1}}}}\nsudo: false\nssh:\n  \
         user: {USER}\n  port: {}\n  config: false\n  identity: {}\n  known_hosts: {}\n",
        server.port,
        server.path("client").display(),
        server.path("known").display()
    );
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"))
        .arg("-c")
        .arg(&file)
        .arg("--state-dir")
        .arg(server.path("state"))
        .args(arguments)
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_login_that_ends_at_once_is_told_in_the_server_s_words_by_every_command() {
    if user() != "root" {
        skip("logins that end at once: making a user needs root");
        return;
    }
    let _user = User::make();
    let mut faults = 0;
    let cases: [(&str, &[&str], &str, &str); 4] = [
        (
            "a shell that lets nobody in",
            &["usermod", "-s", "/usr/sbin/nologin", USER],
            "",
            "This account is currently not available",
        ),
        (
            "an account that has expired",
            &["usermod", "-s", "/bin/sh", "-e", "2020-01-01", USER],
            "UsePAM yes",
            "Your account has expired",
        ),
        (
            "a password that has to be changed",
            &[
                "sh",
                "-c",
                "usermod -e '' pcb-test-told && chage -d 0 pcb-test-told",
            ],
            "UsePAM yes",
            "assword change required",
        ),
        (
            "a command that says no",
            &["chage", "-d", "2020-01-01", USER],
            "ForceCommand echo come back tomorrow; exit 1",
            "come back tomorrow",
        ),
    ];
    for (what, fault, settings, words) in cases {
        ok(Command::new(fault[0]).args(&fault[1..]));
        let server = Server::start_first(settings);
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(server.folder.path(), open).unwrap();
        for arguments in [
            vec!["exec", "--root", "--", "true"],
            vec!["plan"],
            vec!["status"],
        ] {
            let said = said(&server, &arguments);
            assert!(said.contains(words), "{what}, {}: {said}", arguments[0]);
            assert!(!said.contains("flaky"), "{what}, {}: {said}", arguments[0]);
        }
        faults += 1;
    }
    injected(faults, "logins that end at once");
}

#[test]
fn a_key_exchange_without_a_common_method_says_what_each_side_has() {
    let cases = [
        (
            "KexAlgorithms sntrup761x25519-sha512@openssh.com",
            "key exchange: it has sntrup761x25519-sha512@openssh.com",
            "curve25519-sha256",
        ),
        (
            "Ciphers aes256-ctr\nMACs umac-64@openssh.com",
            "MAC: it has umac-64@openssh.com",
            "hmac-sha2-256",
        ),
    ];
    for (settings, theirs, ours) in &cases {
        let server = Server::start_first(settings);
        let error = refused(server.connect(&server.host()));
        assert_eq!(error.kind, TransportErrorKind::Host, "{error}");
        assert!(error.message.contains(theirs), "{error}");
        assert!(error.message.contains(ours), "{error}");
    }
    injected(cases.len(), "key exchanges without a common method");
}

#[test]
fn a_server_s_words_before_its_name_and_its_greeting_are_told() {
    let server = Server::start();
    let greeting = server.path("greeting");
    fs::write(&greeting, "moved to another data centre\n").unwrap();
    let greeting = format!("Banner {}", greeting.display());
    let other = Server::start_first(&greeting);
    let mut host = other.host();
    host.ssh.identity = Some(server.path("client"));
    let error = refused(other.connect(&host));
    assert_eq!(error.kind, TransportErrorKind::Auth);
    assert!(
        error.message.contains("moved to another data centre"),
        "{error}"
    );
}

#[test]
fn settings_of_openssh_s_configuration_that_have_no_effect_are_told() {
    let server = Server::start();
    let config = server.path("ssh_config");
    fs::write(
        &config,
        "Host *\n  SetEnv STAGE=blue\n  GSSAPIAuthentication yes\n",
    )
    .unwrap();
    let mut host = server.host();
    host.ssh.config = paas_cluster_build::model::SshConfig::File(config);
    let transport = server.transport();
    let connect = |host: &_| {
        use paas_cluster_build::transport::Transport;
        transport.connect(host, &paas_cluster_build::model::Sudo::No)
    };
    connect(&host).unwrap();
    let told = transport.unhonoured();
    assert_eq!(
        told.len(),
        1,
        "only what isn't the distribution's: {told:?}"
    );
    assert!(told[0].contains("setenv STAGE=blue"), "{told:?}");
    assert_eq!(transport.unhonoured(), Vec::<String>::new(), "told once");
    // Where the login fails, all that could be the reason is named.
    host.ssh.identity = Some(server.path("nowhere"));
    let error = refused(connect(&host));
    for words in ["setenv STAGE=blue", "gssapiauthentication yes"] {
        assert!(error.message.contains(words), "{words} is not in: {error}");
    }
}
