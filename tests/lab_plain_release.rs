//! A release whose own command can't be believed, on a real machine: what it leaves undone is done by
//! the jobs. Needs root and what `lab up` asks for; counted as skipped elsewhere.

mod common;

use std::time::{Duration, Instant};

use common::site::{Site, said};
use common::{injected, root};

const HOST: &str = "10.77.71.1";
const UNIT: &str = "paas-cluster-nats.service";

fn site() -> Option<Site> {
    let release = root().join("tests/fixtures/plain-release");
    let text = format!(
        "name: plain-release\nrelease:\n  paas_release: {{path: {}}}\n\
         components: [nats]\nserver: {{nats: {{ip: {HOST}}}}}\n",
        release.display()
    );
    let site = Site::prepared(&text, |_| {})?;
    site.succeeds(&["lab", "up"]);
    Some(site)
}

/// The service's process.
fn pid(site: &Site) -> String {
    site.on(HOST, "cat /home/paas/vcap/sys/run/nats.pid")
}

#[test]
fn what_the_command_leaves_undone_is_done() {
    let Some(site) = site() else {
        return;
    };
    site.succeeds(&["build", "--yes"]);
    assert!(pid(&site).trim().parse::<u32>().is_ok());
    let config = site.on(HOST, "cat /home/paas/vcap/sys/config/nats.yml");
    assert!(config.contains(&format!("net: {HOST}\n")), "{config}");
    let enabled = site.on(HOST, &format!("systemctl is-enabled {UNIT}"));
    assert_eq!(enabled.trim(), "enabled");

    // Where nothing changed, nothing is restarted; a changed setting is read.
    let first = pid(&site);
    site.succeeds(&["build", "--force", "--yes"]);
    assert_eq!(pid(&site), first);
    site.on(
        HOST,
        "sed -i 's/^debug: true/debug: no/' /home/paas/paas-release.git/jobs/nats/nats.yml.erb",
    );
    site.succeeds(&["build", "--force", "--yes"]);
    assert_ne!(pid(&site), first);
    let config = site.on(HOST, "cat /home/paas/vcap/sys/config/nats.yml");
    assert!(config.contains("debug: no"), "{config}");

    // Somebody starts it by hand: it's the same service, and it's taken over.
    site.succeeds(&["stop", "--yes"]);
    let by_hand = "runuser -u paas -- env HOME=/home/paas /home/paas/paas-release.git/bin/paas";
    site.on(HOST, &format!("{by_hand} nats start"));
    site.succeeds(&["build", "--force", "--yes"]);
    assert_eq!(
        site.on(HOST, &format!("systemctl is-active {UNIT}")).trim(),
        "active"
    );

    // A red line is no success, though the command exits with 0.
    site.on(
        HOST,
        "touch /home/paas/fails; echo >>/home/paas/paas-release.git/jobs/nats/control.rb",
    );
    let output = site.run(&["build", "--force", "--yes"]);
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains("a command in it failed: cat /home/paas/nothing"),
        "{text}"
    );
    site.on(HOST, "rm /home/paas/fails");

    // What dies at once is told with what it said, and nobody waits for it.
    site.on(HOST, "touch /home/paas/dies");
    let begun = Instant::now();
    let output = site.run(&["build", "--force", "--yes"]);
    let text = said(&output);
    assert!(
        !output.status.success()
            && text.contains("nats ended soon after its start")
            && text.contains("the bus has no memory left"),
        "{text}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "it waited for it"
    );
    injected(
        2,
        "services that a release starts with 0 and that don't run",
    );
    site.on(HOST, "rm /home/paas/dies");
    site.succeeds(&["build", "--yes"]);

    // It comes back after a reboot.
    site.succeeds(&["lab", "kill", HOST]);
    site.succeeds(&["lab", "boot", HOST]);
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let output = site.run(&["status"]);
        if output.status.success() {
            break;
        }
        assert!(Instant::now() < until, "{}", said(&output));
    }

    // The unit goes with the job.
    site.succeeds(&["remove", "nats", "--yes"]);
    let left = site.on(HOST, "ls /etc/systemd/system /home/paas/vcap/sys/config");
    assert!(
        !left.contains("paas-cluster") && left.contains("nats.yml"),
        "{left}"
    );
    let still = site.on(HOST, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(!still.contains("lib/service"), "{still}");
}
