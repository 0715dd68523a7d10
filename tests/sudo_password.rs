//! The password for sudo against a real sshd, a real sudo and the rc files that people have: it goes
//! to sudo when sudo asks for it, and nowhere else.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::account::{Account, PASSWORD};
use common::sshd::*;
use common::{injected, run_step, step_request};
use paas_cluster_build::model::{Host, PasswordSource, Sudo};
use paas_cluster_build::transport::{
    Connection, StepEnd, Transport, TransportError, TransportErrorKind,
};

/// Long enough for sudo on a busy machine, which also waits after a wrong password.
const PATIENT: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
const SHORT: Duration = Duration::from_secs(3);

/// Where users other than root find their public key.
fn server() -> Server {
    let server = Server::start();
    let folder = server.folder.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    server
}

fn host_of(server: &Server, account: &Account) -> Host {
    let mut host = server.host();
    host.ssh.user.clone_from(&account.name);
    host
}

/// Connects as the user, with a password for sudo that lies in a file.
fn connect(
    server: &Server,
    account: &Account,
    password: &str,
    patience: Duration,
) -> Result<Box<dyn Connection>, TransportError> {
    let file = server.path("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let sudo = Sudo::Password {
        source: PasswordSource::File(file),
        keep: false,
    };
    let transport = server.transport().with_timeout(patience);
    transport.connect(&host_of(server, account), &sudo)
}

#[test]
fn noisy_rc_files_hold_nobody_up() {
    let Some(account) = Account::make() else {
        return;
    };
    let server = server();
    let greetings = [
        "printf 'Welcome, without an end of the line'\n",
        "echo pcb1 hello; echo 'pcb1 data 3' >&2\n",
        "printf 'pcb1 hello 0'; printf 'pcb1 begun'\n",
        "seq 1 50000\n",
        "exec sh -c \"$BASH_EXECUTION_STRING\"\n",
        "set -x\n",
    ];
    for greeting in greetings {
        account.rc(greeting);
        let mut connection = connect(&server, &account, PASSWORD, PATIENT)
            .unwrap_or_else(|error| panic!("{greeting}: {error}"));
        for _ in 0..2 {
            let answer = connection.query("id -u").unwrap();
            assert_eq!(answer.output, b"0\n", "{greeting}");
        }
    }
    injected(greetings.len(), "rc files that say or do something first");
}

#[test]
fn another_shell_than_the_one_that_was_called_gets_nothing() {
    let Some(account) = Account::make() else {
        return;
    };
    let server = server();
    let taken = account.file("taken");
    let reader = format!("cat >'{}'", taken.display());
    // Such a shell reads the file again, and would start itself for ever.
    let only_once = "case $- in *i*) ;; *) exec bash -i ;; esac";
    let shells = ["exec bash", "exec sh", only_once, "exec bash -v", &reader];
    for shell in shells {
        account.rc(&format!("{shell}\n"));
        for password in [Some(PASSWORD), None] {
            let connected = match password {
                Some(password) => connect(&server, &account, password, SHORT),
                None => server
                    .transport()
                    .with_timeout(SHORT)
                    .connect(&host_of(&server, &account), &Sudo::Passwordless),
            };
            let error = refused(connected);
            assert!(error.message.contains("~/.bashrc"), "{shell}: {error}");
            assert!(error.message.contains("another shell"), "{shell}: {error}");
            assert!(!error.message.contains(PASSWORD), "{shell}: {error}");
        }
    }
    assert_eq!(fs::read_to_string(taken).unwrap(), "", "nothing was sent");
    injected(2 * shells.len(), "rc files that start another shell");
}

