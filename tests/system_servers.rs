//! Bootstrap keeps the system's own servers down where the release runs its own, and leaves alone what
//! is there already.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::sh;
use tempfile::TempDir;

/// Runs `mask_servers` of the bootstrap script, with all of these packages still to be installed.
fn mask(units: &Path, release: &str, packages: &str) -> String {
    let script = include_str!("../deploy/init.sh");
    let from = script.find("# mask UNIT: ").unwrap();
    let to = script.find("# --- packages of the release").unwrap();
    let output = sh(&format!(
        "set -eu\nunits={}\nrelease_sha256={release}\nrelease_git=''\n\
         log() {{ printf '%s\\n' \"$*\"; }}\nmissing_packages() {{ printf '%s\\n' \"$@\"; }}\n\
         {}\nmask_servers {packages}\n",
        units.display(),
        &script[from..to]
    ));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn masked(units: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(units) else {
        return Vec::new();
    };
    let entries = entries.map(|entry| entry.unwrap());
    let names =
        entries.filter(|it| fs::read_link(it.path()).is_ok_and(|to| to == Path::new("/dev/null")));
    let mut names: Vec<String> = names
        .map(|it| it.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn servers_of_the_system_stay_down_where_the_release_has_its_own() {
    let folder = TempDir::new().unwrap();
    let units = folder.path().join("units");
    let packages =
        "python3 nats-server=2.9.10 postgresql-15 redis mariadb-server:amd64 postgresql-common";
    let said = mask(&units, "abc", packages);
    let expected = [
        "mariadb-extra.socket",
        "mariadb.service",
        "mariadb.socket",
        "nats-server.service",
        "postgresql.service",
        "redis-server.service",
    ];
    assert_eq!(masked(&units), expected);
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    assert_eq!(
        mask(&units, "abc", packages),
        "",
        "a second run does nothing"
    );
}

#[test]
fn what_somebody_decided_stays_and_hosts_without_a_release_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let units = folder.path().join("units");
    assert_eq!(mask(&units, "''", "postgresql nats-server"), "");
    assert!(!units.exists());
    fs::create_dir(&units).unwrap();
    fs::write(units.join("postgresql.service"), "[Service]\n").unwrap();
    symlink(
        "/lib/systemd/system/other.service",
        units.join("nats-server.service"),
    )
    .unwrap();
    assert_eq!(mask(&units, "abc", "postgresql nats-server"), "");
    assert!(masked(&units).is_empty());
}
