//! What a run looks like on a terminal and off it.

use std::io::{self, Write};

use indicatif::{InMemoryTerm, ProgressDrawTarget};
use jiff::tz::TimeZone;
use paas_cluster_build::event::{Event, Fact, PlannedStep, StepResult};
use paas_cluster_build::plan::{Decision, Reason, StepId};
use paas_cluster_build::terminal::{Plain, Terminal};

fn id(step: &str, host: u8) -> StepId {
    StepId {
        step: step.to_owned(),
        host: format!("10.0.0.{host}").parse().unwrap(),
    }
}

fn at(elapsed_ms: u64, fact: Fact) -> Event {
    let start: jiff::Timestamp = "2026-11-21T01:02:03Z".parse().unwrap();
    Event {
        time: start + jiff::SignedDuration::from_millis(elapsed_ms as i64),
        elapsed_ms,
        run: "r1".to_owned(),
        fact,
    }
}

fn planned(step: &str, host: u8) -> PlannedStep {
    PlannedStep {
        stage: step.to_owned(),
        id: id(step, host),
        decision: Decision::Run(vec![Reason::New]),
    }
}

fn run_started(steps: Vec<PlannedStep>) -> Fact {
    Fact::RunStarted {
        cluster: "demo".to_owned(),
        operation: "build".to_owned(),
        operator: "me".to_owned(),
        workstation: "here".to_owned(),
        steps,
    }
}

fn start(step: &str, host: u8) -> Fact {
    Fact::StepStarted { id: id(step, host) }
}

fn output(step: &str, host: u8, text: &str) -> Fact {
    let (id, text) = (id(step, host), text.to_owned());
    Fact::StepOutput { id, text }
}

fn finish(step: &str, host: u8, status: i32, took_ms: u64) -> Fact {
    let id = id(step, host);
    let result = match status {
        0 => StepResult::Succeeded,
        status => StepResult::Failed { status },
    };
    Fact::StepFinished {
        id,
        result,
        took_ms,
    }
}

fn connect(host: u8) -> [Fact; 2] {
    let host = id("", host).host;
    [Fact::HostConnecting { host }, Fact::HostConnected { host }]
}

/// Sixteen routers, most of them running, one failed, one done, one unreachable.
fn busy_run() -> Vec<Event> {
    let mut steps: Vec<_> = (1..=16).map(|h| planned("router", h)).collect();
    steps.push(planned("uaa", 20));
    let mut facts = vec![(0, run_started(steps))];
    let stage = "router".to_owned();
    facts.push((1, Fact::StageStarted { stage }));
    for host in 1..=14 {
        facts.extend(connect(host).map(|f| (5, f)));
        facts.push((u64::from(host) * 1_000, start("router", host)));
    }
    let lost = id("router", 15).host;
    facts.extend([
        (15_000, Fact::HostConnecting { host: lost }),
        (
            15_000,
            Fact::HostUnreachable {
                host: lost,
                kind: "auth".to_owned(),
                error: "no key was accepted for paas;\ntry ssh-add".to_owned(),
            },
        ),
        (
            15_100,
            output("router", 1, "unpacking\nreticulating \u{1b}[2Jsplines\t1"),
        ),
        (
            15_200,
            output(
                "router",
                2,
                "configuring\nport 80 is taken\nby \u{7}nginx\n",
            ),
        ),
        (15_300, finish("router", 2, 3, 13_300)),
        (15_400, finish("router", 3, 0, 12_400)),
        (
            15_500,
            output("router", 4, &format!("{}\n", "長い行 ".repeat(60))),
        ),
        (
            65_000,
            Fact::CancelRequested {
                times: 1,
                by: "Ctrl-C".into(),
            },
        ),
    ]);
    facts.into_iter().map(|(ms, fact)| at(ms, fact)).collect()
}

