//! The journal on a real disk: what is written comes back, what is torn is told.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::event::{Event, Fact, PlannedStep, StepResult};
use paas_cluster_build::journal::{
    Journal, ReadError, RunFolder, STEP_LOG_BYTES, TornLine, read_journal,
};
use paas_cluster_build::plan::{Decision, Reason, StepId};

fn id(step: &str) -> StepId {
    StepId {
        step: step.to_owned(),
        host: "10.0.0.1".parse().unwrap(),
    }
}

fn event(fact: Fact) -> Event {
    Event {
        time: "2026-11-21T01:02:03.5Z".parse().unwrap(),
        elapsed_ms: 12,
        run: "r1".to_owned(),
        fact,
    }
}

fn output(text: &str) -> Event {
    let (id, text) = (id("nats"), text.to_owned());
    event(Fact::StepOutput { id, text })
}

/// One event of each kind, with every optional part there and not there.
fn one_of_each() -> Vec<Event> {
    let host = "fd00::1".parse().unwrap();
    let s = str::to_owned;
    let step = |name: &str, decision| PlannedStep {
        stage: s("first"),
        id: id(name),
        decision,
    };
    let changed = |from: Option<&str>, place| Reason::ValueChanged {
        name: s("nats_ip"),
        from: from.map(s),
        to: Some(s("10.0.0.1")),
        place,
        provider: None,
    };
    let results = [
        StepResult::Succeeded,
        StepResult::Failed { status: 137 },
        StepResult::Unknown { why: s("rebooted") },
        StepResult::Locked { holder: s("you") },
        StepResult::Cancelled {
            by: "ada at desk".into(),
        },
        StepResult::Stopped { why: s("deadline") },
    ];
    let steps = vec![
        step("a", Decision::Skip(s("unchanged"))),
        step(
            "b",
            Decision::Run(vec![
                Reason::New,
                Reason::Asked { what: s("forced") },
                changed(Some("10.0.0.9"), Some(Place::new(3, 7))),
                changed(None, None),
                Reason::ScriptChanged,
                Reason::LastFailed { status: 1 },
                Reason::Unhealthy {
                    why: s("no answer"),
                },
                Reason::StateUnknown { why: s("offline") },
                Reason::StillRunning { run: s("r0") },
            ]),
        ),
    ];
    let mut facts = vec![
        Fact::RunStarted {
            cluster: s("c"),
            operation: s("build"),
            operator: s("me"),
            workstation: s("here"),
            steps,
        },
        Fact::HostConnecting { host },
        Fact::HostConnected { host },
        Fact::HostUnreachable {
            host,
            kind: s("auth"),
            error: s("no key"),
        },
        Fact::StageStarted { stage: s("first") },
        Fact::StepSkipped {
            id: id("a"),
            reason: s("unchanged"),
        },
        Fact::StepStarted { id: id("b") },
        Fact::UploadProgress {
            id: id("b"),
            sent: 1,
            total: u64::MAX,
        },
        Fact::StepOutput {
            id: id("b"),
            text: s("\"tab\t\nünï\u{0}\u{1b}"),
        },
        Fact::ConnectionLost {
            host,
            error: s("reset by peer"),
        },
        Fact::StepJoined {
            id: id("b"),
            started_by: s("r0"),
        },
        Fact::StepWaiting {
            id: id("b"),
            holder: s("you"),
        },
        Fact::StepTookOver {
            id: id("b"),
            holder: s("you"),
        },
        Fact::StepFoundDone {
            id: id("b"),
            holder: s("you"),
        },
        Fact::StepsHeld {
            stage: s("first"),
            why: s("min_up: 1 of first may be down at once"),
            steps: vec![id("d")],
        },
        Fact::StepSilent {
            id: id("b"),
            seconds: 300,
        },
        Fact::OutputDropped {
            id: id("b"),
            bytes: 1_000_000,
        },
        Fact::StepsFound {
            steps: vec![step("e", Decision::Run(vec![Reason::New]))],
        },
        Fact::StepNotStarted {
            id: id("d"),
            reason: s("cancelled"),
        },
        Fact::CancelRequested {
            times: 1,
            by: "Ctrl-C".into(),
        },
        Fact::StageFinished {
            stage: s("first"),
            failed: 1,
        },
        Fact::RunFinished {
            succeeded: 1,
            skipped: 2,
            failed: 3,
            not_started: 4,
        },
    ];
    facts.extend(results.map(|result| Fact::StepFinished {
        id: id("b"),
        result,
        took_ms: 5,
    }));
    facts.into_iter().map(event).collect()
}

