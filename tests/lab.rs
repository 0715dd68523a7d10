//! Whole clusters on real machines: the lab boots them from nothing, the binary builds them. Needs
//! root and what `lab up` asks for; counted as skipped elsewhere.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::site::assert_journals_replay;
use common::skip;
use paas_cluster_build::lab::requirements;
use serde_json::Value;
use tempfile::TempDir;

/// Machines are heavy: one lab at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A cluster file of this repository at addresses of its own, and its lab.
struct Site {
    folder: TempDir,
    file: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    /// Boots the machines of a file; `None`, said loudly, where machines can't be booted.
    fn boot(template: &str, name: &str, from: &str, to: &str) -> Option<Site> {
        if let Err(missing) = requirements() {
            skip(&format!("{name}: the lab can't run here ({})", missing[0]));
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let deploy = repository.join("deploy").display().to_string();
        let text = fs::read_to_string(repository.join("config").join(template)).unwrap();
        let name_line = text
            .lines()
            .find(|line| line.starts_with("name:"))
            .unwrap()
            .to_owned();
        let text = text
            .replace(&name_line, &format!("name: {name}"))
            .replace(from, to)
            .replace("../deploy", &deploy);
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("cluster.yml");
        fs::write(&file, text).unwrap();
        let site = Site {
            folder,
            file,
            _turn: turn,
        };
        // A run that was killed before may have left machines.
        site.succeeds(&["lab", "down"]);
        site.succeeds(&["lab", "up"]);
        Some(site)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
        command
            .arg("-c")
            .arg(&self.file)
            .arg("--state-dir")
            .arg(self.folder.path().join("state"))
            .args(common::with_yes(arguments))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{text}\n{errors}",
            output.status
        );
        text
    }

    fn events(&self, arguments: &[&str]) -> Vec<Value> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--output", "json"]);
        let text = self.succeeds(&arguments);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until everything that `limit` names is healthy.
    fn await_healthy(&self, limit: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let output = self.run(&["status", "--limit", limit]);
            if output.status.success() {
                return;
            }
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                Instant::now() < deadline,
                "{limit} didn't come back:\n{said}"
            );
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.run(&["lab", "down"]);
        if !std::thread::panicking() {
            assert_journals_replay(&self.folder.path().join("state"));
        }
    }
}

/// Fetches a page as a browser behind this router would.
fn page(router: &str, host: &str) -> String {
    let address: SocketAddr = format!("{router}:80").parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "GET / HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["event"] == kind)
        .collect()
}

/// Panics, with the reasons, when a run did anything.
fn assert_nothing_ran(events: &[Value]) {
    let started = of_kind(events, "step_started");
    let planned = &of_kind(events, "run_started")[0]["steps"];
    let planned = planned.as_array().unwrap().iter();
    let why: Vec<&Value> = planned.filter(|step| step["decision"] == "run").collect();
    assert!(started.is_empty() && why.is_empty(), "{why:#?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        } else if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn eleven_machines_become_a_cluster_and_stay_one() {
    let Some(site) = Site::boot("cluster.yml", "e2e", "10.1.59.", "10.77.59.") else {
        return;
    };
    let routers = ["10.77.59.188", "10.77.59.172"];

    let events = site.events(&["build"]);
    assert_eq!(of_kind(&events, "step_finished").len(), 23);
    // One connection for each host and run.
    assert_eq!(
        of_kind(&events, "host_connecting").len(),
        0,
        "the probe's connections are kept"
    );
    for router in routers {
        for dea in 0..2 {
            let text = page(router, &format!("dea-{dea}.paas.local"));
            assert!(
                text.contains(&format!("hello from dea index {dea}")),
                "{text}"
            );
        }
    }

    // Again: nothing runs, and each step says why.
    let events = site.events(&["build"]);
    assert_nothing_ran(&events);
    let skipped = of_kind(&events, "step_skipped");
    assert_eq!(skipped.len(), 23);
    assert!(
        skipped
            .iter()
            .all(|event| event["reason"].as_str().unwrap().contains("unchanged"))
    );

    // Another NATS address: the plan names what follows from it, and nothing else.
    let file = site.file.clone();
    let original = fs::read_to_string(&file).unwrap();
    let moved = original
        .replace("nats: 10.77.59.160", "nats: 10.77.59.163")
        .replace("- 10.77.59.160", "- 10.77.59.163");
    fs::write(&file, moved).unwrap();
    let planned = site.succeeds(&["plan", "--output", "json"]);
    fs::write(&file, &original).unwrap();
    let mut follows = BTreeSet::new();
    for step in planned
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        if step["decision"] == "run" {
            let names = step["reasons"].as_array().unwrap().iter();
            let why: Vec<&str> = names
                .map(|r| r["name"].as_str().or(r["reason"].as_str()).unwrap())
                .collect();
            follows.insert(format!(
                "{}: {}",
                step["step"].as_str().unwrap(),
                why.join(" ")
            ));
        }
    }
    let expected = [
        "bootstrap: packages",
        "cloud_controller_ng: nats_ip",
        "dea_ng: nats_ip",
        "health_manager: nats_ip",
        "mysql_gateway: nats_ip",
        "mysql_node: nats_ip",
        "nats: new",
        "router: nats_ip",
        "uaa: nats_ip",
    ];
    assert_eq!(
        follows.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );

    // Power loss: the machine comes back with its component, and the page with it.
    site.succeeds(&["lab", "kill", "10.77.59.170"]);
    let output = site.run(&["status", "--limit", "10.77.59.170"]);
    assert_eq!(output.status.code(), Some(3), "a dead host is unreachable");
    site.succeeds(&["lab", "boot", "10.77.59.170"]);
    site.await_healthy("10.77.59.170");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !page(routers[0], "dea-0.paas.local").contains("hello from dea index 0") {
        assert!(
            Instant::now() < deadline,
            "the route of dea 0 didn't come back"
        );
    }

    // One component, stopped, is found unhealthy and started again by a build of it alone.
    site.succeeds(&["stop", "health_manager"]);
    let events = site.events(&["build", "health_manager"]);
    assert_eq!(of_kind(&events, "step_started").len(), 1);
    site.succeeds(&["restart", "router"]);
    site.succeeds(&["status"]);

    // Nothing with a secret stays anywhere: no script on a host, no password in a log or receipt.
    let state = site.folder.path().join("state/e2e");
    let secret = fs::read_to_string(state.join("secrets/postgres_password")).unwrap();
    let secret = secret.trim();
    assert!(secret.len() >= 32);
    for path in files_below(&state.join("runs")) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(
            !text.contains(secret),
            "{} holds the password",
            path.display()
        );
    }
    let search = format!(
        "find /var/lib/paas-cluster-build/runs -name script; \
         grep -rl {secret} /var/lib/paas-cluster-build/runs /var/lib/paas-cluster-build/receipts \
         /home/paas/vcap/sys/log || :"
    );
    let found = site.succeeds(&["exec", "--root", "--output", "json", "--", &search]);
    for line in found
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        assert_eq!(line["output"], "", "{line}");
    }
    // The workstation may burn: from an empty state folder everything is still unchanged.
    fs::remove_dir_all(&state).unwrap();
    let events = site.events(&["build"]);
    assert_nothing_ran(&events);

    site.succeeds(&["lab", "down"]);
    let links = Command::new("ip").args(["-br", "link"]).output().unwrap();
    let addresses = Command::new("ip").args(["-br", "addr"]).output().unwrap();
    let text = String::from_utf8_lossy(&addresses.stdout).into_owned();
    assert!(
        !text.contains("10.77.59."),
        "{text}{}",
        String::from_utf8_lossy(&links.stdout)
    );
}

