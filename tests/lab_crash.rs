//! The controller is killed at random instants of a build, and run again. Needs root and what
//! `lab up` asks for; counted as skipped elsewhere.
//!
//! `PAAS_CRASH_ROUNDS` is how often (100 unless set), `PAAS_CRASH_SEED` repeats a run.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::random::{Random, number};
use common::site::{Site, assert_journals_replay, said};

const HOSTS: [&str; 2] = ["10.77.64.1", "10.77.64.2"];
const JOBS: [&str; 3] = ["first", "second", "third"];

/// Each job notes that it ran, and whether it ran beside itself; its round is one of its values.
const SCRIPT: &str = r#"
ROUND={{ round }}
if ! mkdir "/run/$PAAS_STEP.running"; then echo "$PAAS_STEP beside itself" >>/root/twice; fi
sleep 0.1
echo "$PAAS_STEP $ROUND" >>/root/ran
sleep 0.1
rmdir "/run/$PAAS_STEP.running"
"#;

/// What each host remembers, without what differs between two runs of the same: ids and times.
fn receipts(site: &Site) -> BTreeMap<(&'static str, String), serde_json::Value> {
    let mut all = BTreeMap::new();
    for host in HOSTS {
        let text = site.on(
            host,
            "cd /var/lib/paas-cluster-build/receipts && cat *.json",
        );
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut receipt: serde_json::Value = serde_json::from_str(line).unwrap();
            let members = receipt.as_object_mut().unwrap();
            for name in ["run", "started", "finished", "boot_id"] {
                members.remove(name).expect(name);
            }
            // The run before this one, which is another in each round.
            members.remove("good");
            let step = receipt["step"].as_str().unwrap().to_owned();
            all.insert((host, step), receipt);
        }
    }
    all
}

#[test]
fn a_controller_may_die_at_any_instant() {
    let components = JOBS.map(|job| format!("  {job}: {{ip: [{}]}}\n", HOSTS.join(", ")));
    let text = format!(
        "name: crash\ncomponents: [{}]\nserver:\n{}vars: {{round: zero}}\n",
        JOBS.join(", "),
        components.concat()
    );
    let yml = "values: {round: {var: round}}\n";
    let jobs = JOBS.map(|job| (job, yml, SCRIPT));
    let Some(site) = Site::boot(&text, &jobs) else {
        return;
    };
    let rounds = number("PAAS_CRASH_ROUNDS").unwrap_or(100);
    let mut random = Random::seeded("PAAS_CRASH_SEED");
    println!("PAAS_CRASH_ROUNDS={rounds}");

    // Undisturbed, and how long that takes.
    site.succeeds(&["build"]);
    site.edit("round: zero", "round: calm");
    let start = Instant::now();
    site.succeeds(&["build"]);
    let whole = start.elapsed();
    let calm = receipts(&site);
    assert_eq!(calm.len(), HOSTS.len() * (JOBS.len() + 1));

    let mut round = "calm".to_owned();
    let (mut killed, mut joined) = (0, 0);
    for n in 0..rounds {
        let next = format!("r{n}");
        site.edit(&format!("round: {round}"), &format!("round: {next}"));
        round = next;
        let mut controller = site.start("state", "killed", &["build", "--output", "json"]);
        // The instant is the fault that is injected, not something that is waited for.
        let instant = random.next() % whole.as_micros() as u64;
        std::thread::sleep(Duration::from_micros(instant));
        if controller.try_wait().unwrap().is_none() {
            killed += 1;
        }
        controller.kill().unwrap();
        controller.wait().unwrap();
        let again = site.run(&["build", "--wait=60s", "--output", "json"]);
        assert!(again.status.success(), "round {n}: {}", said(&again));
        joined += said(&again).matches("\"step_joined\"").count();
    }

    // As an undisturbed build of the last round would have left it.
    let disturbed = receipts(&site);
    site.succeeds(&["build", "--force"]);
    assert_eq!(receipts(&site), disturbed);
    for host in HOSTS {
        assert_eq!(site.on(host, "cat /root/twice 2>/dev/null || :"), "");
        let ran = site.on(host, "cat /root/ran");
        for job in JOBS {
            for n in 0..rounds {
                let line = format!("{job} r{n}");
                let times = ran.lines().filter(|ran| **ran == line).count();
                let wanted = if n + 1 == rounds { 2 } else { 1 };
                assert_eq!(times, wanted, "{line} on {host}");
            }
        }
    }
    let journals = assert_journals_replay(&site.path("state"));
    common::injected(
        killed as usize,
        &format!(
            "controllers killed in {rounds} rounds, {joined} steps joined, {journals} journals replayed"
        ),
    );
    assert!(killed * 2 > rounds, "only {killed} were killed in time");
}
