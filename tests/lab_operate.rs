//! Operating a cluster of real machines: two operators, machines that die, plans that are kept,
//! restarts with care, and the way back. Needs root and what `lab up` asks for; counted as skipped
//! elsewhere.

mod common;

use std::process::Output;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::site::{Site, assert_journals_replay, said, signal};

/// The addresses are the same for all: one lab at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const HOSTS: [&str; 3] = ["10.77.65.1", "10.77.65.2", "10.77.65.3"];

/// Runs until the test opens the gate on its machine.
const SLOW: (&str, &str, &str) = (
    "slow",
    "values: {word: {var: word}}\n",
    "WORD={{ word }}\necho begun\nwhile ! [ -e /root/gate ]; do sleep 0.1; done\n\
     echo \"$WORD\" >>/root/ran\n",
);

/// A unit of its own, which notes when it goes down and comes up; the first machine's leads.
const UNIT: (&str, &str, &str) = (
    "unit",
    "values: {word: {var: word}, own: {own_address: true}}\nunits: [test-unit]\n\
     leader: test -e /root/leader\n",
    r#"WORD={{ word }}
cat >/etc/systemd/system/test-unit.service <<'END'
[Service]
ExecStartPre=/bin/sh -c 'sleep 0.5; echo up $$(date +%%s%%N) >>/root/life'
ExecStart=/bin/sleep infinity
ExecStopPost=/bin/sh -c 'echo down $$(date +%%s%%N) >>/root/life'
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet test-unit
systemctl restart test-unit
log "the word is $WORD"
OWN={{ own }}
if [ "$OWN" = 10.77.65.1 ]; then : >/root/leader; fi
"#,
);

const USER: (&str, &str, &str) = (
    "user",
    "needs: [{job: unit, why: it works with it}]\n",
    "log used\n",
);

fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn boot(job: (&str, &str, &str), hosts: usize, more: &str) -> Option<Site> {
    let text = format!(
        "name: operate\ncomponents: [{0}]\nserver:\n  {0}: {{ip: [{1}]{more}}}\nvars: {{word: one}}\n",
        job.0,
        HOSTS[..hosts].join(", ")
    );
    Site::boot(&text, &[job])
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn two_operators() {
    let _turn = turn();
    let Some(site) = boot(SLOW, 1, "") else {
        return;
    };
    let far = |arguments: &[&str]| site.command_from("far", arguments).output().unwrap();
    let mut first = site.start("state", "first", &["build", "--output", "plain"]);
    site.await_text("first", "| begun");

    // The second is told whom to talk to, and may look on from an empty state folder.
    let refused = far(&["build"]);
    assert_eq!(code(&refused), 4, "{}", said(&refused));
    let run = std::fs::read_link(site.path("state/operate/runs/latest")).unwrap();
    let run = run.to_str().unwrap();
    for word in ["runs slow there", run, "--wait", "--take-over", "attach"] {
        assert!(said(&refused).contains(word), "{word}: {}", said(&refused));
    }
    // A colleague's look says what runs, in the table as in JSON; that's neither well nor sick yet.
    let looked = far(&["status"]);
    assert_eq!(code(&looked), 4, "{}", said(&looked));
    assert!(said(&looked).contains("since 20") && said(&looked).contains(run));
    let looked = far(&["status", "--output", "json"]);
    assert_eq!(code(&looked), 4, "{}", said(&looked));
    let rows = String::from_utf8(looked.stdout).unwrap();
    let row = rows.lines().find(|row| row.contains("slow")).unwrap();
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    assert_eq!(row["running"]["run"], run, "{row}");
    let mut watcher = site.start("far", "watched", &["attach", "--output", "plain"]);
    site.await_text("watched", "| begun");
    // Who looks on may leave at any time.
    let mut leaver = site.start("fourth", "looked", &["attach", "--output", "plain"]);
    site.await_text("looked", "| begun");
    signal(&leaver, "INT");
    assert_eq!(leaver.wait().unwrap().code(), Some(130));
    let mut waiter = site.start(
        "third",
        "waited",
        &["build", "--wait=2m", "--output", "plain"],
    );
    site.await_text("waited", "waiting for others");
    let listed = site.succeeds(&["runs"]);
    assert!(listed.contains(run) && listed.contains("live"), "{listed}");

    // The laptop dies; the step doesn't, and the waiter goes on when it is done.
    first.kill().unwrap();
    first.wait().unwrap();
    let listed = site.succeeds(&["runs"]);
    assert!(listed.contains("interrupted"), "{listed}");
    site.on(HOSTS[0], "touch /root/gate");
    assert!(watcher.wait().unwrap().success());
    let watched = site.await_text("watched", "is done");
    assert!(watched.contains(run), "{watched}");
    assert!(
        waiter.wait().unwrap().success(),
        "{}",
        site.await_text("waited", "")
    );
    assert_eq!(site.on(HOSTS[0], "cat /root/ran"), "one\n", "it ran once");

    // Taken over: both journals say so.
    site.on(HOSTS[0], "rm /root/gate");
    let mut loser = site.start("state", "lost", &["build", "--force", "--output", "plain"]);
    site.await_text("lost", "| begun");
    let mut winner = site.start(
        "far",
        "won",
        &[
            "build",
            "--force",
            "--take-over",
            "--grace",
            "2s",
            "--output",
            "plain",
        ],
    );
    site.await_text("won", "takes the host over");
    assert_eq!(loser.wait().unwrap().code(), Some(130));
    let lost = site.await_text("lost", "was cancelled by");
    assert!(lost.contains("was cancelled by"), "{lost}");

    // Cancelled from elsewhere.
    site.await_text("won", "| begun");
    let theirs = std::fs::read_link(site.path("far/operate/runs/latest")).unwrap();
    site.succeeds(&["cancel", theirs.to_str().unwrap(), "--grace", "1s"]);
    assert_eq!(winner.wait().unwrap().code(), Some(130));

    // Ctrl-C twice ends the step, and the receipt says so.
    let mut stopped = site.start(
        "state",
        "stopped",
        &["build", "--grace", "1s", "--output", "plain"],
    );
    site.await_text("stopped", "| begun");
    signal(&stopped, "INT");
    site.await_text("stopped", "once more ends them");
    signal(&stopped, "INT");
    assert_eq!(stopped.wait().unwrap().code(), Some(130));
    let plan = site.succeeds(&["plan"]);
    assert!(plan.contains("was ended: cancelled"), "{plan}");
    // A deadline of the step is its host's business, one of the run is a second Ctrl-C.
    let late = site.run(&["build", "--step-timeout", "1s", "--grace", "1s"]);
    assert_eq!(code(&late), 1, "{}", said(&late));
    assert!(
        said(&late).contains("its deadline of 1 s passed"),
        "{}",
        said(&late)
    );
    let late = site.run(&[
        "build",
        "--timeout",
        "2s",
        "--grace",
        "1s",
        "--output",
        "plain",
    ]);
    assert_eq!(code(&late), 130, "{}", said(&late));
    assert!(
        said(&late).contains("the run's deadline"),
        "{}",
        said(&late)
    );
    // And three times leaves it alone.
    let mut left = site.start("state", "left", &["build", "--output", "plain"]);
    site.await_text("left", "| begun");
    for words in [
        "once more ends them",
        "once more leaves them",
        "leaving now",
    ] {
        signal(&left, "INT");
        if words != "leaving now" {
            // The second one's TERM is ignored here for as long as the grace lasts.
            site.await_text("left", words);
        }
    }
    assert_eq!(left.wait().unwrap().code(), Some(130));
    for state in ["state", "far", "third"] {
        assert!(assert_journals_replay(&site.path(state)) > 0);
    }
    common::injected(
        6,
        "controllers killed, taken over, cancelled, interrupted or left",
    );
}

#[test]
fn machines_that_die_under_a_step() {
    let _turn = turn();
    let Some(site) = boot(SLOW, 2, "") else {
        return;
    };
    let mut build = site.start("state", "build", &["build", "--output", "plain"]);
    site.await_text("build", &format!("{} slow: | begun", HOSTS[0]));
    site.await_text("build", &format!("{} slow: | begun", HOSTS[1]));
    // One loses its cable for a while, the other one its power.
    site.succeeds(&["lab", "cut", HOSTS[1]]);
    site.succeeds(&["lab", "kill", HOSTS[0]]);
    site.succeeds(&["lab", "boot", HOSTS[0]]);
    site.succeeds(&["lab", "heal", HOSTS[1]]);
    site.await_text("build", "host rebooted while the step ran");
    site.on(HOSTS[1], "touch /root/gate");
    assert_eq!(build.wait().unwrap().code(), Some(1));
    let log = site.await_text("build", "succeeded: ");
    assert!(log.contains("| begun"), "the log so far: {log}");
    let status = said(&site.run(&["status"]));
    assert!(status.contains("unknown"), "{status}");
    // Again: only what isn't known runs.
    site.on(HOSTS[0], "touch /root/gate");
    let again = site.succeeds(&["build", "--output", "plain"]);
    assert!(
        again.contains("never came to an end") || again.contains("1 of 4 steps"),
        "{again}"
    );
    for host in HOSTS.iter().take(2) {
        assert_eq!(site.on(host, "cat /root/ran"), "one\n");
    }
    // Root's rights are taken away in the middle of a run.
    site.edit("word: one", "word: two");
    site.on(HOSTS[0], "rm /root/gate");
    let mut denied = site.start(
        "state",
        "denied",
        &["build", "--limit", HOSTS[0], "--output", "plain"],
    );
    site.await_text("denied", "| begun");
    site.on(HOSTS[0], "touch /root/gate; rm -f /etc/sudoers.d/*");
    assert!(
        denied.wait().unwrap().success(),
        "a step that runs isn't disturbed"
    );
    let after = site.run(&["plan", "--limit", HOSTS[0]]);
    assert_eq!(code(&after), 3, "{}", said(&after));
    assert!(
        said(&after).contains("root's rights can't be had"),
        "{}",
        said(&after)
    );
    assert!(assert_journals_replay(&site.path("state")) > 0);
    common::injected(
        3,
        "machines that lost cable, power or root's rights under a step",
    );
}

#[test]
fn plans_are_kept_compared_and_applied_or_refused() {
    let _turn = turn();
    let Some(site) = boot(UNIT, 2, "") else {
        return;
    };
    site.succeeds(&["build"]);
    site.edit("word: one", "word: two");
    let plan = site.path("plan.json");
    let plan = plan.to_str().unwrap();
    let shown = site.succeeds(&["plan", "--diff", "--out", plan]);
    assert!(
        shown.contains("-WORD=one") && shown.contains("+WORD=two"),
        "{shown}"
    );
    assert!(
        shown.contains("unit on 10.77.65.2, 10.77.65.1"),
        "once for both: {shown}"
    );
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(plan).unwrap().mode() & 0o777, 0o600);

    // The cluster file changes after the plan was made.
    site.edit("word: two", "word: three");
    let refused = site.run(&["apply", plan]);
    assert_eq!(
        code(&refused),
        6,
        "a plan of another state has a code of its own"
    );
    assert!(
        said(&refused).contains("its script is another one"),
        "{}",
        said(&refused)
    );
    site.edit("word: three", "word: two");
    let applied = site.succeeds(&["apply", plan, "--output", "plain"]);
    assert!(applied.contains("the word is two"), "{applied}");
    // Once is once: the receipts are others now.
    let refused = site.run(&["apply", plan]);
    assert_eq!(
        code(&refused),
        6,
        "a plan of another state has a code of its own"
    );
    assert!(
        said(&refused).contains("receipt has changed"),
        "{}",
        said(&refused)
    );
    assert_eq!(
        site.on(HOSTS[0], "grep -c up /root/life"),
        "2\n",
        "nothing ran"
    );
}