#[test]
fn four_machines_carry_it_all_and_an_interrupted_bootstrap_converges() {
    let template = "four-machines.yml";
    let Some(site) = Site::boot(template, "e2e-four", "10.1.60.", "10.77.60.") else {
        return;
    };

    // Pull the plug in the middle of a bootstrap: apt is at work when its machine dies.
    // Nobody waits for it: it comes back only when the test says so.
    let mut child = site
        .command(&["build", "--output", "plain", "--reconnect", "3s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    let mut buffer = [0; 4096];
    while !text.contains("10.77.60.12 bootstrap: | packages: installing") {
        let count = stdout.read(&mut buffer).unwrap();
        assert!(
            count > 0,
            "the bootstrap ended before it installed:\n{text}"
        );
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    site.succeeds(&["lab", "kill", "10.77.60.12"]);
    let drain = std::thread::spawn(move || {
        let mut rest = String::new();
        let _ = stdout.read_to_string(&mut rest);
        rest
    });
    let status = child.wait().unwrap();
    let rest = drain.join().unwrap();
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(
        rest.contains("bootstrap failed"),
        "later stages don't start:\n{rest}"
    );

    site.succeeds(&["lab", "boot", "10.77.60.12"]);
    let events = site.events(&["build"]);
    // The other three machines were prepared in the first run.
    let started = of_kind(&events, "step_started");
    let bootstrapped: Vec<_> = started
        .iter()
        .filter(|event| event["step"] == "bootstrap")
        .collect();
    assert_eq!(bootstrapped.len(), 1);
    assert_eq!(bootstrapped[0]["host"], "10.77.60.12");
    site.succeeds(&["status"]);
    assert!(page("10.77.60.11", "hello.paas.local").contains("hello from dea index 0"));
    assert_nothing_ran(&site.events(&["build"]));

    another_run_is_in_the_way(&site);
    interrupted_by_the_operator(&site);
    site.succeeds(&["build"]);
}

/// A second run finds the host's lock taken, says so, and ends with 4.
fn another_run_is_in_the_way(site: &Site) {
    const LOCK: &str = "/var/lib/paas-cluster-build/lock";
    let on_host = |command: &str| {
        let limit = [
            "exec",
            "--root",
            "--limit",
            "10.77.60.11",
            "--output",
            "json",
            "--",
            command,
        ];
        site.run(&limit)
    };
    let hold = format!("flock {LOCK} sh -c 'until [ -e /run/let-go ]; do sleep 0.1; done'");
    let mut holder = site
        .command(&["exec", "--root", "--limit", "10.77.60.11", "--", &hold])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while on_host(&format!("flock -n {LOCK} true")).status.success() {}
    let output = site.run(&["build", "messaging", "--force"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    on_host("touch /run/let-go");
    holder.wait().unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
}

/// Ctrl-C: the running step is followed to its end, no other starts, and the run ends with 130.
fn interrupted_by_the_operator(site: &Site) {
    let mut child = site
        .command(&["build", "--force", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = |line: &str| line.contains("\"event\":\"step_started\"");
    assert!(
        events.any(|line| started(&line.unwrap())),
        "no step started"
    );
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let rest: Vec<Value> = events
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let finished = rest.last().unwrap();
    assert_eq!(finished["event"], "run_finished");
    assert_eq!(finished["failed"], 0, "running steps came to their end");
    assert!(finished["not_started"].as_u64().unwrap() > 0);
}
