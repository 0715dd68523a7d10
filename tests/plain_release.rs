//! A release whose own command can't be believed, driven by the prelude's functions. A stand-in for
//! systemd starts and stops what a unit says.
//! Needs root, which acts as the login user; counted as skipped elsewhere.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{after_prelude, injected, root, skip};
use tempfile::TempDir;

/// `systemctl` as far as the functions need it: a unit is active while the service's process lives.
const SYSTEMCTL: &str = r#"#!/bin/sh
for last in "$@"; do :; done
unit=$PAAS_UNITS/$last
pid_file=$HOME_OF_TEST/vcap/sys/run/nats.pid
of_unit() { sed -n "s/^$1=//p" "$unit"; }
alive() { [ -s "$pid_file" ] && [ -e "/proc/$(cat "$pid_file")" ]; }
case $1 in
is-active) [ -e "$unit.on" ] && alive ;;
show) if [ -e "$unit.on" ] && alive; then printf 'ActiveState=active\nNRestarts=0\n'; else echo ActiveState=inactive; fi ;;
cat) [ -e "$unit" ] ;;
start)
	: >"$unit.on"
	sh -c "$(of_unit ExecStartPre | sed 's/^-//')"
	HOME=$HOME_OF_TEST sh -c "$(of_unit ExecStart)" >>"$HOME_OF_TEST/vcap/sys/log/nats.start.log" 2>&1
	;;
stop)
	if [ -e "$unit.on" ]; then HOME=$HOME_OF_TEST sh -c "$(of_unit ExecStop | sed 's/^-//')"; fi >/dev/null
	rm -f "$unit.on"
	;;
enable | disable | daemon-reload) printf '%s\n' "$*" >>"$PAAS_UNITS/said" ;;
esac
"#;

struct Host {
    folder: TempDir,
    port: u16,
}

