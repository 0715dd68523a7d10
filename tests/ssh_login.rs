//! Every way in, against a real sshd: encrypted keys, certificates, the agent, passwords, and sudo
//! that wants one. What needs a user of its own needs root, and is counted as skipped elsewhere.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use common::account::on_accounts;
use common::skip;
use common::sshd::*;
use paas_cluster_build::model::{PasswordSource, Sudo};
use paas_cluster_build::secret::SecretReader;
use paas_cluster_build::transport::{Transport, TransportErrorKind};

/// The user that tests make and remove; also one that a killed run left.
const USER: &str = "pcb-test-login";
const PASSWORD: &str = "correct horse";

static ONE_USER: Mutex<()> = Mutex::new(());

fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A user with a password, and a rule for sudo that asks for it; gone with the test.
struct User;

impl User {
    fn make() -> Option<User> {
        if user() != "root" {
            skip("logging in with passwords: making a user needs root");
            return None;
        }
        User::remove();
        let hash = ok(Command::new("openssl").args(["passwd", "-6", PASSWORD]));
        ok(on_accounts("useradd").args(["-m", "-s", "/bin/sh", "-p", &hash, USER]));
        let rule = Path::new("/etc/sudoers.d").join(USER);
        fs::write(
            &rule,
            format!("Defaults:{USER} !lecture\n{USER} ALL=(ALL) ALL\n"),
        )
        .unwrap();
        fs::set_permissions(&rule, fs::Permissions::from_mode(0o440)).unwrap();
        Some(User)
    }

    fn remove() {
        let _ = fs::remove_file(Path::new("/etc/sudoers.d").join(USER));
        let _ = on_accounts("userdel").args(["-r", USER]).output();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        User::remove();
    }
}

/// A reader that answers every question with a text, and counts the questions.
fn answering(text: &'static str) -> (Arc<SecretReader>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let reader = SecretReader::with_prompt(Box::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(text.into())
    }));
    (Arc::new(reader), asked)
}

#[test]
fn an_encrypted_key_is_decrypted_once_for_all_hosts() {
    let server = Server::start();
    let key = server.path("client");
    ok(Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "open sesame", "-f"])
        .arg(&key));
    let (reader, asked) = answering("open sesame");
    let transport = server.transport().with_secrets(reader);
    for _ in 0..3 {
        let mut connection = transport.connect(&server.host(), &Sudo::No).unwrap();
        assert_eq!(connection.query("echo in").unwrap().output, b"in\n");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let (reader, _) = answering("another one");
    let wrong = server.transport().with_secrets(reader);
    let error = refused(wrong.connect(&server.host(), &Sudo::No));
    assert_eq!(error.kind, TransportErrorKind::LocalSetup);
    assert!(
        error.message.contains("passphrase is another one"),
        "{error}"
    );
    let error = refused(server.connect(&server.host()));
    assert!(error.message.contains("ssh-add"), "{error}");
}

#[test]
fn a_certificate_beside_the_key_opens_a_server_that_knows_only_its_ca() {
    let server = Server::start();
    make_key(&server.path("ca"), "ed25519");
    ok(Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(server.path("ca"))
        .args(["-I", "test", "-n", &user(), "-V", "+1h"])
        .arg(server.path("client.pub")));
    let trusting = Server::start_with(&format!(
        "TrustedUserCAKeys {}\n",
        server.path("ca.pub").display()
    ));
    fs::write(trusting.path("authorized"), "").unwrap();
    let mut host = trusting.host();
    let error = refused(trusting.connect(&host));
    assert_eq!(
        error.kind,
        TransportErrorKind::Auth,
        "its own key isn't known"
    );
    host.ssh.identity = Some(server.path("client"));
    let mut connection = trusting.connect(&host).unwrap();
    assert_eq!(connection.query("echo in").unwrap().output, b"in\n");
}

/// The binary with a cluster file for one server, and more lines under `ssh`.
fn binary(server: &Server, login: &str, more: &str) -> Command {
    let file = server.path("cluster.yml");
    let text = format!(
        "name: login\ncomponents: [nats]\nserver: {{nats: {{ip: 127.0.0.1}}}}\n{more}\nssh:\n  \
         port: {}\n  known_hosts: {}\n{login}",
        server.port,
        server.path("known/hosts").display()
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
    command
        .arg("-c")
        .arg(file)
        .arg("--state-dir")
        .arg(server.path("state"))
        .args(["exec", "--output", "json", "--root", "--", "id", "-un"])
        .env("HOME", server.folder.path())
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null());
    command
}

