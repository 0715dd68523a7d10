//! Faults that are really injected, against a real sshd and the real supervisor: cut and stalled
//! connections at every phase, servers that die, disks that are full, output that hurts. Prints how
//! many were injected.

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::cut::{Fate, Proxy};
use common::ground::wait_for_file;
use common::sshd::*;
use paas_cluster_build::engine::{Cancel, Engine, Limits, Outcome, event_channel};
use paas_cluster_build::event::{Event, Fact, StepResult};
use paas_cluster_build::model::Sudo;
use paas_cluster_build::plan::{
    Decision, Mode, Plan, Reason, RunIdentity, Stage, Step, StepId, sha256_hex,
};
use paas_cluster_build::run_state::RunState;
use paas_cluster_build::script::Values;
use paas_cluster_build::transport::SshTransport;

/// A thousand numbered lines on both outputs, slowly enough for cuts to fall between them.
const SCRIPT: &str = "echo started >>\"$PAAS_ROOT/count\"\n\
    i=0; while [ $i -lt 10 ]; do i=$((i + 1)); seq -f \"line $i.%g\" 1 100; sleep 0.01; done\n";

fn step(script: &str) -> Step {
    Step {
        id: StepId {
            step: "nats".into(),
            host: "127.0.0.1".parse().unwrap(),
        },
        mode: Mode::Supervised,
        script: script.into(),
        values: Values::new(),
        template: None,
        edits: Vec::new(),
        digest: sha256_hex(script.as_bytes()),
        receipt: "{\"schema\":1".into(),
        settled_by: 0,
        uploads: Vec::new(),
        redact: Vec::new(),
        decision: Decision::Run(vec![Reason::New]),
    }
}

