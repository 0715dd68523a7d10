//! `bin/paas` of deploy/paas-release behaves as the real release's does: the same commands print the
//! same and leave the same files, beside the real one where PAAS_REAL_RELEASE names its folder.
//!
//! The packages are stood in for by one program of the test, so that no port is needed. With the real
//! servers and our stand-ins of the others: tests/paas_release_runs.rs.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{assert_shellcheck_clean, injected, root, skip};
use serde_json::Value;
use tempfile::TempDir;

/// Those that have a pid file which says whether they run, in an order in which they are started.
const WITH_PID_FILE: [&str; 9] = [
    "nats",
    "router",
    "uaa",
    "cloud_controller_ng",
    "warden",
    "dea_ng",
    "health_manager",
    "mysql_gateway",
    "mysql_node",
];

/// What is tried with each of them.
const ACTIONS: [&str; 5] = ["start", "start", "status", "stop", "status"];

/// What is tried beside that; PostgreSQL, MySQL and redis are asked in ways of their own.
const COMMANDS: [&[&str]; 20] = [
    &["version"],
    &["nats", "restart"],
    &["router", "restart"],
    &["router", "restart"],
    &["redis", "start"],
    &["redis", "status"],
    &["redis", "stop"],
    &["postgres", "status"],
    &["postgres", "start"],
    &["postgres", "restart"],
    &["postgres", "stop"],
    &["mysql", "start"],
    &["mysql", "status"],
    &["mysql", "start"],
    &["mysql", "stop"],
    &["cc", "status"],
    // Once more, when it isn't the first run.
    &["cc", "start"],
    &["cc", "stop"],
    &["uaa", "start"],
    &["uaa", "stop"],
];

/// The programs that the packages have, and those that are asked of the host.
const PROGRAMS: [&str; 25] = [
    "target/nats/bin/nats-server",
    "target/router/bin/router",
    "target/uaa/bin/uaa",
    "target/cloud_controller_ng/bin/cloud_controller",
    "target/cloud_controller_ng/Rakefile",
    "target/warden/warden/Rakefile",
    "target/dea_ng/bin/dea",
    "target/health_manager/bin/health_manager",
    "target/mysql_service/bin/mysql_gateway",
    "target/mysql_service/bin/mysql_node",
    "target/postgres/bin/initdb",
    "target/postgres/bin/pg_ctl",
    "target/postgres/bin/psql",
    "target/postgres/bin/createdb",
    "target/postgres/bin/dropdb",
    "target/mysql/scripts/mysql_install_db",
    "target/mysql/bin/mysqld",
    "target/mysql/bin/mysql",
    "target/mysql/bin/mysqladmin",
    "target/redis/redis-server",
    "target/redis/redis-cli",
    "target/mysql_service/Gemfile",
    "host/curl",
    "host/sudo",
    "host/ps",
];

/// A home with a release, and packages of the test's own.
struct Home(TempDir);

