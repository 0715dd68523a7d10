//! A cluster that was built by hand with the release's own command is taken in: recognised, compared,
//! noted in receipts, and nothing runs. Real sshds on loopback; needs root, and is counted as skipped
//! elsewhere.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::loopback::{Loopback, alone_with_the_bus};
use common::{injected, root};
use serde_json::Value;

/// Hosts with the release in the login user's home, its bus configured for an address.
fn start(listening: &[&str]) -> Option<Loopback> {
    let loopback = Loopback::start(listening.len())?;
    fs::create_dir_all(loopback.path("jobs")).unwrap();
    let copy = Command::new("cp")
        .arg("-r")
        .arg(root().join("tests/fixtures/plain-release"))
        .arg(loopback.path("release"))
        .status();
    assert!(copy.unwrap().success());
    let hosts: Vec<usize> = (0..listening.len()).collect();
    let file = cluster(&loopback, &hosts);
    for (host, net) in listening.iter().enumerate() {
        let release = loopback.path("release");
        let release = release.display();
        on(
            &loopback,
            &file,
            host,
            &format!(
                "cp -r {release} /root/paas-release.git && sed -i 's/net: .*/net: {net} # ours/' \
                 /root/paas-release.git/jobs/nats/nats.yml.erb"
            ),
        );
    }
    Some(loopback)
}

fn cluster(loopback: &Loopback, hosts: &[usize]) -> PathBuf {
    let addresses: Vec<String> = hosts.iter().map(|host| Loopback::address(*host)).collect();
    let release = loopback.path("release");
    loopback.file(
        "cluster.yml",
        &format!(
            "name: byhand\npackages: []\nrelease: {{paas_release: {{path: {}}}}}\n\
             components: [nats]\nserver: {{nats: {{ip: [{}]}}}}\n",
            release.display(),
            addresses.join(", ")
        ),
    )
}

fn on(loopback: &Loopback, file: &Path, host: usize, command: &str) -> String {
    let address = Loopback::address(host);
    let words = ["exec", "--limit", &address, "--root", "--", command];
    loopback.succeeds(file, "by-hand", &words)
}

/// Starts the bus as the release does it, and waits until it answers.
fn start_by_hand(loopback: &Loopback, file: &Path, host: usize, net: &str) {
    let line = format!(
        "cd /root && HOME=/root paas-release.git/bin/paas nats start >/dev/null 2>&1 </dev/null\n\
         n=0; until bash -c 'exec 3<>/dev/tcp/{net}/4222' 2>/dev/null; do \
         n=$((n + 1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done; cat /root/vcap/sys/run/nats.pid"
    );
    on(loopback, file, host, &line);
}

