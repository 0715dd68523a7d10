//! `bin/paas` of deploy/paas-release behaves as the real release's does: the same commands print the
//! same and leave the same files, beside the real one where PAAS_REAL_RELEASE names its folder.
//!
//! Redis and NATS are stood in for by programs of the test that fail, so that no port is needed.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{injected, root, skip};
use tempfile::TempDir;

/// What the commands are tried with, in this order.
const COMMANDS: [&[&str]; 12] = [
    &["version"],
    &["nats", "status"],
    &["nats", "start"],
    &["nats", "start"],
    &["nats", "status"],
    &["nats", "restart"],
    &["nats", "stop"],
    &["nats", "status"],
    &["redis", "start"],
    &["redis", "status"],
    &["redis", "stop"],
    &["router", "status"],
];

/// A home with a release and packages of the test's own.
fn home(release: &Path) -> TempDir {
    let home = TempDir::new().unwrap();
    for part in ["bin", "lib", "jobs"] {
        copy(&release.join(part), &home.path().join("release").join(part));
    }
    let target = home.path().join("build_dir/target");
    copy(
        &root().join("deploy/micro-paas/build_dir/target/ruby"),
        &target.join("ruby"),
    );
    // Like a server that goes into the background: it writes the pid file that its configuration names.
    let nats = "file = ARGV[2]\n\
        pid = spawn('sleep', '60', in: :close, out: '/dev/null', err: '/dev/null')\n\
        Process.detach(pid)\n\
        File.write(File.read(file)[/^pid_file: (.*)/, 1], pid)\n";
    write(&target.join("nats/bin/nats-server"), nats);
    for program in ["redis-server", "redis-cli"] {
        let path = target.join("redis").join(program);
        write(&path, "#!/bin/sh\nexit 3\n");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, executable).unwrap();
    }
    home
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// What the commands print with their exit codes, and the files that are there afterwards; the home
/// and the numbers of processes are left out, as they are another's each time.
fn behaviour(release: &Path) -> (String, Vec<PathBuf>) {
    let home = home(release);
    let mut said = String::new();
    for command in COMMANDS {
        let output = Command::new("ruby")
            .arg(home.path().join("release/bin/paas"))
            .args(command)
            .env("HOME", home.path())
            .current_dir(home.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        said += &format!(
            "$ {} -> {:?}\n{text}",
            command.join(" "),
            output.status.code()
        );
    }
    let said = said.replace(&home.path().display().to_string(), "~");
    let number = regex::Regex::new(r"(pid|pid is|kill) \d+").unwrap();
    let mut files = Vec::new();
    list(&home.path().join("vcap"), home.path(), &mut files);
    files.sort();
    (number.replace_all(&said, "$1 N").into_owned(), files)
}

fn list(folder: &Path, home: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(home).unwrap().to_owned());
        if path.is_dir() {
            list(&path, home, found);
        }
    }
}

fn ruby_is_there() -> bool {
    let there = Command::new("ruby").arg("--version").output().is_ok();
    if !there {
        skip("bin/paas of the example release: Ruby isn't installed");
    }
    there
}

/// What the release of 2013 does that nobody may build upon.
#[test]
fn its_commands_end_well_whatever_happens() {
    if !ruby_is_there() {
        return;
    }
    let (said, files) = behaviour(&root().join("deploy/paas-release"));
    assert!(said.contains("nats\t[false]\n"), "{said}");
    assert!(said.contains("nats already running, pid is N\n"), "{said}");
    assert!(said.contains("nats\t[true]\n"), "{said}");
    assert!(said.contains("\x1b[49;31;1m---> exitcode ="), "{said}");
    assert_eq!(
        said.matches("-> Some(0)\n").count(),
        COMMANDS.len(),
        "{said}"
    );
    assert!(files.contains(&PathBuf::from("vcap/sys/config/nats.yml")));
    injected(2, "failing commands of redis inside bin/paas");
}

#[test]
fn its_commands_print_and_leave_what_the_real_ones_do() {
    let Some(real) = std::env::var_os("PAAS_REAL_RELEASE") else {
        skip("the real release's bin/paas: PAAS_REAL_RELEASE names no folder of it");
        return;
    };
    if !ruby_is_there() {
        return;
    }
    let (ours, our_files) = behaviour(&root().join("deploy/paas-release"));
    let (theirs, their_files) = behaviour(Path::new(&real));
    assert!(ours == theirs, "ours:\n{ours}\ntheirs:\n{theirs}");
    assert_eq!(our_files, their_files);
}