impl Host {
    fn new() -> Option<Host> {
        let id = Command::new("id").arg("-u").output().unwrap();
        if id.stdout != b"0\n" {
            skip("the plain release: only root can act as the login user");
            return None;
        }
        let folder = TempDir::new().unwrap();
        let copy = Command::new("cp")
            .arg("-r")
            .arg(root().join("tests/fixtures/plain-release"))
            .arg(folder.path().join("paas-release.git"))
            .status();
        assert!(copy.unwrap().success());
        for name in ["units", "state", "bin"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let stub = folder.path().join("bin/systemctl");
        fs::write(&stub, SYSTEMCTL).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        // A port that nobody has.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Host { folder, port };
        let template = host.template();
        let text = fs::read_to_string(&template).unwrap();
        let text = text.replace("port: 4222", &format!("port: {port}"));
        fs::write(template, text).unwrap();
        Some(host)
    }

    /// What is known of nats, with the port of this test.
    fn ports(&self) -> String {
        format!(
            "describe() {{\n\tof_config=$PAAS_HOME/vcap/sys/config/$1.yml\n\
             \tif [ \"$1\" = mysql ]; then of_config=$PAAS_HOME/vcap/sys/config/my.cnf; fi\n\
             \tof_runs=$PAAS_HOME/vcap/sys/run/$1.pid\n\
             \tof_own=$PAAS_HOME/build_dir/target/$1\n\tof_ports={}\n\tof_sudo=''\n\tof_programs='' of_waits=''\n}}",
            self.port
        )
    }

    fn home(&self) -> &Path {
        self.folder.path()
    }

    fn template(&self) -> PathBuf {
        self.home().join("paas-release.git/jobs/nats/nats.yml.erb")
    }

    fn run(&self, line: &str) -> (bool, String) {
        let home = self.home().display();
        let components = include_str!("../cluster_jobs/components.sh");
        let release = include_str!("../cluster_jobs/release.sh");
        after_prelude(
            self.home(),
            &format!(
                "PAAS_ROOT={home}/state PAAS_UNITS={home}/units HOME_OF_TEST={home}\n\
                 export PAAS_UNITS HOME_OF_TEST\nPATH={home}/bin:$PATH\n{components}\n{release}\n{ports}\n{line}",
                ports = self.ports()
            ),
        )
    }

    fn succeeds(&self, line: &str) -> String {
        let (ok, said) = self.run(line);
        assert!(ok, "{line}: {said}");
        said
    }

    /// The service's process, once it runs.
    fn pid(&self) -> String {
        self.succeeds(
            "until service_healthy nats >/dev/null; do sleep 0.1; done\n\
             cat \"$PAAS_HOME/vcap/sys/run/nats.pid\"",
        )
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let (ok, said) = self.run("paas nats stop");
        assert!(ok || std::thread::panicking(), "{said}");
    }
}

#[test]
fn a_changed_setting_stops_and_starts_and_an_unchanged_one_does_not() {
    let Some(host) = Host::new() else {
        return;
    };
    host.succeeds("paas nats start");
    let first = host.pid();
    let said = host.succeeds("paas nats start");
    assert!(said.contains("runs with the present settings"), "{said}");
    assert_eq!(host.pid(), first);
    let text = fs::read_to_string(host.template()).unwrap();
    fs::write(host.template(), text.replace("debug: true", "debug: no")).unwrap();
    host.succeeds("paas nats start");
    assert_ne!(host.pid(), first);
    let config = host.home().join("vcap/sys/config/nats.yml");
    assert!(fs::read_to_string(config).unwrap().contains("debug: no"));
    // What is stopped is stopped, also for the time after a reboot; the unit goes with the job.
    let unit = host.home().join("units/paas-cluster-nats.service");
    assert!(unit.exists());
    let (healthy, said) = host.run("paas nats stop; service_healthy nats");
    assert!(
        !healthy && said.contains("nats: it is not running"),
        "{said}"
    );
    host.succeeds("stop_service nats");
    assert!(!unit.exists());
    // Also where the release is gone already.
    host.succeeds("paas nats start");
    host.pid();
    host.succeeds("paas nats stop");
    let command = host.home().join("paas-release.git/bin/paas");
    let gone = host.home().join("gone");
    fs::rename(&command, &gone).unwrap();
    assert!(unit.exists());
    host.succeeds("stop_service nats");
    assert!(!unit.exists());
    fs::rename(&gone, &command).unwrap();
}

/// One that somebody started by hand a moment before hasn't written its pid yet, and doesn't run with
/// what the unit says; it's ended first.
#[test]
fn one_that_was_started_by_hand_is_taken_over() {
    let Some(host) = Host::new() else {
        return;
    };
    let by_hand = "as_user \"$RELEASE/bin/paas\" nats start >/dev/null 2>&1\n\
                   [ ! -e \"$PAAS_HOME/vcap/sys/run/nats.pid\" ]\nprocesses_of nats";
    let first = host.succeeds(by_hand);
    assert!(first.trim().parse::<u32>().is_ok(), "{first}");
    let said = host.succeeds("paas nats start");
    assert!(
        said.contains(&format!("process {}:", first.trim())),
        "{said}"
    );
    assert_ne!(host.pid().trim(), first.trim());
    // Nobody may have asked for its status yet, but nothing of it runs.
    let program = Path::new("/proc").join(first.trim()).join("exe");
    assert!(fs::read_link(program).is_err());
    injected(1, "services that were started by hand a moment before");
}

/// Somebody else's program on its port is named and left alone; a reader of its files isn't ended.
#[test]
fn what_belongs_to_somebody_else_is_never_ended() {
    let Some(host) = Host::new() else {
        return;
    };
    let config = host.home().join("vcap/sys/config/nats.yml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "net: 0.0.0.0\n").unwrap();
    let mut reader = Command::new("tail")
        .arg("-f")
        .arg(&config)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", host.port)).unwrap();
    let (ok, said) = host.run("paas nats start");
    let who = format!(
        "port {}, which nats listens on, is taken by process {} (",
        host.port,
        std::process::id()
    );
    assert!(!ok && said.contains(&who), "{said}");
    drop(listener);
    host.succeeds("paas nats start");
    host.pid();
    assert!(reader.try_wait().unwrap().is_none(), "the reader was ended");
    reader.kill().unwrap();
    reader.wait().unwrap();
    injected(1, "ports that somebody else has");
}

/// After a reboot the number in a pid file is another process's; the command would call that running.
#[test]
fn a_stale_pid_file_is_no_service() {
    let Some(host) = Host::new() else {
        return;
    };
    let run = host.home().join("vcap/sys/run");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("nats.pid"), "1\n").unwrap();
    host.succeeds("paas nats start");
    assert_ne!(host.pid().trim(), "1");
    injected(1, "pid files of a time before");
}

#[test]
fn a_red_line_and_an_early_end_are_no_success() {
    let Some(host) = Host::new() else {
        return;
    };
    fs::write(host.home().join("fails"), "").unwrap();
    let (ok, said) = host.run("paas nats start");
    assert!(
        !ok && said.contains("a command in it failed: cat /")
            && said.contains("/nothing-here: ---> exitcode = 1"),
        "{said}"
    );
    assert!(!said.contains("failed: rm"), "{said}");
    fs::remove_file(host.home().join("fails")).unwrap();

    fs::write(host.home().join("dies"), "").unwrap();
    let said = host.succeeds("paas nats start\nif is_dead nats; then echo dead; fi");
    assert!(said.ends_with("dead\n"), "{said}");
    fs::remove_file(host.home().join("dies")).unwrap();
    injected(
        2,
        "services that a release starts with 0 and that don't run",
    );
}

/// What the release takes for its first run drops the database on this host.
#[test]
fn a_database_is_never_dropped_by_a_first_run() {
    let Some(host) = Host::new() else {
        return;
    };
    for name in ["uaa", "cloud_controller_ng"] {
        let said = host.succeeds(&format!("never_the_first_run {name}"));
        assert!(said.contains("kept from dropping its database"), "{said}");
        let mark = host.home().join(format!("vcap/sys/config/{name}.yml"));
        fs::write(&mark, "rendered").unwrap();
        assert_eq!(host.succeeds(&format!("never_the_first_run {name}")), "");
        assert_eq!(fs::read_to_string(&mark).unwrap(), "rendered");
    }
    assert_eq!(host.succeeds("never_the_first_run nats"), "");

    // mysql's is made where there is none, also if an earlier try ended before it made one.
    let mark = host.home().join("vcap/sys/config/my.cnf");
    fs::write(&mark, "rendered").unwrap();
    assert_eq!(host.succeeds("never_the_first_run mysql"), "");
    assert!(!mark.exists());
    fs::create_dir_all(host.home().join("build_dir/target/mysql/mysql")).unwrap();
    let said = host.succeeds("never_the_first_run mysql");
    assert!(said.contains("kept from dropping its database"), "{said}");
    assert!(mark.exists());
    injected(
        1,
        "first runs of mysql that ended before they made a database",
    );
}

#[test]
fn a_program_that_the_release_would_wait_for_is_asked_for() {
    let Some(host) = Host::new() else {
        return;
    };
    host.succeeds("describe() { of_programs='sh'; }; need_programs mysql_gateway");
    let (ok, said) =
        host.run("describe() { of_programs='sh curl-of-2013'; }; need_programs mysql_gateway");
    assert!(!ok);
    assert!(
        said.contains("the release starts mysql_gateway with the program curl-of-2013"),
        "{said}"
    );
    injected(
        1,
        "programs of the system that a release needs and that aren't there",
    );
}

/// What was rendered is gone: the next start renders it again, though the service runs.
#[test]
fn a_configuration_that_is_gone_is_rendered_again() {
    let Some(host) = Host::new() else {
        return;
    };
    host.succeeds("paas nats start");
    let first = host.pid();
    let rendered = host.home().join("vcap/sys/config/nats.yml");
    for gone in [true, false] {
        match gone {
            true => fs::remove_file(&rendered).unwrap(),
            false => fs::write(&rendered, "").unwrap(),
        }
        host.succeeds("paas nats start");
        host.pid();
        assert!(fs::metadata(&rendered).unwrap().len() > 0);
    }
    assert_ne!(host.pid(), first);
    injected(2, "rendered configurations that are gone");
}