fn receipt(loopback: &Loopback, host: usize, step: &str) -> Value {
    let text = loopback.text_on(host, &format!("receipts/{step}.json"));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[test]
fn what_was_built_by_hand_is_adopted_and_what_is_not_recognised_is_told() {
    let _alone = alone_with_the_bus();
    let Some(mut loopback) = start(&["127.0.0.71", "127.0.0.1", "127.0.0.73", "127.0.0.74"]) else {
        return;
    };
    let file = cluster(&loopback, &[0, 1, 2, 3]);
    start_by_hand(&loopback, &file, 0, "127.0.0.71");
    start_by_hand(&loopback, &file, 1, "127.0.0.1");
    // Another program has the port of the third; the fourth can't be reached.
    on(
        &loopback,
        &file,
        2,
        "cd /tmp && setsid perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => \
         \"127.0.0.73\", LocalPort => 4222, Listen => 5, ReuseAddr => 1) or die; $s->accept while 1' \
         >/dev/null 2>&1 </dev/null & n=0; until bash -c 'exec 3<>/dev/tcp/127.0.0.73/4222' \
         2>/dev/null; do n=$((n + 1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done",
    );
    loopback.down(3);

    // Off a terminal it isn't done unasked.
    let (code, said) = loopback.run(&file, "state", &["adopt"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("add --yes"), "{said}");
    assert_eq!(receipt(&loopback, 0, "nats"), Value::Null);

    let (code, said) = loopback.run(&file, "state", &["adopt", "--yes"]);
    assert_eq!(code, 3, "a host can't be reached: {said}");
    assert!(said.contains("nats on 127.0.0.71: found\n"), "{said}");
    let differs = "jobs/nats/nats.yml.erb: net is 127.0.0.1, the build sets 127.0.0.72\n";
    assert!(said.contains(differs), "{said}");
    let foreign = "nats on 127.0.0.73: not recognised, gets no receipt: nats: port 4222 answers, but \
                   by another program: perl";
    assert!(said.contains(foreign), "{said}");
    assert!(
        said.contains("nothing was adopted on\n  127.0.0.74"),
        "{said}"
    );
    assert_eq!(receipt(&loopback, 2, "nats"), Value::Null);
    let adopted = receipt(&loopback, 0, "nats");
    assert_eq!(adopted["adopted"], serde_json::json!([]), "{adopted}");
    assert_eq!(adopted["status"], 0, "{adopted}");
    assert!(adopted["cluster_id"].is_string(), "{adopted}");

    let file = cluster(&loopback, &[0, 1]);
    let plan = loopback.succeeds(&file, "state", &["plan", "--diff"]);
    let of = |host: &str| {
        let mut lines = plan.lines();
        let line = lines.find(|line| line.contains("nats") && line.contains(host));
        line.unwrap_or_default().to_owned()
    };
    assert!(of("127.0.0.71").contains("adopted, unchanged"), "{plan}");
    assert!(of("127.0.0.72").contains("adopted; differs:"), "{plan}");
    assert!(plan.contains("adopted; a run changes\n"), "{plan}");
    assert_eq!(plan.matches("adopted, unchanged").count(), 3, "{plan}");
    // A build leaves alone what doesn't differ.
    let alone = ["build", "--yes", "--limit", "127.0.0.71"];
    let before = receipt(&loopback, 0, "nats");
    loopback.succeeds(&file, "state", &alone);
    assert_eq!(receipt(&loopback, 0, "nats"), before);
    let runs = loopback.succeeds(&file, "state", &["runs"]);
    assert!(runs.contains(" adopt "), "{runs}");

    // Nothing of the release was touched.
    let said = on(
        &loopback,
        &file,
        1,
        "grep net: /root/paas-release.git/jobs/nats/nats.yml.erb",
    );
    assert!(said.contains("net: 127.0.0.1 # ours"), "{said}");
    let said = on(
        &loopback,
        &file,
        1,
        "ls -A /root/paas-release.git/jobs/nats",
    );
    assert!(!said.contains(".new"), "{said}");
    injected(
        2,
        "hosts that can't be adopted: a foreign program, no way there",
    );
}

#[test]
fn it_is_repeatable_and_a_half_written_one_is_completed() {
    let _alone = alone_with_the_bus();
    let Some(loopback) = start(&["127.0.0.71"]) else {
        return;
    };
    let file = cluster(&loopback, &[0]);
    // Half a cluster: the release is there, the bus isn't started.
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    assert!(said.contains("bootstrap on 127.0.0.71: found"), "{said}");
    assert!(said.contains("nats: it is not running"), "{said}");
    assert_eq!(receipt(&loopback, 0, "nats"), Value::Null);
    start_by_hand(&loopback, &file, 0, "127.0.0.71");
    let before = receipt(&loopback, 0, "bootstrap");
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    assert!(
        said.contains("bootstrap on 127.0.0.71: has a receipt already"),
        "{said}"
    );
    assert!(said.contains("receipts written: 1"), "{said}");
    assert_eq!(receipt(&loopback, 0, "bootstrap"), before);
    let adopted = receipt(&loopback, 0, "nats");
    // Nothing is left to adopt; a colleague with an empty state folder sees the same.
    for state in ["state", "colleague"] {
        let said = loopback.succeeds(&file, state, &["adopt", "--output", "json"]);
        assert_eq!(said.matches("has_receipt").count(), 2, "{said}");
        assert_eq!(receipt(&loopback, 0, "nats"), adopted);
    }
    // A key that the release hasn't is no setting to compare: told, with what was looked for.
    fs::remove_file(loopback.on(0, "receipts/nats.json")).unwrap();
    on(
        &loopback,
        &file,
        0,
        "sed -i /^port:/d /root/paas-release.git/jobs/nats/nats.yml.erb",
    );
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    assert!(
        said.contains("has no setting for the port; looked for port"),
        "{said}"
    );
    assert_eq!(receipt(&loopback, 0, "nats"), Value::Null);
    injected(3, "clusters that are half there");
}

/// Two operators at once: each receipt is whole, and of one cluster.
#[test]
fn two_operators_at_once_make_one_cluster() {
    let _alone = alone_with_the_bus();
    let Some(loopback) = start(&["127.0.0.71"]) else {
        return;
    };
    let file = cluster(&loopback, &[0]);
    start_by_hand(&loopback, &file, 0, "127.0.0.71");
    let one = loopback.start_command(&file, "one", "one.log", &["adopt", "--yes"]);
    let two = loopback.start_command(&file, "two", "two.log", &["adopt", "--yes"]);
    let ends = [one, two].map(|mut child| child.wait().unwrap().success());
    assert!(ends.contains(&true), "one of them gets through");
    let ids = ["bootstrap", "nats"].map(|step| receipt(&loopback, 0, step)["cluster_id"].clone());
    assert!(ids[0].is_string() && ids[0] == ids[1], "{ids:?}");
    let plan = loopback.succeeds(&file, "three", &["plan"]);
    assert_eq!(plan.matches("adopted, unchanged").count(), 2, "{plan}");
}
