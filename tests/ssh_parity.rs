//! A matrix beside the real `ssh`: the same server, agent, keys and configuration, tried by OpenSSH
//! and by the binary. Who gets in there gets in here, and nobody else.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::account::on_accounts;
use common::skip;
use common::sshd::*;

/// The user that the test makes and removes, for what needs a password.
const USER: &str = "pcb-test-parity";
const PASSWORD: &str = "correct horse";

/// A ProxyCommand that ends with its connection, whichever side ends it.
const RELAY: &str = "\
import os, select, socket, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for ready in select.select([0, server], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else server.recv(65536)
        if not data or sys.argv[3] != '100%':
            sys.exit()
        server.sendall(data) if ready == 0 else os.write(1, data)
";

/// One row of the matrix. Names of keys are files of the ground; `{dir}` is its folder.
struct Row {
    name: &'static str,
    /// What the agent holds; `None`: there is no agent.
    agent: Option<&'static [&'static str]>,
    /// OpenSSH's configuration, which both read.
    config: &'static str,
    /// `-i`, and the cluster file's `identity`.
    identity: Option<&'static str>,
    /// The server's own settings.
    server: &'static str,
    /// Whether a password is at hand for both.
    password: Option<&'static str>,
    /// What OpenSSH is known to do: a row that fails for another reason shows nothing.
    gets_in: bool,
}

const fn row(name: &'static str, gets_in: bool) -> Row {
    Row {
        name,
        agent: None,
        config: "",
        identity: None,
        server: "",
        password: None,
        gets_in,
    }
}

/// Keys, configuration and agents for all rows.
struct Ground {
    folder: tempfile::TempDir,
}

fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground { folder };
        // The servers read the authorized keys as whoever logs in.
        fs::set_permissions(ground.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let kinds = [
            ("good", "ed25519"),
            ("second", "ecdsa"),
            ("rsa", "rsa"),
            ("locked", "ed25519"),
            ("open", "ed25519"),
            ("certified", "ed25519"),
            ("rsa_beside", "rsa"),
            ("ca", "ed25519"),
            ("stranger", "ed25519"),
            ("stranger2", "ed25519"),
            ("stranger3", "ed25519"),
        ];
        for (name, kind) in kinds {
            make_key(&ground.path(name), kind);
        }
        let authorized: Vec<String> = ["good", "second", "rsa", "locked", "open"]
            .iter()
            .map(|name| fs::read_to_string(ground.path(&format!("{name}.pub"))).unwrap())
            .collect();
        fs::write(ground.path("authorized"), authorized.concat()).unwrap();
        // The plain copy is for agents; the file itself has a passphrase that nobody tells.
        fs::copy(ground.path("locked"), ground.path("locked.plain")).unwrap();
        let mut locking = Command::new("ssh-keygen");
        ok(locking
            .args(["-q", "-p", "-P", "", "-N", "a passphrase", "-f"])
            .arg(ground.path("locked")));
        fs::set_permissions(ground.path("open"), fs::Permissions::from_mode(0o644)).unwrap();
        for name in ["certified.pub", "rsa_beside.pub"] {
            ok(Command::new("ssh-keygen")
                .args(["-q", "-s"])
                .arg(ground.path("ca"))
                .args(["-I", "test", "-n", &format!("{USER},{}", user())])
                .arg(ground.path(name)));
        }
        fs::rename(
            ground.path("certified-cert.pub"),
            ground.path("certificate"),
        )
        .unwrap();
        // One key with its certificate beside it, and one whose private half only agents have.
        for name in ["beside", "beside.pub"] {
            let from = name.replace("beside", "certified");
            fs::copy(ground.path(&from), ground.path(name)).unwrap();
        }
        fs::copy(ground.path("certificate"), ground.path("beside-cert.pub")).unwrap();
        fs::copy(ground.path("good.pub"), ground.path("chooser.pub")).unwrap();
        fs::copy(ground.path("good.pub"), ground.path("halfway.pub")).unwrap();
        fs::write(ground.path("relay"), RELAY).unwrap();
        let askpass = ground.path("askpass");
        fs::write(&askpass, "#!/bin/sh\necho \"$PCB_TEST_PASSWORD\"\n").unwrap();
        fs::set_permissions(&askpass, fs::Permissions::from_mode(0o755)).unwrap();
        ground
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A server of the row's; everybody's authorized keys are the ground's.
    fn server(&self, own: &str) -> Server {
        let dir = self.folder.path().display().to_string();
        let settings = format!(
            "AuthorizedKeysFile {}\nTrustedUserCAKeys {}\n{}",
            self.path("authorized").display(),
            self.path("ca.pub").display(),
            own.replace("{dir}", &dir)
        );
        Server::start_first(&settings)
    }
}

