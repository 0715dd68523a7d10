//! Where the login user lives, the host's own account database says: root's home and one that is
//! nowhere near /home, over real sshds, from bootstrap to the way back. Needs root, and is counted as
//! skipped elsewhere.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::loopback::{Loopback, alone_with_the_bus};
use common::root;

/// A user of the machine with a home of the test's choice; gone with the test.
struct User {
    name: String,
}

impl User {
    fn make(name: &str, home: &Path) -> User {
        let name = format!("{name}-{}", std::process::id());
        fs::create_dir_all(home.parent().unwrap()).unwrap();
        // Without PAM, sshd takes no account whose password is locked.
        ok(Command::new("useradd")
            .args(["-m", "-s", "/bin/sh", "-p", "*", "-d"])
            .arg(home)
            .arg(&name));
        User { name }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

fn ok(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A cluster of one host, whose login user is this one.
fn file_for(loopback: &Loopback, user: &str, vars: &str) -> PathBuf {
    let release = root().join("tests/fixtures/plain-release");
    let file = loopback.file(
        "cluster.yml",
        &format!(
            "name: homes\npackages: []\nrelease: {{paas_release: {{path: {}}}}}\n\
             components: [nats]\nserver: {{nats: {{ip: 127.0.0.71}}}}\n{vars}",
            release.display()
        ),
    );
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("user: root", &format!("user: {user}"))).unwrap();
    file
}

/// As root, on the host.
fn on(loopback: &Loopback, file: &Path, command: &str) -> String {
    loopback.succeeds(file, "by-hand", &["exec", "--root", "--", command])
}

/// From bootstrap to the way back: what the release brings lies in this home, and is found there.
fn goes_through(user: &str, home: &Path, vars: &str) {
    let Some(loopback) = Loopback::start(1) else {
        return;
    };
    fs::create_dir_all(loopback.path("jobs")).unwrap();
    let root_file = file_for(&loopback, "root", vars);
    let rule = format!(
        "chmod 0755 /etc/sudoers.d && echo '{user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/test"
    );
    on(&loopback, &root_file, &rule);
    let home = home.display();
    on(
        &loopback,
        &root_file,
        &format!("mkdir -p {home} && chown {user} {home}"),
    );
    let file = file_for(&loopback, user, vars);

    loopback.succeeds(&file, "state", &["bootstrap", "--yes"]);
    let paas = format!("{home}/paas-release.git/bin/paas");
    on(&loopback, &file, &format!("test -x {paas}"));
    let said = loopback.succeeds(&file, "state", &["exec", "--", "pwd; echo \"$HOME\""]);
    assert_eq!(said.matches(&format!("{home}\n")).count(), 2, "{said}");
    let plan = loopback.succeeds(&file, "state", &["plan"]);
    assert!(plan.contains("unchanged since its last run"), "{plan}");

    // Started by hand where it lies, it's recognised there.
    on(
        &loopback,
        &file,
        &format!(
            "runuser -u {user} -- env HOME={home} {paas} nats start >/dev/null 2>&1 </dev/null\n\
             n=0; until bash -c 'exec 3<>/dev/tcp/127.0.0.1/4222' 2>/dev/null; do \
             n=$((n + 1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done"
        ),
    );
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    assert!(said.contains("nats on 127.0.0.71: found"), "{said}");
    assert!(said.contains("receipts written: 1"), "{said}");

    loopback.succeeds(&file, "state", &["remove", "127.0.0.71", "--yes"]);
    let left = on(&loopback, &file, &format!("ls -A {home}"));
    assert!(!left.contains("paas-release.git"), "{left}");
    assert!(
        left.contains("vcap") && left.contains("build_dir"),
        "{left}"
    );
}

#[test]
fn roots_home_is_slash_root() {
    let _alone = alone_with_the_bus();
    goes_through("root", Path::new("/root"), "");
}

#[test]
fn a_home_outside_of_slash_home_is_found() {
    let _alone = alone_with_the_bus();
    if common::sshd::user() != "root" {
        common::skip("homes: making a user needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    ok(Command::new("chmod").arg("0755").arg(folder.path()));
    let home = folder.path().join("srv/homes/john");
    let user = User::make("pcb-john", &home);
    goes_through(&user.name, &home, "");
}

#[test]
fn what_the_cluster_file_says_wins() {
    let _alone = alone_with_the_bus();
    if common::sshd::user() != "root" {
        common::skip("homes: making a user needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    ok(Command::new("chmod").arg("0755").arg(folder.path()));
    let user = User::make("pcb-jane", &folder.path().join("srv/homes/jane"));
    let home = folder.path().join("srv/paas");
    let vars = format!("vars: {{paas_home: {}}}\n", home.display());
    goes_through(&user.name, &home, &vars);
}

/// One function asks the account database; no script of ours has a second one.
#[test]
fn only_one_place_asks_for_homes() {
    let mut asking = Vec::new();
    let mut folders = vec![root().join("deploy"), root().join("cluster_jobs")];
    folders.push(root().join("lib"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.contains("getent passwd --") {
                asking.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    assert_eq!(asking, [PathBuf::from("deploy/home.sh")]);
}