fn shown(events: &[Event], rows: u16, columns: u16, colour: bool) -> (InMemoryTerm, Terminal) {
    let terminal = InMemoryTerm::new(rows, columns);
    let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let mut live = Terminal::new(target, colour);
    for event in events {
        live.event(event);
    }
    (terminal, live)
}

#[test]
fn a_busy_run_on_a_wide_terminal() {
    let (terminal, _live) = shown(&busy_run(), 40, 100, false);
    insta::assert_snapshot!(terminal.contents());
}

#[test]
fn a_busy_run_on_a_narrow_terminal() {
    let (terminal, _live) = shown(&busy_run(), 60, 44, false);
    insta::assert_snapshot!(terminal.contents());
}

#[test]
fn colour_is_only_used_when_asked_for() {
    for colour in [true, false] {
        let (terminal, _live) = shown(&busy_run(), 40, 100, colour);
        let bytes = String::from_utf8(terminal.contents_formatted()).unwrap();
        assert_eq!(bytes.contains("\u{1b}[31m"), colour, "{bytes:?}");
    }
}

#[test]
fn time_moves_without_events_and_a_note_stays_above() {
    let (terminal, mut live) = shown(&busy_run(), 40, 100, false);
    live.tick(125_000);
    live.note("the journal ends here");
    let contents = terminal.contents();
    assert!(contents.contains("2m 05s"), "{contents}");
    let note = contents.find("the journal ends here").unwrap();
    assert!(
        note < contents
            .find("1/17 steps")
            .or(contents.find("2/17 steps"))
            .unwrap()
    );
}

#[test]
fn after_the_run_only_the_permanent_lines_stay() {
    let mut facts = vec![run_started(vec![planned("nats", 1)])];
    facts.extend(connect(1));
    facts.push(Fact::StageStarted {
        stage: "nats".to_owned(),
    });
    facts.push(start("nats", 1));
    facts.push(output("nats", 1, "hello\n"));
    facts.push(finish("nats", 1, 0, 3_210));
    facts.push(Fact::StageFinished {
        stage: "nats".to_owned(),
        failed: 0,
    });
    facts.push(Fact::RunFinished {
        succeeded: 1,
        skipped: 0,
        failed: 0,
        not_started: 0,
    });
    let events: Vec<_> = (0..)
        .zip(facts)
        .map(|(i, fact)| at(i * 500, fact))
        .collect();
    let (terminal, mut live) = shown(&events, 20, 80, false);
    assert_eq!(terminal.contents(), "nats on 10.0.0.1 succeeded (3.2s)");
    live.tick(60_000);
    assert_eq!(terminal.contents(), "nats on 10.0.0.1 succeeded (3.2s)");
}

#[test]
fn an_impossible_event_is_told_once_and_borne() {
    let events = [at(0, start("ghost", 1)), at(1, start("ghost", 2))];
    let (terminal, _live) = shown(&events, 20, 100, false);
    let contents = terminal.contents();
    assert_eq!(
        contents.matches("may be wrong from here on").count(),
        1,
        "{contents}"
    );
}

