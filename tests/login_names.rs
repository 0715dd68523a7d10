//! Login names as directories and people have them: with dots, capitals, a digit first, a domain;
//! and the homes of such accounts, which the account database knows.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::account::on_accounts;
use common::sshd::*;
use common::{catalog, root, sh, skip};
use paas_cluster_build::job::Action;
use paas_cluster_build::script::Values;

const USER: &str = "1Pcb.Test-login";
const RULE: &str = "/etc/sudoers.d/pcb-test-names";

struct User;

fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl User {
    fn make(home: &Path) -> User {
        User::remove();
        ok(on_accounts("useradd")
            .args(["--badname", "-m", "-s", "/bin/sh", "-p", "x", "-d"])
            .arg(home)
            .arg(USER));
        User
    }

    fn remove() {
        let _ = fs::remove_file(RULE);
        let _ = on_accounts("userdel").arg(USER).output();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        User::remove();
    }
}

fn binary(folder: &Path, text: &str, arguments: &[&str]) -> (bool, String) {
    let file = folder.join("cluster.yml");
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"))
        .arg("-c")
        .arg(&file)
        .arg("--state-dir")
        .arg(folder.join("workstation"))
        .args(arguments)
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn names_of_directories_are_taken_and_what_could_be_an_option_isn_t() {
    let folder = tempfile::tempdir().unwrap();
    let check = |user: &str, jump: &str| {
        let text = format!(
            "name: names\ncomponents: [nats]\nserver: {{nats: {{ip: 127.0.0.1}}}}\n\
             ssh: {{user: '{user}', jump: '{jump}'}}\n"
        );
        binary(folder.path(), &text, &["check"])
    };
    for user in [
        "paas",
        "john.doe",
        "John.Doe",
        "4tress",
        "svc_build-1",
        r"EXAMPLE\john.doe",
        "john.doe@corp.example",
    ] {
        let (taken, said) = check(user, &format!("{user}@gate:2200"));
        assert!(taken, "{user}: {said}");
    }
    for user in [
        "-oProxyCommand=x",
        "1000",
        ".hidden",
        "a b",
        "a/b",
        "a;b",
        "a$b",
        "%g",
        "+g",
        "#1",
        r"\a",
        r"A\",
        "a@",
        "a@b@c",
        r"A\B\c",
        "a:b",
        "",
    ] {
        assert!(!check(user, "gate").0, "{user}");
        assert!(!check("paas", &format!("{user}@gate")).0, "{user}@gate");
    }
}

#[test]
fn a_login_with_such_a_name_works_also_on_the_jump_host() {
    if user() != "root" {
        skip("logins with unusual names: making a user needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("homes/john");
    fs::create_dir(folder.path().join("homes")).unwrap();
    let open = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(folder.path());
    let _user = User::make(&home);

    // The rule that bootstrap writes is sudo's to understand, whatever the name.
    let init = fs::read_to_string(root().join("deploy/init.sh")).unwrap();
    let (_, rest) = init.split_once("\nallow_sudo() {").unwrap();
    let (function, _) = rest.split_once("\n}\n").unwrap();
    let function = function.replace("/etc/sudoers.d/90-paas-cluster-build", RULE);
    let output = sh(&format!(
        "set -eu\nuser={USER}\nhome='{}'\nkeep_sudo=true\nlog() {{ :; }}\nfail() {{ echo \"$1\"; \
         exit 1; }}\nas_user() {{ runuser -u \"$user\" -- \"$@\"; }}\nallow_sudo() {{{function}\n}}\n\
         allow_sudo\n",
        home.display()
    ));
    assert!(output.status.success(), "{output:?}");
    ok(Command::new("runuser").args(["-u", USER, "--", "sudo", "-n", "true"]));

    let (server, gate) = (Server::start(), Server::start());
    fs::copy(server.path("client.pub"), gate.path("authorized")).unwrap();
    open(server.folder.path());
    open(gate.folder.path());
    let text = format!(
        "name: names\ncomponents: [nats]\nserver: {{nats: {{ip: 127.0.0.1}}}}\nssh:\n  \
         user: '{USER}'\n  port: {}\n  jump: '{USER}@127.0.0.1:{}'\n  config: false\n  \
         identity: {}\n  known_hosts: {}\n",
        server.port,
        gate.port,
        server.path("client").display(),
        server.path("known").display()
    );
    for (arguments, words) in [
        (
            vec!["exec", "--", "sh", "-c", "id -un; echo \"$HOME\""],
            USER,
        ),
        (vec!["exec", "--root", "--", "id", "-un"], "root"),
    ] {
        let (worked, said) = binary(server.folder.path(), &text, &arguments);
        assert!(worked, "{said}");
        assert!(said.contains(words), "{said}");
    }

    // Every script finds the home where the account database has it.
    let said = beginning_says(&format!("/home/{USER}"));
    let home = home.display();
    assert_eq!(said, format!("{home}{home}\n"));
}

/// What the beginning of every job's script makes of a home that the cluster file says or lets guess,
/// and the folder that a command of the login user runs in.
fn beginning_says(paas_home: &str) -> String {
    let mut values = Values::new();
    values.set("paas_user", USER);
    values.set("paas_home", paas_home);
    values.set("own_address", "127.0.0.1");
    let nats = catalog();
    let script = nats.get("nats").unwrap().render(Action::Health, &values);
    let script = script.unwrap();
    let (beginning, _) = script.split_once("\nneed_file() {").unwrap();
    let (_, rest) = script.split_once("\nhome_of() {").unwrap();
    let (function, rest) = rest.split_once("\n}\n").unwrap();
    let (call, _) = rest.split_once("\n\n").unwrap();
    let output = sh(&format!(
        "{beginning}\nhome_of() {{{function}\n}}\n{call}\nprintf %s \"$PAAS_HOME\"\nas_user pwd\n"
    ));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