fn written(state: &Path, events: &[Event]) -> PathBuf {
    let mut journal = Journal::create(state, "c", "r1").unwrap();
    for event in events {
        journal.event(event).unwrap();
    }
    journal.folder().journal()
}

#[test]
fn every_kind_of_event_comes_back_as_it_was() {
    let state = tempfile::tempdir().unwrap();
    let events = one_of_each();
    let path = written(state.path(), &events);
    let (read, torn) = read_journal(&path).unwrap();
    assert_eq!(read, events);
    assert_eq!(torn, None);
    insta::assert_snapshot!(fs::read_to_string(path).unwrap());
}

#[test]
fn a_torn_last_line_is_told_wherever_it_was_torn() {
    let state = tempfile::tempdir().unwrap();
    let events = [output("first\n"), output("second ü\n")];
    let path = written(state.path(), &events);
    let whole = fs::read(&path).unwrap();
    let first = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    for end in first + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let (read, torn) = read_journal(&path).unwrap();
        assert_eq!(read, events[..1], "cut at {end}");
        let bytes = end - first;
        assert_eq!(torn, Some(TornLine { line: 2, bytes }));
    }
}

#[test]
fn a_corrupt_line_in_the_middle_is_an_error_with_its_number() {
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &[output("first\n"), output("second\n")]);
    let mut lines: Vec<String> = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.insert(1, "{\"event\":\"step_st".to_owned());
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    match read_journal(&path).unwrap_err() {
        ReadError::Corrupt { line, .. } => assert_eq!(line, 2),
        other => panic!("{other}"),
    }
}

#[test]
fn only_the_owner_can_read_and_latest_points_to_the_newest() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().join("state");
    for run in ["r1", "r2"] {
        let mut journal = Journal::create(&state, "c", run).unwrap();
        journal
            .event(&event(Fact::StepStarted { id: id("nats") }))
            .unwrap();
        let folder = RunFolder::latest(&state, "c").unwrap();
        assert_eq!(folder.path(), state.join("c/runs").join(run));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for dir in [
            &state,
            &state.join("c"),
            folder.path(),
            &folder.path().join("steps"),
        ] {
            assert_eq!(mode(dir), 0o700, "{}", dir.display());
        }
        for file in [folder.journal(), folder.step_log(&id("nats"))] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
    let names: Vec<_> = fs::read_dir(state.join("c/runs"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(
        names.len(),
        3,
        "the link's forerunner is left behind: {names:?}"
    );
    assert!(
        Journal::create(&state, "c", "r1").is_err(),
        "a run is never written over"
    );
}

#[test]
fn a_steps_log_holds_its_output_and_is_cut_at_the_limit_as_is_the_journal() {
    let state = tempfile::tempdir().unwrap();
    let mebibyte = "x".repeat(1024 * 1024 - 1) + "\n";
    let mut journal = Journal::create(state.path(), "c", "r1").unwrap();
    journal
        .event(&event(Fact::StepStarted { id: id("nats") }))
        .unwrap();
    for _ in 0..20 {
        journal.event(&output(&mebibyte)).unwrap();
    }
    let log = fs::read_to_string(journal.folder().step_log(&id("nats"))).unwrap();
    assert!(log.len() < STEP_LOG_BYTES + 100);
    assert!(log.ends_with("[cut here: only the first 16 MiB of this step's output are kept]\n"));
    let (events, _) = read_journal(&journal.folder().journal()).unwrap();
    let kept: String = events
        .iter()
        .filter_map(|e| match &e.fact {
            Fact::StepOutput { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert!(kept == log, "journal and log keep the same");
}

#[test]
fn a_journal_that_breaks_says_so_once_and_stays_readable() {
    let state = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(state.path(), "c", "r1").unwrap();
    journal.event(&output("before\n")).unwrap();
    // A file stands where the step's log belongs: the same refusal as a full disk, for every user.
    let log = journal.folder().step_log(&id("nats"));
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .unwrap()
        .write_all(b"x")
        .unwrap();
    let error = journal
        .event(&event(Fact::StepStarted { id: id("nats") }))
        .unwrap_err();
    assert_eq!(error.path, log);
    assert!(error.to_string().contains("the run goes on"), "{error}");
    journal.event(&output("after\n")).unwrap();
    let (events, torn) = read_journal(&journal.folder().journal()).unwrap();
    assert_eq!((events.len(), torn), (1, None));
}
