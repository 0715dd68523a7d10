//! Our packages under `bin/paas` of deploy/paas-release, and unchanged under the real release's, where
//! PAAS_REAL_RELEASE names its folder: PostgreSQL, MariaDB, nats-server and redis-server themselves, and
//! our stand-ins of the others.
//! Needs root, for namespaces in which all ports are free and all ends with the test, and the packages
//! that deploy/micro-paas/README.md names; counted as skipped elsewhere.

mod common;

use std::path::Path;
use std::process::Command;

use common::{injected, root, skip};
use tempfile::TempDir;

/// What tests/fixtures/release-runs.sh prints.
const OUTCOME: &str = "\
pages without a login: 401 401 401
bulk API without a login: 401, with it: 200
a token for a wrong password: ''
an app without a token: 401, with a damaged one: 401, with a good one: 201
once more: 409
apps: shop 
health_manager knows them
a page through the router: hello from dea index 0
made by mysql_node_free_1; once more: 409
without the database: cc 503, uaa 503: postgres (key 'database.url')
with it again: shop 
cloud_controller.log: JSON
router.log: JSON
health_manager.log: JSON
warden.log: JSON
mysql_gateway.log: JSON
mysql_node.log: JSON
apps after what it takes for the first run: 
all ended
";

/// Names what is missing for this on this machine.
fn missing() -> Option<&'static str> {
    let succeeds = |words: &str| {
        let output = Command::new("sh").args(["-c", words]).output();
        output.is_ok_and(|output| output.status.success())
    };
    [
        (
            "unshare --net --pid --fork --mount-proc true",
            "root, for namespaces",
        ),
        (
            "command -v ip && command -v curl && command -v sudo",
            "ip, curl or sudo",
        ),
        ("ruby -rrake -e ''", "the package ruby"),
        (
            "/usr/bin/python3 -c 'import yaml'",
            "the package python3-yaml",
        ),
        (
            "PATH=$PATH:/usr/sbin; command -v nats-server",
            "the package nats-server",
        ),
        (
            "PATH=$PATH:/usr/sbin; command -v mariadbd && command -v mariadb && command -v redis-server",
            "the packages mariadb-server-core, mariadb-client and redis-server",
        ),
        (
            "command -v pgrep && test -d /etc/sudoers.d",
            "pgrep, or /etc/sudoers.d",
        ),
        (
            "ls /usr/lib/postgresql/*/bin/initdb && id postgres",
            "the package postgresql",
        ),
    ]
    .into_iter()
    .find(|(command, _)| !succeeds(command))
    .map(|(_, what)| what)
}

fn outcome_under(release: &Path) -> String {
    let home = TempDir::new().unwrap();
    let prepare = "mkdir \"$1/build_dir\" && cp -R \"$2\" \"$1/paas-release.git\" && \
        cp -R \"$3\" \"$1/build_dir/target\" && chown -R postgres: \"$1\"";
    let prepared = Command::new("sh")
        .args(["-c", prepare, "sh"])
        .arg(home.path())
        .arg(release)
        .arg(root().join("deploy/micro-paas/build_dir/target"))
        .status();
    assert!(prepared.unwrap().success());
    let output = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg("sh")
        .arg(root().join("tests/fixtures/release-runs.sh"))
        .arg(home.path())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{complaint}");
    said
}

#[test]
fn the_packages_work_under_the_example_release() {
    if let Some(what) = missing() {
        skip(&format!(
            "the packages under the example release: no {what}"
        ));
        return;
    }
    assert_eq!(outcome_under(&root().join("deploy/paas-release")), OUTCOME);
    injected(
        5,
        "wrong logins, tokens and passwords at the example's packages",
    );
    injected(
        1,
        "databases that go away under uaa and the cloud controller",
    );
}

#[test]
fn the_packages_work_under_the_real_release() {
    let Some(real) = std::env::var_os("PAAS_REAL_RELEASE") else {
        skip("the packages under the real release: PAAS_REAL_RELEASE names no folder of it");
        return;
    };
    if let Some(what) = missing() {
        skip(&format!("the packages under the real release: no {what}"));
        return;
    }
    assert_eq!(outcome_under(Path::new(&real)), OUTCOME);
}