fn limits() -> Limits {
    Limits {
        reconnect: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// Runs one step as a run of its own; RunState has found the events legal.
fn run(
    server: &Server,
    port: u16,
    run: &str,
    step: Step,
    limits: Limits,
    timeout: u64,
) -> (Outcome, Vec<Event>) {
    let mut host = server.host();
    host.ssh.port = port;
    let transport = SshTransport::new()
        .with_root(server.path("state").to_str().unwrap())
        .with_timeout(Duration::from_secs(timeout));
    let engine = Engine::new(Arc::new(transport), &[host], &Sudo::No, limits);
    let identity = RunIdentity {
        id: run.into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    let plan = Plan {
        cluster: "faults".into(),
        operation: "build".into(),
        stages: vec![Stage::unlimited("nats", vec![step])],
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (outcome, events) = runtime.block_on(async {
        let (sink, mut receiver) = event_channel(run);
        let collect = tokio::spawn(async move {
            let mut events = Vec::new();
            while let Some(event) = receiver.recv().await {
                events.push(event);
            }
            events
        });
        let cancel = Cancel::default();
        let outcome = engine.run(&plan, &identity, &cancel, &sink).await;
        drop(sink);
        (outcome, collect.await.unwrap())
    });
    let mut state = RunState::new();
    for event in &events {
        state
            .apply(event)
            .unwrap_or_else(|error| panic!("{error}: {event:?}"));
    }
    (outcome, events)
}

fn only(outcome: &Outcome) -> &StepResult {
    outcome.results.values().next().expect("the step ran")
}

fn text(events: &[Event]) -> String {
    let output = |event: &Event| match &event.fact {
        Fact::StepOutput { text, .. } => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(output).collect()
}

/// Panics with the first lines that differ, not with thousands.
fn assert_lines(heard: &str, wanted: &str, what: &str) {
    let (heard, wanted): (Vec<&str>, Vec<&str>) =
        (heard.lines().collect(), wanted.lines().collect());
    let same = heard
        .iter()
        .zip(&wanted)
        .take_while(|(a, b)| a == b)
        .count();
    assert!(
        heard == wanted,
        "{what}: after {same} lines {:?} instead of {:?}; {} lines instead of {}",
        heard.get(same),
        wanted.get(same),
        heard.len(),
        wanted.len()
    );
}

fn expected() -> String {
    let line = |n: usize| format!("line {}.{}\n", n / 100 + 1, n % 100 + 1);
    (0..1000).map(line).collect()
}

fn starts(server: &Server) -> usize {
    let count = fs::read_to_string(server.path("state/count")).unwrap_or_default();
    count.lines().count()
}

#[test]
fn a_connection_may_be_cut_anywhere() {
    let server = Server::start();
    let clean = Proxy::before(server.port, &[]);
    let (outcome, events) = run(&server, clean.port, "clean", step(SCRIPT), limits(), 5);
    assert_eq!(only(&outcome), &StepResult::Succeeded);
    assert_eq!(text(&events), expected());
    let (down, up) = (
        clean.down.load(Ordering::SeqCst),
        clean.up.load(Ordering::SeqCst),
    );
    // Before the banner, in it, in the key exchange, in the login, in the request, in the output,
    // and each of the last bytes, where the trailer is.
    let spread = |all: usize| (0..12).map(move |n| all * n / 12);
    let last = |all: usize| (1..6).map(move |n| all - n * 30);
    let mut fates: Vec<Fate> = [0, 5, 25, 700, 1500, 2300]
        .into_iter()
        .chain(spread(down))
        .chain(last(down))
        .map(Fate::CutDown)
        .collect();
    fates.extend(
        [3, 30, 1200, 2000]
            .into_iter()
            .chain(spread(up))
            .map(Fate::CutUp),
    );
    let mut lost = 0;
    for (n, fate) in fates.iter().enumerate() {
        let before = starts(&server);
        // Cut twice, the second time a little later.
        let again = match *fate {
            Fate::CutDown(bytes) => Fate::CutDown(bytes + 333),
            Fate::CutUp(bytes) => Fate::CutUp(bytes + 333),
            other => other,
        };
        let proxy = Proxy::before(server.port, &[*fate, again]);
        let name = format!("r{n}");
        let (outcome, events) = run(&server, proxy.port, &name, step(SCRIPT), limits(), 5);
        assert_eq!(
            outcome.results.values().next(),
            Some(&StepResult::Succeeded),
            "{fate:?}: {:?}",
            outcome.unreachable
        );
        assert_lines(&text(&events), &expected(), &format!("{fate:?}"));
        assert_eq!(starts(&server), before + 1, "{fate:?}: it's started once");
        let is_lost = |e: &&Event| matches!(e.fact, Fact::ConnectionLost { .. });
        lost += events.iter().filter(is_lost).count();
    }
    assert!(
        lost > fates.len() / 2,
        "only {lost} cuts hit a running step"
    );
    common::injected(
        2 * fates.len(),
        &format!("connections cut, {lost} of them under a step"),
    );
}

#[test]
fn servers_that_say_nothing_or_nonsense_are_told_apart() {
    let server = Server::start();
    let told = |fates: &[Fate]| {
        let proxy = Proxy::before(server.port, fates);
        let (outcome, _) = run(&server, proxy.port, "r", step("true"), limits(), 1);
        let unreachable = outcome.unreachable.values().next().expect("unreachable");
        (unreachable.kind.name(), unreachable.error.clone())
    };
    let (kind, why) = told(&[Fate::Stall(0)]);
    assert_eq!(kind, "timeout", "{why}");
    assert!(why.contains("said nothing"), "{why}");
    let (kind, why) = told(&[Fate::Stall(400)]);
    assert_eq!(kind, "timeout", "in the key exchange: {why}");
    let (kind, why) = told(&[Fate::CutDown(0); 3]);
    assert_eq!(kind, "protocol", "{why}");
    assert!(why.contains("before it named itself"), "{why}");
    // A port that isn't SSH's.
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = web.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        for mut client in web.incoming().map_while(Result::ok) {
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let (outcome, _) = run(&server, port, "r", step("true"), limits(), 2);
    assert_eq!(outcome.unreachable.len(), 1);
    common::injected(5, "servers that say nothing, nonsense or too little");
}

#[test]
fn a_server_that_dies_and_comes_back_loses_nothing() {
    let server = Server::start();
    // The step kills the process that serves its connection, and goes on.
    let script = format!(
        "{SCRIPT}grep -sl '^sshd' /proc/[0-9]*/comm | while read -r file; do\n\
         pid=${{file%/comm}}; pid=${{pid#/proc/}}\n\
         if grep -qz '{}' \"/proc/$pid/cmdline\"; then continue; fi\n\
         if [ \"$(cut -d ' ' -f 4 \"/proc/$pid/stat\")\" = {} ]; then kill -KILL \"$pid\"; fi\ndone 2>/dev/null\n\
         sleep 0.2; echo after\n",
        server.path("config").display(),
        server.child.id()
    );
    let (outcome, events) = run(&server, server.port, "r", step(&script), limits(), 5);
    assert_eq!(only(&outcome), &StepResult::Succeeded);
    assert_lines(&text(&events), &(expected() + "after\n"), "a killed server");
    assert_eq!(starts(&server), 1);
    let lost = |e: &Event| matches!(e.fact, Fact::ConnectionLost { .. });
    assert!(events.iter().any(lost), "the server did die");
    common::injected(1, "server killed under a step");
}

#[test]
fn output_that_hurts_is_text_and_bounded() {
    let server = Server::start();
    let script = r#"
        printf 'nul \0 bad \377\376 escape \033[2J\033]0;title\007 return \r back \b\n'
        head -c 10000000 /dev/zero | tr '\0' x; echo
        i=0; while [ $i -lt 20000 ]; do echo "on stderr $i" >&2; i=$((i + 1)); done
        if read -r line; then echo "stdin was open"; else echo "stdin is closed"; fi
    "#;
    let (outcome, events) = run(&server, server.port, "r", step(script), limits(), 5);
    assert_eq!(only(&outcome), &StepResult::Succeeded);
    let text = text(&events);
    let harmless = |c: char| c == '\n' || c == '\t' || !c.is_control();
    assert!(
        text.chars().all(harmless),
        "a control character came through"
    );
    assert_eq!(
        text.matches('x').count(),
        10_000_000 + "escape".matches('x').count()
    );
    assert_eq!(text.matches("on stderr").count(), 20_000);
    assert!(text.ends_with("stdin is closed\n"));
    let longest = events.iter().filter_map(|e| match &e.fact {
        Fact::StepOutput { text, .. } => Some(text.len()),
        _ => None,
    });
    assert!(
        longest.max().unwrap() < 200_000,
        "a line without end comes in pieces"
    );
    common::injected(4, "kinds of output that hurt");
}

/// Runs a command in a mount namespace of its own where that can be had (root).
fn with_mounts(setup: &str, folder: &Path, script: &str) -> Option<String> {
    let line = format!("set -e; {setup}\n{script}");
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &line])
        .env("FOLDER", folder)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("unshare") {
        return None;
    }
    assert!(output.status.success(), "{said}{errors}");
    Some(said)
}

#[test]
fn a_host_that_cannot_keep_a_step_says_why() {
    // The supervisor's own shell, in a namespace where its folder is full, read-only, or where
    // flock isn't there: the request is what the controller sends.
    let supervisor = include_str!("../deploy/supervisor/supervisor.sh");
    let wrapper = include_str!("../deploy/supervisor/wrapper.sh");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("supervisor"), supervisor).unwrap();
    fs::write(folder.path().join("wrapper"), wrapper).unwrap();
    // Standard input stays open for a while, as a controller's does.
    let ask = "{ printf 'run %s/state r1 nats no refuse 30 1000000 5 0 10 0 0 0 0\\necho hello' \"$FOLDER\"; \
               sleep 3; } | wrapper=$(cat \"$FOLDER/wrapper\") sh -c 'eval \"$(cat \"$FOLDER/supervisor\")\"'\n";
    let mut injected = 0;
    for (what, setup, words) in [
        (
            "full disk",
            "mkdir -p \"$FOLDER/state\"; mount -t tmpfs -o size=16k,nr_inodes=6 tmpfs \"$FOLDER/state\"",
            "No space left",
        ),
        (
            "read-only",
            "mkdir -p \"$FOLDER/state\"; mount -t tmpfs -o ro tmpfs \"$FOLDER/state\"",
            "Read-only",
        ),
        (
            "no flock",
            "mount --bind /dev/null /usr/bin/flock; mount -o remount,bind,noexec /usr/bin/flock",
            "flock",
        ),
        (
            "a clock that jumps by an hour at each look",
            "printf '#!/bin/sh\\necho $((1700000000 + 3600 * $(cat $FOLDER/n))); \\
             echo $(($(cat $FOLDER/n) + 1)) >$FOLDER/n\\n' >\"$FOLDER/date\"; chmod 755 \"$FOLDER/date\"; \
             echo 1 >\"$FOLDER/n\"; mount --bind \"$FOLDER/date\" /usr/bin/date",
            "pcb1 end 0",
        ),
    ] {
        let Some(said) = with_mounts(setup, folder.path(), ask) else {
            common::skip("faults of a host's disk: no mount namespace can be had");
            return;
        };
        assert!(
            said.contains(words) && said.contains("pcb1 error") != words.contains("end 0"),
            "{what}: {said}"
        );
        injected += 1;
    }
    common::injected(injected, "hosts that can't keep a step, or tell the time");
}

#[test]
fn a_flood_of_a_gigabyte_fills_neither_memory_nor_disk() {
    let server = Server::start();
    let capped = Limits {
        output_cap: 16 << 20,
        ..limits()
    };
    let script = "head -c 1000000000 /dev/zero | tr '\\0' '\\n'; : >\"$PAAS_ROOT/flooded\"\n";
    let (outcome, events) = run(&server, server.port, "r", step(script), capped, 5);
    assert_eq!(only(&outcome), &StepResult::Succeeded);
    wait_for_file(&server.path("state/flooded"));
    let (mut heard, mut missing) = (0, 0);
    for event in &events {
        match &event.fact {
            Fact::StepOutput { text, .. } => heard += text.len() as u64,
            Fact::OutputDropped { bytes, .. } => missing += bytes,
            _ => {}
        }
    }
    assert_eq!(
        heard + missing,
        1_000_000_000,
        "every byte is there or counted"
    );
    use std::os::unix::fs::MetadataExt;
    let out = fs::metadata(server.path("state/runs/r/nats/out")).unwrap();
    let disk = (out.blocks() * 512) >> 20;
    common::injected(
        1,
        &format!(
            "flood: {heard} bytes heard, {missing} dropped, {disk} MiB on the disk at its end"
        ),
    );
}