/// An agent of its own; ends with the row.
struct Agent(Child);

impl Agent {
    fn with(ground: &Ground, socket: &Path, keys: &[&str]) -> Agent {
        let _ = fs::remove_file(socket);
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        common::ground::wait_for_listener(socket);
        for key in keys {
            ok(Command::new("ssh-add")
                .arg("-q")
                .arg(ground.path(key))
                .env("SSH_AUTH_SOCK", socket));
        }
        Agent(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A user with a password; gone with the test.
struct User;

impl User {
    fn make() -> User {
        User::remove();
        let hash = ok(Command::new("openssl").args(["passwd", "-6", PASSWORD]));
        ok(on_accounts("useradd").args(["-m", "-s", "/bin/sh", "-p", &hash, USER]));
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

/// The environment that both have.
fn surround<'a>(command: &'a mut Command, ground: &Ground, row: &Row) -> &'a mut Command {
    match row.agent {
        Some(_) => command.env("SSH_AUTH_SOCK", ground.path("agent")),
        None => command.env_remove("SSH_AUTH_SOCK"),
    };
    command
        .env("PCB_TEST_PASSWORD", row.password.unwrap_or_default())
        .env("PCB_TEST_AGENT", ground.path("other-agent"))
        .env_remove("PAAS_SSH_PASSPHRASE")
        .env_remove("DISPLAY")
        .stdin(Stdio::null())
}

/// Tries one row with both; returns who got in, and what they said.
fn try_row(ground: &Ground, servers: &[Server], row: &Row) -> [(bool, String); 2] {
    let dir = ground.folder.path().display().to_string();
    let ports = |text: &str| {
        let mut text = text.replace("{dir}", &dir);
        for (number, server) in servers.iter().enumerate() {
            text = text.replace(&format!("{{port{number}}}"), &server.port.to_string());
        }
        text
    };
    let config = ground.path("config");
    let known = ground.path("known");
    let _ = fs::remove_file(&known);
    let text = format!(
        "{}\nHost *\n  UserKnownHostsFile {}\n  StrictHostKeyChecking accept-new\n",
        ports(row.config),
        known.display()
    );
    fs::write(&config, text).unwrap();
    let login = if row.password.is_some() {
        USER.to_owned()
    } else {
        user()
    };
    let _agent = row
        .agent
        .map(|keys| Agent::with(ground, &ground.path("agent"), keys));
    let _other = Agent::with(ground, &ground.path("other-agent"), &["good"]);
    let port = servers[0].port.to_string();

    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&config).args(["-p", &port, "-l", &login]);
    if let Some(identity) = row.identity {
        ssh.arg("-i").arg(ground.path(identity));
    }
    if row.password.is_some() {
        ssh.args(["-o", "NumberOfPasswordPrompts=1"])
            .env("SSH_ASKPASS", ground.path("askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force");
    } else {
        ssh.args(["-o", "BatchMode=yes"]);
    }
    ssh.args(["127.0.0.1", "echo", "in"]);
    let there = surround(&mut ssh, ground, row).output().unwrap();

    let _ = fs::remove_file(&known);
    let file = ground.path("cluster.yml");
    let mut text = format!(
        "name: parity\ncomponents: [nats]\nserver: {{nats: {{ip: 127.0.0.1}}}}\nsudo: false\nssh:\n  \
         user: {login}\n  port: {port}\n  config: {}\n",
        config.display()
    );
    if let Some(identity) = row.identity {
        text += &format!("  identity: {}\n", ground.path(identity).display());
    }
    if row.password.is_some() {
        text += "  password: {env: PCB_TEST_PASSWORD}\n";
    }
    fs::write(&file, text).unwrap();
    let mut ours = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
    ours.arg("-c")
        .arg(&file)
        .arg("--state-dir")
        .arg(ground.path("state"))
        .args(["exec", "--root", "--", "echo", "in"]);
    let here = surround(&mut ours, ground, row).output().unwrap();
    [there, here].map(|output| {
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    })
}

/// Tries all rows, with one server for each kind.
fn hold(rows: Vec<Row>) -> usize {
    let ground = Ground::new();
    let mut wrong = Vec::new();
    let mut servers: Vec<(&str, Vec<Server>)> = Vec::new();
    for row in &rows {
        if !servers.iter().any(|(own, _)| *own == row.server) {
            let parts = row.server.split("----");
            let started = parts.map(|own| ground.server(own)).collect();
            servers.push((row.server, started));
        }
        let (_, of_row) = servers.iter().find(|(own, _)| *own == row.server).unwrap();
        let [(there, said_there), (here, said_here)] = try_row(&ground, of_row, row);
        if there != row.gets_in || here != there {
            wrong.push(format!(
                "{}: expected {}, ssh {there}, here {here}\nssh: {said_there}\nhere: {said_here}",
                row.name, row.gets_in
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    rows.len()
}

fn keys_and_agents() -> Vec<Row> {
    let strangers: &[&str] = &["stranger", "stranger2", "stranger3"];
    vec![
        row("nothing at all", false),
        Row {
            identity: Some("good"),
            ..row("a key's file", true)
        },
        Row {
            identity: Some("rsa"),
            ..row("an RSA key's file", true)
        },
        Row {
            identity: Some("second"),
            ..row("an ECDSA key's file", true)
        },
        Row {
            identity: Some("stranger"),
            ..row("a key that isn't known", false)
        },
        Row {
            identity: Some("open"),
            ..row("a key that others can read", false)
        },
        Row {
            identity: Some("open"),
            agent: Some(&["good"]),
            ..row("a key that others can read, and an agent", true)
        },
        Row {
            identity: Some("nowhere"),
            ..row("a key that isn't there", false)
        },
        Row {
            identity: Some("nowhere"),
            agent: Some(&["good"]),
            ..row("a key that isn't there, and an agent", true)
        },
        Row {
            identity: Some("locked"),
            ..row("an encrypted key without its passphrase", false)
        },
        Row {
            identity: Some("locked"),
            agent: Some(&["locked.plain"]),
            ..row("an encrypted key that the agent has", true)
        },
        Row {
            identity: Some("locked"),
            agent: Some(&["stranger"]),
            ..row("an encrypted key that the agent hasn't", false)
        },
        Row {
            identity: Some("chooser.pub"),
            agent: Some(&["stranger", "good"]),
            ..row("a public half that chooses a key of the agent's", true)
        },
        Row {
            identity: Some("chooser.pub"),
            agent: Some(&["stranger"]),
            ..row("a public half that the agent doesn't know", false)
        },
        Row {
            identity: Some("halfway"),
            agent: Some(&["good"]),
            ..row("a key of which only the public half lies here", true)
        },
        Row {
            agent: Some(&["good"]),
            ..row("the agent alone", true)
        },
        Row {
            agent: Some(&["rsa"]),
            ..row("the agent alone, with RSA", true)
        },
        Row {
            agent: Some(&["second"]),
            ..row("the agent alone, with ECDSA", true)
        },
        Row {
            agent: Some(&[]),
            ..row("an empty agent", false)
        },
        Row {
            agent: Some(&["stranger", "stranger2", "good"]),
            ..row("the agent's third key", true)
        },
        Row {
            agent: Some(&["good"]),
            identity: Some("stranger"),
            ..row("a wrong key, and the agent's right one", true)
        },
        Row {
            agent: Some(strangers),
            config: "IdentityFile {dir}/good",
            server: "MaxAuthTries 3",
            ..row(
                "more wrong keys of the agent's than the server bears",
                false,
            )
        },
        Row {
            agent: Some(strangers),
            config: "IdentityFile {dir}/good\nIdentitiesOnly yes",
            server: "MaxAuthTries 3",
            ..row("the same with IdentitiesOnly", true)
        },
        Row {
            agent: Some(&["stranger", "stranger2", "good"]),
            config: "IdentityFile {dir}/good",
            server: "MaxAuthTries 2",
            ..row("the agent's named key comes first", true)
        },
        Row {
            agent: Some(&["beside"]),
            ..row("the agent has a key with its certificate", true)
        },
        Row {
            identity: Some("beside"),
            ..row("a key with its certificate beside it", true)
        },
        Row {
            identity: Some("beside"),
            agent: Some(&["certified"]),
            ..row(
                "the agent has the key, its certificate lies beside the file",
                true,
            )
        },
        Row {
            agent: Some(&["rsa_beside"]),
            ..row("the agent has an RSA key with its certificate", true)
        },
        Row {
            identity: Some("rsa_beside"),
            ..row("an RSA key with its certificate beside it", true)
        },
        Row {
            identity: Some("certified"),
            ..row("the same key without its certificate", false)
        },
    ]
}

fn configurations() -> Vec<Row> {
    vec![
        Row {
            config: "IdentityFile {dir}/good",
            ..row("IdentityFile", true)
        },
        Row {
            config: "IdentityFile {dir}/stranger\nIdentityFile {dir}/good",
            ..row("a second IdentityFile", true)
        },
        Row {
            config: "IdentityFile {dir}/nowhere\nIdentityFile {dir}/good",
            ..row("an IdentityFile that isn't there, and another", true)
        },
        Row {
            config: "IdentityFile {dir}/nowhere",
            agent: Some(&["good"]),
            ..row("an IdentityFile that isn't there, and an agent", true)
        },
        Row {
            config: "IdentityFile {dir}/locked\nIdentityFile {dir}/good",
            ..row("an encrypted IdentityFile, and another", true)
        },
        Row {
            config: "IdentityFile {dir}/locked",
            agent: Some(&["locked.plain"]),
            ..row("an encrypted IdentityFile that the agent has", true)
        },
        Row {
            config: "IdentityFile {dir}/chooser.pub\nIdentitiesOnly yes",
            agent: Some(&["stranger", "good"]),
            ..row("a public IdentityFile with IdentitiesOnly", true)
        },
        Row {
            config: "IdentityFile {dir}/stranger.pub\nIdentitiesOnly yes",
            agent: Some(&["stranger", "good"]),
            ..row("IdentitiesOnly keeps the agent's others out", false)
        },
        Row {
            config: "IdentityFile none",
            agent: Some(&["good"]),
            ..row("IdentityFile none, and an agent", true)
        },
        Row {
            config: "IdentityAgent none",
            agent: Some(&["good"]),
            ..row("IdentityAgent none", false)
        },
        Row {
            config: "IdentityAgent {dir}/other-agent",
            ..row("IdentityAgent with a path", true)
        },
        Row {
            config: "IdentityAgent {dir}/other-agent",
            agent: Some(&["stranger"]),
            ..row("IdentityAgent wins over the environment", true)
        },
        Row {
            config: "IdentityAgent {dir}/no-agent",
            agent: Some(&["good"]),
            ..row("IdentityAgent that isn't there", false)
        },
        Row {
            config: "IdentityAgent $PCB_TEST_AGENT",
            ..row("IdentityAgent with a variable", true)
        },
        Row {
            config: "IdentityAgent SSH_AUTH_SOCK",
            agent: Some(&["good"]),
            ..row("IdentityAgent SSH_AUTH_SOCK", true)
        },
        Row {
            config: "IdentityFile {dir}/certified\nCertificateFile {dir}/certificate",
            ..row("CertificateFile", true)
        },
        Row {
            config: "IdentityFile {dir}/certified.pub\nCertificateFile {dir}/certificate\n\
                     IdentitiesOnly yes",
            agent: Some(&["stranger", "certified"]),
            ..row("CertificateFile for a key of the agent's", true)
        },
        Row {
            config: "IdentityFile {dir}/beside\nCertificateFile {dir}/nowhere",
            ..row(
                "CertificateFile that isn't there hides the one beside",
                false,
            )
        },
        Row {
            config: "IdentityFile {dir}/good\nPubkeyAuthentication no",
            ..row("PubkeyAuthentication no", false)
        },
        Row {
            config: "IdentityFile {dir}/good\nPreferredAuthentications password",
            ..row("PreferredAuthentications without keys", false)
        },
        Row {
            config: "Match host 127.0.0.1\n  IdentityFile {dir}/good",
            ..row("Match", true)
        },
        Row {
            config: "Host 127.0.0.2\n  IdentityFile {dir}/good",
            ..row("a Host that is another", false)
        },
        Row {
            config: "IdentityFile {dir}/%r-no\nIdentityFile {dir}/g%%d\nIdentityFile {dir}/good",
            ..row("tokens in IdentityFile", true)
        },
        Row {
            config: "Host 127.0.0.1\n  HostName localhost\n  IdentityFile {dir}/good\n  \
                     AddressFamily inet",
            ..row("HostName", true)
        },
        Row {
            config: "IdentityFile {dir}/good\nHostKeyAlias other-name",
            ..row("HostKeyAlias", true)
        },
        Row {
            config: "IdentityFile {dir}/good\nKexAlgorithms curve25519-sha256\nCiphers aes256-ctr\n\
                     MACs hmac-sha2-256",
            ..row("algorithms that both have", true)
        },
    ]
}

fn ways() -> Vec<Row> {
    // The server itself is the first, the one on the way the second.
    const TWO: &str = "----";
    vec![
        Row {
            config: "Host 127.0.0.1\n  ProxyJump localhost:{port1}\n  IdentityFile {dir}/good\n\
                     Host localhost\n  IdentityFile {dir}/second",
            server: TWO,
            ..row("ProxyJump", true)
        },
        Row {
            config: "Host 127.0.0.1\n  ProxyJump gate\n  IdentityFile {dir}/good\n\
                     Host gate\n  HostName localhost\n  Port {port1}\n  IdentityFile {dir}/second",
            server: TWO,
            ..row("ProxyJump to a configured name with its port", true)
        },
        Row {
            config: "Host 127.0.0.1\n  ProxyJump localhost:{port1}\n  IdentityFile {dir}/good\n\
                     Host localhost\n  IdentityFile {dir}/stranger",
            server: TWO,
            ..row("ProxyJump with a wrong key for the jump host", false)
        },
        Row {
            config: "ProxyJump localhost:{port1}",
            agent: Some(&["good"]),
            server: TWO,
            ..row("ProxyJump with an agent", false)
        },
        Row {
            config: "Host 127.0.0.1\n  ProxyJump localhost:{port1}",
            agent: Some(&["good"]),
            server: TWO,
            ..row("ProxyJump for one host with an agent", true)
        },
        Row {
            config: "IdentityFile {dir}/good\nProxyCommand python3 {dir}/relay %h %p 100%%",
            ..row("ProxyCommand", true)
        },
        Row {
            config: "IdentityFile {dir}/good\nProxyCommand ssh -F none -o BatchMode=yes -o \
                     StrictHostKeyChecking=no -o UserKnownHostsFile={dir}/known2 -i {dir}/second \
                     -p {port1} -W %h:%p localhost",
            server: TWO,
            ..row("ProxyCommand with ssh -W", true)
        },
        Row {
            config: "IdentityFile {dir}/good\nProxyCommand /bin/false",
            ..row("ProxyCommand that fails", false)
        },
        Row {
            config: "IdentityFile {dir}/good\nProxyCommand none",
            ..row("ProxyCommand none", true)
        },
    ]
}

fn factors() -> Vec<Row> {
    let key = |name, server, gets_in| Row {
        config: "IdentityFile {dir}/good",
        server,
        password: Some(PASSWORD),
        ..row(name, gets_in)
    };
    vec![
        key("a key, and a password that isn't needed", "", true),
        key(
            "publickey,password",
            "PasswordAuthentication yes\nAuthenticationMethods publickey,password",
            true,
        ),
        key(
            "password,publickey",
            "PasswordAuthentication yes\nAuthenticationMethods password,publickey",
            true,
        ),
        key(
            "publickey,keyboard-interactive",
            "KbdInteractiveAuthentication yes\nUsePAM yes\n\
             AuthenticationMethods publickey,keyboard-interactive",
            true,
        ),
        key(
            "keyboard-interactive,publickey",
            "KbdInteractiveAuthentication yes\nUsePAM yes\n\
             AuthenticationMethods keyboard-interactive,publickey",
            true,
        ),
        key(
            "password,keyboard-interactive",
            "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nUsePAM yes\n\
             AuthenticationMethods password,keyboard-interactive",
            true,
        ),
        key(
            "publickey,password or publickey,keyboard-interactive",
            "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nUsePAM yes\n\
             AuthenticationMethods publickey,password publickey,keyboard-interactive",
            true,
        ),
        key(
            "publickey,password,publickey with one key",
            "PasswordAuthentication yes\nAuthenticationMethods publickey,password,publickey",
            false,
        ),
        Row {
            config: "IdentityFile {dir}/good\nIdentityFile {dir}/second",
            server: "PasswordAuthentication yes\nAuthenticationMethods publickey,password,publickey",
            password: Some(PASSWORD),
            ..row("publickey,password,publickey with two keys", true)
        },
        Row {
            config: "IdentityFile {dir}/good\nIdentityFile {dir}/second",
            server: "AuthenticationMethods publickey,publickey",
            ..row("publickey,publickey", true)
        },
        Row {
            config: "IdentityFile {dir}/good",
            server: "AuthenticationMethods publickey,publickey",
            ..row("publickey,publickey with one key", false)
        },
        Row {
            config: "IdentityFile {dir}/good",
            agent: Some(&["stranger", "second"]),
            server: "AuthenticationMethods publickey,publickey",
            ..row("publickey,publickey, one of them the agent's", true)
        },
        Row {
            config: "IdentityFile {dir}/good",
            server: "PasswordAuthentication yes\nAuthenticationMethods publickey,password",
            password: Some("wrong one"),
            ..row("publickey,password with a wrong password", false)
        },
        Row {
            config: "IdentityFile {dir}/stranger",
            server: "PasswordAuthentication yes\nAuthenticationMethods publickey,password",
            password: Some(PASSWORD),
            ..row("publickey,password with a wrong key", false)
        },
        Row {
            server: "PasswordAuthentication yes",
            password: Some(PASSWORD),
            ..row("a password alone", true)
        },
        Row {
            config: "PasswordAuthentication no",
            server: "PasswordAuthentication yes",
            password: Some(PASSWORD),
            ..row("PasswordAuthentication no", false)
        },
        Row {
            server: "KbdInteractiveAuthentication yes\nUsePAM yes",
            password: Some(PASSWORD),
            ..row("keyboard-interactive alone", true)
        },
    ]
}

#[test]
fn who_gets_in_with_ssh_gets_in_here() {
    let mut rows = keys_and_agents();
    rows.extend(configurations());
    rows.extend(ways());
    let count = hold(rows);
    println!("{count} rows beside the real ssh");
    assert!(count > 50, "{count}");
}

#[test]
fn who_gets_in_with_two_factors_gets_in_here() {
    if user() != "root" {
        skip("logins with two factors: making a user with a password needs root");
        return;
    }
    let _user = User::make();
    let count = hold(factors());
    println!("{count} rows of factors beside the real ssh");
    assert!(count > 12, "{count}");
}