/// When the unit of each machine went down and came up again, in nanoseconds.
fn outages(site: &Site) -> Vec<(u64, u64, &'static str)> {
    let mut all = Vec::new();
    for host in HOSTS {
        let life = site.on(host, "tail -n 2 /root/life");
        let time = |word: &str| {
            let line = life
                .lines()
                .find(|line| line.starts_with(word))
                .expect(word);
            line.split(' ').nth(1).unwrap().parse().unwrap()
        };
        all.push((time("down"), time("up"), host));
    }
    all.sort_unstable();
    all
}

#[test]
fn a_component_stays_up_while_it_is_worked_on_and_goes_in_the_end() {
    let _turn = turn();
    let Some(site) = boot(UNIT, 3, ", min_up: 2") else {
        return;
    };
    site.succeeds(&["build"]);
    for arguments in [&["restart"][..], &["build", "--force"]] {
        site.succeeds(arguments);
        let outages = outages(&site);
        for pair in outages.windows(2) {
            assert!(
                pair[0].1 <= pair[1].0,
                "{arguments:?}: two down at once: {outages:?}"
            );
        }
        assert_eq!(
            outages[2].2, HOSTS[0],
            "{arguments:?}: the leader is the last: {outages:?}"
        );
    }

    // With one machine dead there is no room.
    site.succeeds(&["lab", "kill", HOSTS[2]]);
    let alive = [
        "--limit",
        HOSTS[0],
        "--limit",
        HOSTS[1],
        "--connect-timeout",
        "2s",
    ];
    let refused = site.run(&[&["restart"], &alive[..]].concat());
    assert_eq!(code(&refused), 2, "{}", said(&refused));
    assert!(said(&refused).contains("min_up is 2"), "{}", said(&refused));
    site.succeeds(&[&["restart", "--below-min-up"], &alive[..]].concat());
    site.succeeds(&["lab", "boot", HOSTS[2]]);

    // Nothing is removed that others need, nor without a word where nobody can be asked.
    let job = site.path("jobs/user");
    std::fs::create_dir(&job).unwrap();
    std::fs::write(job.join("job.yml"), USER.1).unwrap();
    std::fs::write(job.join("user.sh"), USER.2).unwrap();
    site.edit("components: [unit]", "components: [unit, user]");
    site.edit(
        "server:\n",
        &format!("server:\n  user: {{ip: {}}}\n", HOSTS[0]),
    );
    site.succeeds(&["build"]);
    let refused = site.run(&["remove", "unit", "--yes"]);
    assert_eq!(code(&refused), 2);
    assert!(
        said(&refused).contains("`user` needs `unit`, which no component runs"),
        "{}",
        said(&refused)
    );
    let refused = site.run(&["remove", "user", "--yes"]);
    assert!(said(&refused).contains("no way back"), "{}", said(&refused));
    std::fs::write(job.join("user.remove.sh"), "log 'not used any more'\n").unwrap();
    let refused = site.run(&["remove", "user"]);
    assert_eq!(code(&refused), 2);
    assert!(said(&refused).contains("add --yes"), "{}", said(&refused));
    let removed = site.succeeds(&["remove", "user", "--yes", "--output", "plain"]);
    assert!(removed.contains("not used any more"), "{removed}");
    assert!(removed.contains("delete it there"), "{removed}");

    // One leaves the file: it's told, and nothing else happens to it until it's removed.
    site.edit(&format!("  user: {{ip: {}}}\n", HOSTS[0]), "");
    site.edit("components: [unit, user]", "components: [unit]");
    site.edit(&HOSTS.join(", "), &HOSTS[..2].join(", "));
    site.edit("min_up: 2", "min_up: 1");
    let plan = said(&site.run(&["plan"]));
    assert!(
        plan.contains("no longer in the file: 10.77.65.3 (unit)"),
        "{plan}"
    );
    site.edit(&HOSTS[..2].join(", "), &HOSTS.join(", "));
    site.succeeds(&["remove", HOSTS[2], "--yes"]);
    let left = site.on(HOSTS[2], "ls /var/lib/paas-cluster-build/receipts; systemctl is-active test-unit || :; systemctl is-enabled test-unit || :");
    assert_eq!(left, "inactive\ndisabled\n");
    site.edit(&HOSTS.join(", "), &HOSTS[..2].join(", "));
    let plan = said(&site.run(&["plan"]));
    assert!(!plan.contains("no longer in the file"), "{plan}");
    // And a build brings back what the file still names.
    let refused = site.run(&["remove", "unit", "--yes", "--limit", HOSTS[1]]);
    assert_eq!(code(&refused), 2);
    assert!(said(&refused).contains("min_up is 1"), "{}", said(&refused));
    site.edit("min_up: 1", "min_up: 0");
    site.succeeds(&["remove", "unit", "--yes", "--limit", HOSTS[1]]);
    site.succeeds(&["build"]);
    site.succeeds(&["status"]);
    assert!(assert_journals_replay(&site.path("state")) > 0);
}