fn both(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn the_agent_opens_a_host_when_the_file_names_no_key() {
    let server = Server::start();
    let socket = server.path("agent");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    common::ground::wait_for_listener(&socket);
    let login = format!("  user: {}\n", user());
    let mut without = binary(&server, &login, "sudo: false");
    let (code, said) = both(without.env("SSH_AUTH_SOCK", &socket));
    assert_eq!(code, Some(3), "an empty agent opens nothing: {said}");
    ok(Command::new("ssh-add")
        .arg(server.path("client"))
        .env("SSH_AUTH_SOCK", &socket));
    let mut with = binary(&server, &login, "sudo: false");
    let (code, said) = both(with.env("SSH_AUTH_SOCK", &socket));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&user()), "{said}");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn openssh_s_configuration_fills_in_what_the_file_leaves_open() {
    let server = Server::start();
    let config = server.path("ssh_config");
    let text = format!(
        "Match host 127.0.0.1\n  Port {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        server.port,
        server.path("client").display(),
        server.path("known/hosts").display()
    );
    fs::write(&config, text).unwrap();
    let file = server.path("cluster.yml");
    let mut answers = Vec::new();
    for config in [config.display().to_string(), "false".to_owned()] {
        let text = format!(
            "name: login\ncomponents: [nats]\nserver: {{nats: {{ip: 127.0.0.1}}}}\nsudo: false\n\
             ssh: {{user: {}, config: {config}}}\n",
            user()
        );
        binary(&server, "", "");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
        command
            .arg("-c")
            .arg(&file)
            .arg("--state-dir")
            .arg(server.path("state"))
            .args(["exec", "--root", "--", "id", "-un"])
            .env("HOME", server.folder.path())
            .env_remove("SSH_AUTH_SOCK");
        answers.push(both(&mut command));
    }
    assert_eq!(answers[0].0, Some(0), "{}", answers[0].1);
    assert_eq!(answers[1].0, Some(3), "{}", answers[1].1);
}

#[test]
fn passwords_come_from_environment_file_and_command_and_sudo_takes_them_once() {
    let _one = ONE_USER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(_user) = User::make() else { return };
    for (method, config) in [
        (
            "password",
            "PasswordAuthentication yes\nKbdInteractiveAuthentication no",
        ),
        (
            "keyboard-interactive",
            "KbdInteractiveAuthentication yes\nUsePAM yes",
        ),
    ] {
        // The server's own settings come first, and sshd takes the first that it finds.
        let server = Server::start_first(config);
        let file = server.path("password");
        fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for source in [
            "{env: PCB_TEST_PASSWORD}".to_owned(),
            format!("{{file: {}}}", file.display()),
            format!("{{command: \"cat '{}'\"}}", file.display()),
        ] {
            let login = format!("  user: {USER}\n  password: {source}\n");
            let mut command = binary(&server, &login, "sudo: false");
            let (code, said) = both(command.env("PCB_TEST_PASSWORD", PASSWORD));
            assert_eq!(code, Some(0), "{method} {source}: {said}");
            assert!(said.contains(USER), "{said}");
        }
        let login = format!("  user: {USER}\n  password: {{env: PCB_TEST_PASSWORD}}\n");
        let mut command = binary(&server, &login, "sudo: false");
        let (code, said) = both(command.env("PCB_TEST_PASSWORD", "wrong one"));
        assert_eq!(code, Some(3), "{method}: {said}");
        assert!(
            said.contains("the password") && !said.contains("wrong one"),
            "{said}"
        );
        let sudo = "sudo: {password: {env: PCB_TEST_SUDO}}";
        let mut command = binary(&server, &login, sudo);
        command.env("PCB_TEST_PASSWORD", PASSWORD);
        let (code, said) = both(command.env("PCB_TEST_SUDO", PASSWORD));
        assert_eq!(code, Some(0), "{method}: {said}");
        assert!(said.contains("root"), "{said}");
        let (code, said) = both(command.env("PCB_TEST_SUDO", "wrong one"));
        assert_eq!(code, Some(3), "{method}: {said}");
        assert!(said.contains("root's rights can't be had"), "{said}");
        assert!(!said.contains("wrong one"), "{said}");
    }
}

#[test]
fn a_wrong_password_for_sudo_is_one_attempt() {
    let _one = ONE_USER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(_user) = User::make() else { return };
    let server = Server::start();
    // sudo tells each failed attempt on its output, and what it gave up after.
    let mut su = Command::new("runuser")
        .args(["-u", USER, "--", "sh", "-c", "sudo -k -S -p '' true"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    su.stdin.take().unwrap().write_all(b"wrong one\n").unwrap();
    let output = su.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("Sorry, try again").count(), 1, "{said}");
    // So is ours: the same words reach the operator, and only once.
    let key = ok(Command::new("cat").arg(server.path("client.pub")));
    fs::write(server.path("authorized"), format!("{key}\n")).unwrap();
    let mut host = server.host();
    host.ssh.user = USER.into();
    let (reader, asked) = answering("wrong one");
    let sudo = Sudo::Password {
        source: PasswordSource::Ask("the password for sudo".into()),
        keep: false,
    };
    let folder = fs::metadata(server.folder.path()).unwrap().permissions();
    fs::set_permissions(server.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let transport = server.transport().with_secrets(reader);
    let error = refused(transport.connect(&host, &sudo));
    fs::set_permissions(server.folder.path(), folder).unwrap();
    assert_eq!(error.kind, TransportErrorKind::Sudo, "{error}");
    assert!(error.message.contains("Sorry, try again"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