impl Home {
    fn new(release: &Path) -> Home {
        let home = Home(TempDir::new().unwrap());
        for part in ["bin", "lib", "jobs"] {
            copy(&release.join(part), &home.path("release").join(part));
        }
        let build_dir = home.path("build_dir");
        copy(
            &root().join("deploy/micro-paas/build_dir/target/ruby"),
            &build_dir.join("target/ruby"),
        );
        for program in PROGRAMS {
            let path = build_dir.join(program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(root().join("tests/fixtures/any-package.rb"), &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn paas(&self, words: &[&str]) -> Output {
        let path = format!(
            "{}:{}",
            self.path("build_dir/host").display(),
            std::env::var("PATH").unwrap()
        );
        Command::new("ruby")
            .arg(self.path("release/bin/paas"))
            .args(words)
            .env("HOME", self.0.path())
            .env("USER", "paas")
            .env("PATH", path)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Runs a command and waits for what it leaves in the background.
    fn run(&self, words: &[&str], said: &mut String) {
        let output = self.paas(words);
        let text = String::from_utf8_lossy(&output.stdout);
        *said += &format!(
            "$ {} -> {:?}\n{text}",
            words.join(" "),
            output.status.code()
        );
        if !matches!(words, [_, "start" | "restart"]) {
            return;
        }
        let until = Instant::now() + Duration::from_secs(30);
        while !self.has_begun(words[0]) {
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(
                Instant::now() < until,
                "{words:?}: it doesn't start: {text}{complaint}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether what a start leaves in the background has come so far that it can be compared.
    fn has_begun(&self, component: &str) -> bool {
        let name = if component == "cc" {
            "cloud_controller_ng"
        } else {
            component
        };
        if !WITH_PID_FILE.contains(&name) {
            return name != "postgres" || self.path("vcap/sys/log/postgres.stderr.log").exists();
        }
        let pid = fs::read_to_string(self.path(&format!("vcap/sys/run/{name}.pid")));
        let pid = pid.unwrap_or_default();
        !pid.trim().is_empty() && Path::new("/proc").join(pid.trim()).exists()
    }

    /// A file's text, with what is another's in each home left out.
    fn text(&self, path: &Path) -> String {
        let text = fs::read_to_string(self.0.path().join(path)).unwrap();
        self.without_places(&text)
    }

    fn without_places(&self, text: &str) -> String {
        let home = self.0.path().display().to_string();
        // As it stands inside of sed's slashes, too.
        text.replace(&home.replace('/', "\\/"), "~")
            .replace(&home, "~")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// What the commands print with their exit codes; the numbers of processes are another's each time.
fn behaviour(home: &Home) -> String {
    let mut said = String::new();
    for component in WITH_PID_FILE {
        for action in ACTIONS {
            home.run(&[component, action], &mut said);
        }
    }
    for command in COMMANDS {
        home.run(command, &mut said);
    }
    let number = regex::Regex::new(r"(pid|pid is|kill) \d+").unwrap();
    number
        .replace_all(&home.without_places(&said), "$1 N")
        .into_owned()
}

/// What the commands have left in vcap.
fn files(home: &Home) -> Vec<PathBuf> {
    let mut files = Vec::new();
    list(&home.path("vcap"), home.0.path(), &mut files);
    files.sort();
    files
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

/// A rendered configuration, by the language's own reader.
fn configuration(home: &Home, name: &str) -> Value {
    let script = "puts JSON.generate(YAML.load(ARGF.read))";
    let output = Command::new("ruby")
        .args(["-ryaml", "-rjson", "-e", script])
        .arg(home.path("vcap/sys/config").join(name))
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&home.without_places(&text)).unwrap()
}

/// Where `ours` says something that `theirs` doesn't say.
fn beyond(ours: &Value, theirs: &Value, place: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(our), Value::Object(their)) => {
            for (key, value) in our {
                let place = format!("{place}.{key}");
                beyond(value, their.get(key).unwrap_or(&Value::Null), &place, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{place}: {ours} for {theirs}")),
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
    let home = Home::new(&root().join("deploy/paas-release"));
    let said = behaviour(&home);
    for line in [
        "nats\t[false]\n",
        "nats already running, pid is N\n",
        "cloud controller already running, pid is N\n",
        "health_manager\t[true]\n",
        "postgres/bin/dropdb -h localhost -p 5432 uaa]",
        "\x1b[49;31;1m---> exitcode =",
    ] {
        assert!(said.contains(line), "{line:?} isn't in:\n{said}");
    }
    let tried = WITH_PID_FILE.len() * ACTIONS.len() + COMMANDS.len();
    assert_eq!(said.matches("-> Some(0)\n").count(), tried, "{said}");
    // Only the first time that it finds no configuration.
    assert_eq!(
        said.matches("dropdb -h localhost -p 5432 cloud_controller]")
            .count(),
        1
    );
    let left = files(&home);
    for path in [
        "vcap/sys/config/nats.yml",
        "vcap/sys/log/cloud_controller_ng.stderr.log",
    ] {
        assert!(left.contains(&PathBuf::from(path)), "{left:?}");
    }
    injected(
        said.matches("\x1b[49;31;1m").count(),
        "failing commands inside of bin/paas",
    );
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
    let ours = Home::new(&root().join("deploy/paas-release"));
    let theirs = Home::new(Path::new(&real));
    let (we_said, they_said) = (behaviour(&ours), behaviour(&theirs));
    assert!(
        we_said == they_said,
        "ours:\n{we_said}\ntheirs:\n{they_said}"
    );
    assert_eq!(files(&ours), files(&theirs));
    for file in [
        "vcap/sys/data/postgres/pg_hba.conf",
        "vcap/sys/data/postgres/postgresql.conf",
        "build_dir/target/uaa/bin/uaa",
    ] {
        let file = Path::new(file);
        assert_eq!(ours.text(file), theirs.text(file), "{}", file.display());
    }
    // Our templates are shorter, and say nothing that the real ones don't say.
    let mut found = Vec::new();
    for component in WITH_PID_FILE {
        let name = format!("{component}.yml");
        let (our, their) = (configuration(&ours, &name), configuration(&theirs, &name));
        beyond(&our, &their, component, &mut found);
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_packages_own_shell_programs_are_shellcheck_clean() {
    let packages = root().join("deploy/micro-paas/build_dir/target");
    let mut paths = Vec::new();
    list(&packages, &packages, &mut paths);
    let is_shell =
        |path: &PathBuf| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!/bin/sh\n"));
    let files: Vec<PathBuf> = paths
        .iter()
        .map(|path| packages.join(path))
        .filter(is_shell)
        .collect();
    assert!(files.len() > 20, "{files:?}");
    assert_shellcheck_clean(&files);
}
