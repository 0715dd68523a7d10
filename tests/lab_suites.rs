//! Debian 13, by itself and beside Debian 12, on machines of the lab. Needs root and what `lab up`
//! asks for; counted as skipped elsewhere. Any other test of the lab runs on Debian 13, too, with
//! `PAAS_LAB_SUITE=trixie`.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use common::example::{await_healthy, await_page, cluster_text, is_built};
use common::site::{Site, said};
use common::{injected, root};

/// Machines are heavy: one lab at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What each machine's own system says that it is.
fn releases(site: &Site) -> BTreeMap<String, String> {
    let look = ". /etc/os-release; printf %s \"$VERSION_ID\"";
    let said = site.succeeds(&["exec", "--output", "json", "--", look]);
    let hosts = said.lines().map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |name: &str| value[name].as_str().unwrap().to_owned();
        (word("host"), word("output"))
    });
    hosts.collect()
}

#[test]
fn the_nine_components_run_on_debian_13() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let file = cluster_text("config/cluster.yml", "suites", "10.1.59.", "10.79.59.");
    let Some(site) = Site::prepared(&file, |_| ()) else {
        return;
    };
    site.succeeds(&["lab", "up", "--preinstall", "--suite", "trixie"]);
    site.succeeds(&["build", "--yes"]);
    let releases = releases(&site);
    assert_eq!(releases.len(), 11);
    assert!(releases.values().all(|it| it == "13"), "{releases:?}");
    for router in ["10.79.59.188", "10.79.59.172"] {
        for dea in 0..2 {
            await_page(router, &format!("dea-{dea}.paas.local"));
        }
    }
    is_built(&site);

    // The power goes, and what was made for its services outside of their data with it.
    site.succeeds(&["lab", "kill", "10.79.59.174"]);
    injected(1, "power losses of the database's machine, on Debian 13");
    site.succeeds(&["lab", "boot", "10.79.59.174"]);
    await_healthy(&site);
}

#[test]
fn half_of_each_release_is_one_cluster() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let file = cluster_text(
        "config/four-machines.yml",
        "suites-mixed",
        "10.1.60.",
        "10.79.60.",
    );
    let Some(site) = Site::prepared(&file, |_| ()) else {
        return;
    };
    let some = "trixie:10.79.60.12,10.79.60.13";
    let up = ["lab", "up", "--preinstall", "--suite"];
    site.succeeds(&[&up[..], &[some, "--suite", "bookworm"]].concat());
    site.succeeds(&["build", "--yes"]);
    await_page("10.79.60.11", "hello.paas.local");
    is_built(&site);
    let expected = [("11", "12"), ("12", "13"), ("13", "13"), ("14", "12")];
    let expected = expected.map(|(last, it)| (format!("10.79.60.{last}"), it.to_owned()));
    assert_eq!(releases(&site), BTreeMap::from(expected));

    // A machine keeps its release: through a power loss, and whatever the next `up` asks for others.
    site.succeeds(&["lab", "kill", "10.79.60.13"]);
    injected(
        1,
        "power losses of a machine with another release than the others'",
    );
    site.succeeds(&["lab", "boot", "10.79.60.13"]);
    site.succeeds(&["lab", "up"]);
    let status = site.succeeds(&["lab", "status"]);
    let of = |last: &str| {
        let line = status
            .lines()
            .find(|it| it.starts_with(&format!("10.79.60.{last} ")));
        line.unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(
        (of("13").as_str(), of("14").as_str()),
        ("trixie", "bookworm"),
        "{status}"
    );
    let other = site.run(&["lab", "up", "--suite", "bookworm:10.79.60.13"]);
    assert_eq!(other.status.code(), Some(1));
    let why = "machine host-10-79-60-13 has trixie already; run `lab down` first";
    assert!(said(&other).contains(why), "{}", said(&other));
    await_page("10.79.60.11", "hello.paas.local");
}

/// What Debian 13 lacks, and what two releases can't do together, is said in words, before it breaks.
#[test]
fn what_a_release_lacks_is_told() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let file = cluster_text(
        "tests/fixtures/cassandra.yml",
        "suites-lack",
        "10.8.",
        "10.79.",
    );
    let file = file.replace("site_packages: .lab/packages", "site_packages: packages");
    let Some(site) = Site::prepared(&file, |folder| {
        let built = Command::new(root().join("deploy/pitrix-example/build"))
            .arg(folder.join("packages"))
            .status();
        assert!(built.unwrap().success());
    }) else {
        return;
    };
    let other = "bookworm:10.79.2.11";
    site.succeeds(&["lab", "up", "--suite", "trixie", "--suite", other]);

    let refused = site.run(&["build", "pgserver", "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let text = said(&refused);
    assert!(
        text.contains("pgserver needs one release on all its hosts"),
        "{text}"
    );
    assert!(!text.contains("started"), "{text}");
    injected(1, "databases on a release that can't copy the others'");

    let host = "10.79.1.12";
    let build = ["build", "firstbox", "cassandra", "--limit", host, "--yes"];
    let failed = site.run(&build);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    let text = said(&failed);
    assert!(
        text.contains("have no package openjdk-17-jre-headless"),
        "{text}"
    );
    assert!(text.contains("vars.cassandra_java"), "{text}");
    injected(1, "packages that a release hasn't got");
}

/// No machine is booted for a choice that can't be meant.
#[test]
fn a_choice_of_releases_has_to_fit_the_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("cluster.yml");
    let login = "ssh: {user: paas, identity: .lab/id_ed25519, known_hosts: .lab/known_hosts}\n";
    let text = cluster_text(
        "config/four-machines.yml",
        "suites-choice",
        "10.1.60.",
        "10.79.60.",
    ) + login;
    fs::write(&file, text).unwrap();
    let one = "10.79.60.11";
    let both = [format!("trixie:{one}"), format!("bookworm:{one}")];
    for (choices, expected) in [
        (
            vec!["trixie:10.9.9.9"],
            "--suite: the file has no host 10.9.9.9",
        ),
        (
            vec!["trixie", "bookworm"],
            "--suite: 10.79.60.14 can't have two releases",
        ),
        (
            both.iter().map(String::as_str).collect(),
            "--suite: 10.79.60.11 can't have two releases",
        ),
        (
            vec!["buster"],
            "the lab boots bookworm or trixie, not \"buster\"",
        ),
        (vec!["trixie:web"], "\"web\" isn't an address"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
        command.arg("-c").arg(&file).args(["lab", "up"]);
        for choice in choices {
            command.args(["--suite", choice]);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}