#[test]
fn the_operator_never_sees_the_password_that_a_shell_would_take_for_a_command() {
    let Some(account) = Account::make() else {
        return;
    };
    let server = server();
    account.rc("exec bash -v\n");
    for words in [
        &["exec", "--root", "--", "id", "-un"][..],
        &["status"],
        &["plan"],
        &["attach"],
        &["restart", "--yes"],
    ] {
        let said = operate(&server, &account, words, "2s");
        assert!(said.contains("~/.bashrc"), "{words:?}: {said}");
        let word = PASSWORD.split(' ').next().unwrap();
        assert!(!said.contains(word), "{words:?}: {said}");
    }
    // Nor does what is kept on this machine.
    let kept = Command::new("grep")
        .args(["-r", PASSWORD])
        .arg(server.path("operator"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");
    injected(5, "commands on a host whose rc file starts another shell");
}

/// Runs the binary as its operator does, and returns all that it says.
fn operate(server: &Server, account: &Account, words: &[&str], patience: &str) -> String {
    let text = format!(
        "name: login\ncomponents: [nats]\nserver: {{nats: {{ip: 127.0.0.1}}}}\n\
         sudo: {{password: {{env: PCB_TEST_SUDO}}}}\nssh:\n  port: {}\n  user: {}\n  identity: {}\n  \
         known_hosts: {}\n",
        server.port,
        account.name,
        server.path("client").display(),
        server.path("known/hosts").display()
    );
    fs::write(server.path("cluster.yml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"))
        .arg("-c")
        .arg(server.path("cluster.yml"))
        .arg("--state-dir")
        .arg(server.path("operator"))
        .args(["--connect-timeout", patience])
        .args(words)
        .env("HOME", server.folder.path())
        .env("PCB_TEST_SUDO", PASSWORD)
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_wrong_password_is_told_whatever_sudo_says_first() {
    let Some(account) = Account::make() else {
        return;
    };
    let server = server();
    account.program(
        "sudo",
        "#!/bin/sh\necho 'sudo: unable to resolve host db-7: Name or service not known' >&2\n\
         exec /usr/bin/sudo \"$@\"\n",
    );
    let mut connection = connect(&server, &account, PASSWORD, PATIENT).unwrap();
    assert_eq!(connection.query("id -u").unwrap().output, b"0\n");
    let error = refused(connect(&server, &account, "wrong one", PATIENT));
    assert_eq!(error.kind, TransportErrorKind::Sudo);
    let words = "sudo doesn't take the password";
    assert!(error.message.contains(words), "{error}");
    assert!(!error.message.contains("resolve host"), "{error}");
    assert!(!error.message.contains("wrong one"), "{error}");
    injected(2, "sudos that can't resolve their host's name");
}

#[test]
fn sudo_s_other_refusals_have_help_of_their_own() {
    let server = server();
    let Some(account) = Account::make_with("Defaults:USER requiretty\n") else {
        return;
    };
    let error = refused(connect(&server, &account, PASSWORD, PATIENT));
    assert_eq!(error.kind, TransportErrorKind::Sudo);
    assert!(error.message.contains("!requiretty"), "{error}");
    drop(account);
    let Some(account) = Account::make_with("Defaults:USER runas_default=nobody\n") else {
        return;
    };
    let error = refused(connect(&server, &account, PASSWORD, PATIENT));
    assert_eq!(error.kind, TransportErrorKind::Sudo);
    assert!(error.message.contains("uid 65534"), "{error}");
    assert!(error.message.contains("runas_default"), "{error}");
    injected(2, "rules of sudo that stand in the way");
}

#[test]
fn a_sudo_that_asks_in_its_own_words_gets_nothing() {
    let Some(account) = Account::make() else {
        return;
    };
    let server = server();
    let taken = account.file("taken");
    account.program(
        "sudo",
        &format!(
            "#!/bin/sh\nprintf 'Verification code: ' >&2\nexec cat >'{}'\n",
            taken.display()
        ),
    );
    let error = refused(connect(&server, &account, PASSWORD, SHORT));
    assert_eq!(error.kind, TransportErrorKind::Sudo);
    assert!(error.message.contains("Verification code:"), "{error}");
    assert_eq!(fs::read_to_string(taken).unwrap(), "");
    injected(1, "sudo that asks for something else");
}

#[test]
fn a_password_that_comes_back_is_blotted_out_of_everything() {
    let Some(account) = Account::make() else {
        return;
    };
    let server = server();
    // It says what it read: in an error, and in what a step and a command print.
    account.program(
        "sudo",
        "#!/bin/sh\nprintf %s \"$4\" >&2; IFS= read -r word; echo \"sudo: got $word\" >&2\nexit 1\n",
    );
    let error = refused(connect(&server, &account, PASSWORD, PATIENT));
    assert_eq!(error.kind, TransportErrorKind::Sudo);
    assert!(error.message.contains("got [secret]"), "{error}");
    account.program(
        "sudo",
        &format!(
            "#!/bin/sh\necho '{PASSWORD}' >&2\necho 'in base64: {}' >&2\nexec /usr/bin/sudo \"$@\"\n",
            "Y29ycmVjdCBob3JzZQ"
        ),
    );
    let mut connection = connect(&server, &account, PASSWORD, PATIENT).unwrap();
    assert_eq!(connection.query("id -u").unwrap().output, b"0\n");
    let secrets = connection.secrets();
    for form in [
        PASSWORD,
        "'correct horse'",
        "correct%20horse",
        "Y29ycmVjdCBob3JzZQ",
    ] {
        assert!(secrets.contains(&form.to_owned()), "{form}: {secrets:?}");
    }
    let mut output = Vec::new();
    let end = run_step(
        connection.as_mut(),
        &step_request("r1", "nats", "echo done"),
        &mut |bytes| output.extend_from_slice(bytes),
    )
    .unwrap();
    assert_eq!((end, output), (StepEnd::Exited(0), b"done\n".to_vec()));
    // What the host says in place of an answer, and what the operator's own command prints.
    fs::create_dir_all(server.path("state/runs/r9")).unwrap();
    let by = format!("ada with {PASSWORD}");
    fs::write(server.path("state/runs/r9/cancelled"), by).unwrap();
    let request = step_request("r9", "nats", "echo done");
    let end = run_step(connection.as_mut(), &request, &mut |_| {}).unwrap();
    assert_eq!(end, StepEnd::Refused("ada with [secret]".to_owned()));
    let words = ["exec", "--root", "--", "printf 'correct %s\\n' horse"];
    let said = operate(&server, &account, &words, "20s");
    assert!(said.contains("[secret]"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    injected(4, "hosts that say the password");
}