#[test]
fn plain_lines_are_complete_and_tell_where_they_come_from() {
    let mut facts = vec![(0, run_started(vec![planned("nats", 1), planned("uaa", 2)]))];
    facts.extend(connect(1).map(|f| (10, f)));
    let upload = |sent| Fact::UploadProgress {
        id: id("nats", 1),
        sent,
        total: 300,
    };
    let (reason, failed) = ("an earlier stage failed".to_owned(), 1);
    facts.extend([
        (
            20,
            Fact::StageStarted {
                stage: "nats".to_owned(),
            },
        ),
        (30, upload(0)),
        (40, upload(150)),
        (50, upload(300)),
        (60, start("nats", 1)),
        (61_000, output("nats", 1, "sta")),
        (
            62_000,
            output("nats", 1, "rted\n\nan \u{1b}[31mescape\tand "),
        ),
        (63_000, output("nats", 1, "no line end")),
        (64_000, finish("nats", 1, 1, 63_940)),
        (
            64_001,
            Fact::StageFinished {
                stage: "nats".to_owned(),
                failed,
            },
        ),
        (
            64_002,
            Fact::StepNotStarted {
                id: id("uaa", 2),
                reason,
            },
        ),
        (
            64_003,
            Fact::HostUnreachable {
                host: id("uaa", 2).host,
                kind: "host_key".to_owned(),
                error: "the host key changed:\nwas SHA256:a\nis SHA256:b".to_owned(),
            },
        ),
        (
            64_004,
            Fact::CancelRequested {
                times: 1,
                by: "Ctrl-C".into(),
            },
        ),
        (
            64_005,
            Fact::CancelRequested {
                times: 2,
                by: "Ctrl-C".into(),
            },
        ),
        (
            64_006,
            Fact::RunFinished {
                succeeded: 0,
                skipped: 0,
                failed: 1,
                not_started: 1,
            },
        ),
    ]);
    let mut out = Vec::new();
    let mut plain = Plain::new(&mut out, TimeZone::UTC);
    for (ms, fact) in facts {
        plain.event(&at(ms, fact));
    }
    assert!(plain.error().is_none());
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn a_line_without_end_is_put_out_in_pieces() {
    let mut out = Vec::new();
    let mut plain = Plain::new(&mut out, TimeZone::UTC);
    for _ in 0..3 {
        plain.event(&at(0, output("nats", 1, &"x".repeat(65_000))));
    }
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.lines().count(),
        1,
        "two pieces of output make one line over the limit"
    );
    assert!(text.ends_with('\n') && text.len() > 130_000);
}

/// A pipe whose reader has gone.
struct Closed(usize);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_silences_plain_lines_and_nothing_else() {
    let mut closed = Closed(0);
    let mut plain = Plain::new(&mut closed, TimeZone::UTC);
    for event in busy_run() {
        plain.event(&event);
    }
    assert_eq!(plain.error().unwrap().kind(), io::ErrorKind::BrokenPipe);
    drop(plain);
    assert_eq!(closed.0, 1);
}

#[test]
fn what_is_special_about_a_running_step_is_told() {
    let who = || "eve at far runs uaa there".to_owned();
    let host = id("nats", 1).host;
    let mut facts = vec![(0, run_started(vec![planned("nats", 1)]))];
    let stage = "nats".to_owned();
    facts.push((1, Fact::StageStarted { stage }));
    facts.extend(connect(1).map(|f| (2, f)));
    let it = || id("nats", 1);
    facts.extend([
        (10, start("nats", 1)),
        (
            11,
            Fact::StepJoined {
                id: it(),
                started_by: "r0".to_owned(),
            },
        ),
        (
            12,
            Fact::StepWaiting {
                id: it(),
                holder: who(),
            },
        ),
        (
            13,
            Fact::StepTookOver {
                id: it(),
                holder: who(),
            },
        ),
        (
            300_000,
            Fact::StepSilent {
                id: it(),
                seconds: 300,
            },
        ),
        (
            300_001,
            Fact::OutputDropped {
                id: it(),
                bytes: 9_000_000,
            },
        ),
        (
            300_002,
            Fact::ConnectionLost {
                host,
                error: "reset by peer".to_owned(),
            },
        ),
        (300_003, Fact::HostConnecting { host }),
    ]);
    let mut out = Vec::new();
    let mut plain = Plain::new(&mut out, TimeZone::UTC);
    let events: Vec<Event> = facts.into_iter().map(|(ms, fact)| at(ms, fact)).collect();
    for event in &events {
        plain.event(event);
    }
    plain.event(&at(300_500, Fact::HostConnected { host }));
    let (screen, _live) = shown(&events, 20, 110, false);
    let plain = String::from_utf8(out).unwrap();
    insta::assert_snapshot!(format!("{plain}--- live\n{}", screen.contents()));
}
