//! On a real machine: a bootstrap that was cancelled under dpkg, a package that was removed by hand,
//! and a step that fails after a run that went well.

mod common;

use std::process::Command;

use common::deb::{Deb, repository};
use common::injected;
use common::site::{Site, said, signal};

const HOST: &str = "10.77.212.11";

const CLUSTER: &str = "\
name: lab-packages
packages: [pcb-slow]
components: [page]
server:
  page:
    ip: 10.77.212.11
    vars: {workers: 1}
";

const JOB: &str = "\
values:
  workers: {var: workers}
units: [page]
logs: [/var/log/page.log]
health_timeout: 20
";

/// A service that takes only a number of workers; what is wrong with another it says in its journal
/// and in its log.
const SCRIPT: &str = r#"workers={{ workers }}
need_package pcb-slow
cat >/usr/local/sbin/page.new <<'END'
#!/bin/sh
echo "page starts with $1 workers" >>/var/log/page.log
case $1 in
*[!0-9]*) echo "page: $1 isn't a number"; exit 1 ;;
esac
exec sleep infinity
END
chmod 0755 /usr/local/sbin/page.new
put_in_place /usr/local/sbin/page /usr/local/sbin/page.new
printf '[Service]\nExecStart=/usr/local/sbin/page %s\n[Install]\nWantedBy=multi-user.target\n' "$workers" >/etc/systemd/system/page.service.new
put_in_place /etc/systemd/system/page.service /etc/systemd/system/page.service.new
systemctl daemon-reload
systemctl restart page
"#;

/// Stands still while it's configured, until it's let go.
const SLOW: &str = "#!/bin/sh\nset -e\necho configuring\n: >/var/tmp/pcb-begun\n\
                    while [ -e /var/tmp/pcb-hold ]; do sleep 0.1; done\n";

/// Puts a repository with one slow package onto the machine, as apt's only source.
fn put_repository(site: &Site) {
    let folder = site.path("repository");
    let slow = Deb {
        name: "pcb-slow",
        version: "1.0",
        control: &[("postinst", SLOW)],
        ..Deb::default()
    };
    repository(&folder, &[slow]);
    let packed = Command::new("sh")
        .args(["-c", "tar -cz -C \"$0\" repository | base64 -w 0"])
        .arg(site.folder.path())
        .output()
        .unwrap();
    let packed = String::from_utf8(packed.stdout).unwrap();
    site.on(
        HOST,
        &format!(
            "echo {packed} | base64 -d | tar -xz -C / && rm -rf /var/lib/apt/lists/* &&
             echo 'deb [trusted=yes] file:/repository ./' >/etc/apt/sources.list"
        ),
    );
}

#[test]
fn an_installation_that_was_cancelled_a_removed_package_and_a_failed_step() {
    let Some(site) = Site::boot(CLUSTER, &[("page", JOB, SCRIPT)]) else {
        return;
    };
    put_repository(&site);

    // Cancelled while dpkg configures a package.
    site.on(HOST, ": >/var/tmp/pcb-hold");
    let mut child = site.start(
        "state",
        "bootstrap.log",
        &["bootstrap", "--yes", "--grace", "1s"],
    );
    site.await_text("bootstrap.log", "configuring");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let state = site.on(
        HOST,
        "rm /var/tmp/pcb-hold; dpkg-query -W -f '${Status}' pcb-slow",
    );
    assert!(state.starts_with("install ok half-configured"), "{state}");
    injected(1, "cancelled installation");
    site.succeeds(&["bootstrap", "--yes"]);
    let state = site.on(HOST, "dpkg --audit; dpkg-query -W -f '${Status}' pcb-slow");
    assert!(state.starts_with("install ok installed"), "{state}");

    // Removed by hand.
    site.succeeds(&["build", "--yes"]);
    site.succeeds(&["status"]);
    site.on(HOST, "dpkg --remove pcb-slow");
    let status = site.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let text = said(&status);
    assert!(
        text.contains("pcb-slow isn't installed; bootstrap installs it"),
        "{text}"
    );
    site.succeeds(&["build", "--yes"]);
    site.succeeds(&["status"]);
    injected(1, "package removed by hand");

    // A value that the service doesn't take.
    site.edit("workers: 1", "workers: many");
    let failed = site.run(&["build", "--yes"]);
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    let changed = format!(
        "changed since the last good run: workers 1 → many, {}:7",
        site.file.display()
    );
    for words in [
        "page: many isn't a number",
        "--- the journal of page, since the step began",
        "--- /var/log/page.log, since the step began",
        "page starts with many workers",
        &changed,
    ] {
        assert!(text.contains(words), "`{words}` is missing:\n{text}");
    }
    // Once more, so that the last receipt isn't that of the good run.
    assert_eq!(site.run(&["build", "--yes"]).status.code(), Some(1));
    let status = site.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(said(&status).contains(&changed), "{}", said(&status));
    let plan = site.succeeds(&["plan"]);
    assert!(plan.contains("it last went well in run"), "{plan}");
    assert!(plan.contains("value changed: workers 1 → many"), "{plan}");

    // Back again, by an edit of the job's own file.
    site.edit("workers: many", "workers: 1");
    site.succeeds(&["build", "--yes"]);
    let script = site.path("jobs/page/page.sh");
    std::fs::write(&script, SCRIPT.replace("infinity", "1000000")).unwrap();
    let plan = site.succeeds(&["plan"]);
    assert!(plan.contains("jobs/page/page.sh changed"), "{plan}");
    assert!(!plan.contains("newer version"), "{plan}");
    injected(2, "steps that failed after a good run");
}
