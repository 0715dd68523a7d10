//! What the accounts look like, and how a run's end is judged.

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::event::{Event, Fact, PlannedStep, StepResult};
use paas_cluster_build::plan::{Decision, Reason, StepId};
use paas_cluster_build::report::{
    ExecEnd, ExecResult, Health, Outcome, ReceiptSummary, RunRow, StatusRow, SummaryContext,
    exec_text, plan_text, runs_text, status_text, summary_text,
};
use paas_cluster_build::run_state::RunState;

fn host(n: u8) -> IpAddr {
    format!("10.0.0.{n}").parse().unwrap()
}

fn id(step: &str, on: u8) -> StepId {
    StepId {
        step: step.to_owned(),
        host: host(on),
    }
}

fn run(step: &str, on: u8, reasons: Vec<Reason>) -> PlannedStep {
    PlannedStep {
        stage: step.to_owned(),
        id: id(step, on),
        decision: Decision::Run(reasons),
    }
}

fn skip(step: &str, on: u8) -> PlannedStep {
    PlannedStep {
        stage: step.to_owned(),
        id: id(step, on),
        decision: Decision::Skip("unchanged and healthy".to_owned()),
    }
}

fn state_after(facts: Vec<Fact>) -> RunState {
    let mut state = RunState::new();
    for (i, fact) in facts.into_iter().enumerate() {
        let event = Event {
            time: jiff::Timestamp::UNIX_EPOCH,
            elapsed_ms: i as u64 * 1_000,
            run: "20261121-7f3a".to_owned(),
            fact,
        };
        state.apply(&event).unwrap();
    }
    state
}

fn started(steps: Vec<PlannedStep>) -> Fact {
    Fact::RunStarted {
        cluster: "demo".to_owned(),
        operation: "build".to_owned(),
        operator: "me".to_owned(),
        workstation: "here".to_owned(),
        steps,
    }
}

fn connect(n: u8) -> [Fact; 2] {
    [
        Fact::HostConnecting { host: host(n) },
        Fact::HostConnected { host: host(n) },
    ]
}

fn unreachable(n: u8) -> [Fact; 2] {
    let error = "no key was accepted for paas\ntry: ssh-add, or `ssh.identity`".to_owned();
    let kind = "auth".to_owned();
    [
        Fact::HostConnecting { host: host(n) },
        Fact::HostUnreachable {
            host: host(n),
            kind,
            error,
        },
    ]
}

fn stage(name: &str) -> Fact {
    Fact::StageStarted {
        stage: name.to_owned(),
    }
}

fn stage_end(name: &str, failed: usize) -> Fact {
    Fact::StageFinished {
        stage: name.to_owned(),
        failed,
    }
}

fn begin(step: &str, on: u8) -> Fact {
    Fact::StepStarted { id: id(step, on) }
}

fn end(step: &str, on: u8, result: StepResult) -> Fact {
    Fact::StepFinished {
        id: id(step, on),
        result,
        took_ms: 12_340,
    }
}

fn give_up(step: &str, on: u8, reason: &str) -> Fact {
    Fact::StepNotStarted {
        id: id(step, on),
        reason: reason.to_owned(),
    }
}

fn over(succeeded: usize, skipped: usize, failed: usize, not_started: usize) -> Fact {
    Fact::RunFinished {
        succeeded,
        skipped,
        failed,
        not_started,
    }
}

fn summary(state: &RunState, colour: bool) -> String {
    let log = |id: &StepId| {
        Some(PathBuf::from(format!(
            "/state/steps/{}-{}.log",
            id.step, id.host
        )))
    };
    summary_text(
        state,
        &SummaryContext {
            resume: "paas-cluster-build -c config/cluster.yml",
            log: &log,
            pointers: &|_| Vec::new(),
            colour,
        },
    )
}

/// A run in which everything happened that can.
fn mixed_run() -> RunState {
    let new = || vec![Reason::New];
    let mut facts = vec![started(vec![
        skip("nats", 1),
        run("router", 2, new()),
        run("router", 3, new()),
        run("router", 4, new()),
        run("router", 5, new()),
        run("router", 6, new()),
        run("uaa", 7, new()),
        run("dea_ng", 2, new()),
        run("dea_ng", 8, new()),
    ])];
    let reason = "unchanged and healthy".to_owned();
    facts.push(Fact::StepSkipped {
        id: id("nats", 1),
        reason,
    });
    facts.push(stage_end("nats", 0));
    facts.push(stage("router"));
    for n in 2..=5 {
        facts.extend(connect(n));
        facts.push(begin("router", n));
    }
    facts.extend(unreachable(6));
    facts.push(give_up("router", 6, "its host is unreachable"));
    let text = "starting\n\tport 80 \u{1b}[1mis taken\n".to_owned();
    facts.push(Fact::StepOutput {
        id: id("router", 3),
        text,
    });
    facts.push(end("router", 2, StepResult::Succeeded));
    facts.push(end("router", 3, StepResult::Failed { status: 3 }));
    let why = "the host rebooted".to_owned();
    facts.push(end("router", 4, StepResult::Unknown { why }));
    let holder = "ann@desk, run 20261121-0001, step router, since 01:02:03".to_owned();
    facts.push(end("router", 5, StepResult::Locked { holder }));
    facts.push(stage_end("router", 3));
    for (step, on) in [("uaa", 7), ("dea_ng", 2), ("dea_ng", 8)] {
        facts.push(give_up(step, on, "an earlier stage failed: router"));
    }
    facts.push(stage_end("uaa", 0));
    facts.push(stage_end("dea_ng", 0));
    facts.push(over(1, 1, 3, 4));
    state_after(facts)
}

#[test]
fn the_account_of_a_run_in_which_much_went_wrong() {
    let state = mixed_run();
    insta::assert_snapshot!(summary(&state, false));
    assert_eq!(Outcome::of(&state), Outcome::Failed);
}

#[test]
fn colours_change_nothing_but_colours() {
    let state = mixed_run();
    let coloured = summary(&state, true);
    assert!(coloured.contains("\u{1b}[31m"));
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(stripped, summary(&state, false));
}

/// One router on one host with the given facts after the stage began.
fn small_run(facts: Vec<Fact>) -> RunState {
    let plan = vec![
        run("router", 1, vec![Reason::New]),
        run("uaa", 2, vec![Reason::New]),
    ];
    let mut all = vec![started(plan)];
    all.extend(connect(1));
    all.push(stage("router"));
    all.extend(facts);
    state_after(all)
}

#[test]
fn every_end_has_its_judgement_code_and_next_thing_to_do() {
    let alone = |result: StepResult, failed: usize| {
        vec![
            begin("router", 1),
            end("router", 1, result),
            stage_end("router", failed),
            give_up("uaa", 2, "an earlier stage failed: router"),
            stage_end("uaa", 0),
        ]
    };
    let done = vec![
        begin("router", 1),
        end("router", 1, StepResult::Succeeded),
        stage_end("router", 0),
        stage("uaa"),
    ];
    let with = |mut facts: Vec<Fact>, more: Vec<Fact>| {
        facts.extend(more);
        facts
    };
    let [connecting, connected] = connect(2);
    let [trying, lost] = unreachable(2);
    let cancel = |times| Fact::CancelRequested {
        times,
        by: "Ctrl-C".into(),
    };
    let finish_uaa = || {
        vec![
            connecting.clone(),
            connected.clone(),
            begin("uaa", 2),
            end("uaa", 2, StepResult::Succeeded),
            stage_end("uaa", 0),
            over(2, 0, 0, 0),
        ]
    };
    let holder = || StepResult::Locked {
        holder: "ann@desk".to_owned(),
    };
    let cases = [
        (Outcome::Done, 0, with(done.clone(), finish_uaa())),
        // Asked for too late: everything was done all the same.
        (
            Outcome::Done,
            0,
            with(vec![cancel(1)], with(done.clone(), finish_uaa())),
        ),
        (
            Outcome::Failed,
            1,
            with(
                alone(StepResult::Failed { status: 1 }, 1),
                vec![over(0, 0, 1, 1)],
            ),
        ),
        (
            Outcome::Unreachable,
            3,
            with(
                done,
                vec![
                    trying,
                    lost,
                    give_up("uaa", 2, "its host is unreachable"),
                    stage_end("uaa", 0),
                    over(1, 0, 0, 1),
                ],
            ),
        ),
        (
            Outcome::Locked,
            4,
            with(alone(holder(), 1), vec![over(0, 0, 1, 1)]),
        ),
        (
            Outcome::Cancelled,
            130,
            with(
                vec![cancel(1), cancel(2)],
                with(
                    alone(
                        StepResult::Cancelled {
                            by: "ada at desk".into(),
                        },
                        1,
                    ),
                    vec![over(0, 0, 1, 1)],
                ),
            ),
        ),
        // A journal that ends in the middle.
        (Outcome::Failed, 1, vec![begin("router", 1)]),
    ];
    let mut texts = String::new();
    for (outcome, code, facts) in cases {
        let state = small_run(facts);
        assert_eq!(Outcome::of(&state), outcome);
        assert_eq!(outcome.code(), code);
        texts.push_str(&format!("=== {outcome:?}\n{}", summary(&state, false)));
    }
    insta::assert_snapshot!(texts);
}

#[test]
fn a_plan_names_every_reason() {
    let changed = |name: &str, from: Option<&str>, to: Option<&str>, line: Option<u32>| {
        Reason::ValueChanged {
            name: name.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            place: line.map(|line| Place::new(line, 7)),
            provider: None,
        }
    };
    let s = str::to_owned;
    let steps = [
        run("nats", 1, vec![Reason::New]),
        skip("router", 22),
        run(
            "cloud_controller_ng",
            3,
            vec![
                changed(
                    "nats_ip",
                    Some("10.1.59.160"),
                    Some("10.1.59.161"),
                    Some(24),
                ),
                changed("db_password", None, None, Some(30)),
                changed("zone", None, Some("east"), None),
                changed("old", Some(""), None, None),
                changed(
                    "motd",
                    Some("two\nlines"),
                    Some(&"long ".repeat(40)),
                    Some(31),
                ),
                Reason::ScriptChanged,
            ],
        ),
        run("uaa", 4, vec![Reason::Asked { what: s("forced") }]),
        run("dea_ng", 5, vec![Reason::LastFailed { status: 3 }]),
        run(
            "dea_ng",
            6,
            vec![Reason::Unhealthy {
                why: s("nothing listens on port 8080"),
            }],
        ),
        run(
            "dea_ng",
            7,
            vec![Reason::StateUnknown {
                why: s("--offline"),
            }],
        ),
    ];
    insta::assert_snapshot!(plan_text(&steps, "config/cluster.yml", false));
}

#[test]
fn a_plan_of_nothing_and_of_one() {
    assert_eq!(
        plan_text(&[], "c.yml", false),
        "0 steps: 0 to run, 0 to skip\n"
    );
    insta::assert_snapshot!(plan_text(&[skip("a", 1)], "c.yml", false));
}

#[test]
fn a_status_is_a_table_as_wide_as_its_content() {
    let receipt = |status, operator: &str| {
        Some(ReceiptSummary {
            status,
            finished: "2026-11-21T01:02:03.456Z".parse().unwrap(),
            run: "20261121-7f3a".to_owned(),
            operator: operator.to_owned(),
        })
    };
    let row = |step: &str, on: &str, receipt, health| StatusRow {
        step: step.to_owned(),
        host: on.parse().unwrap(),
        receipt,
        health,
    };
    let s = str::to_owned;
    let narrow = [row(
        "nats",
        "10.0.0.1",
        receipt(Some(0), "me"),
        Health::Healthy,
    )];
    let wide = [
        row("nats", "10.0.0.1", receipt(Some(0), "me"), Health::Healthy),
        row(
            "uaa_cc_postgres.cloud_controller_ng",
            "fd00:1:2:3:4:5:6:7",
            receipt(Some(137), "ann.of.operations"),
            Health::Unhealthy(s(
                "GET /info on port 8181: connection refused\nsee its log\n",
            )),
        ),
        row(
            "router",
            "10.0.0.2",
            receipt(None, "me"),
            Health::Unknown(s("no answer in 10 s")),
        ),
        row(
            "uaa",
            "10.0.0.3",
            None,
            Health::Unhealthy(s("\u{1b}[2Jhostile")),
        ),
    ];
    let texts = [&narrow[..], &wide[..], &[]]
        .map(|rows| status_text(rows, &TimeZone::UTC, false))
        .join("---\n");
    insta::assert_snapshot!(texts);
}

#[test]
fn equal_outputs_are_shown_once_and_the_odd_ones_last() {
    let result = |on, end, output: &str| ExecResult {
        host: host(on),
        end,
        output: output.to_owned(),
    };
    let results = [
        result(1, ExecEnd::Exited(1), "no such file\n"),
        result(2, ExecEnd::Exited(0), "Debian 12\n\tbookworm\n"),
        result(3, ExecEnd::Exited(0), "Debian 12\n\tbookworm\n\n"),
        result(4, ExecEnd::Unreachable("no answer".to_owned()), ""),
        result(5, ExecEnd::Exited(0), "Debian 12\n\tbookworm"),
        result(6, ExecEnd::Exited(1), "Debian 12\n\tbookworm\n"),
        result(7, ExecEnd::Exited(0), ""),
    ];
    insta::assert_snapshot!(exec_text(&results, false));
    assert_eq!(exec_text(&[], false), "");
}

#[test]
fn runs_are_listed_with_what_became_of_them() {
    let facts = |facts: Vec<Fact>| {
        let mut state = RunState::new();
        for fact in facts {
            let event = Event {
                time: jiff::Timestamp::UNIX_EPOCH,
                elapsed_ms: 5_300,
                run: "r1".to_owned(),
                fact,
            };
            state.apply(&event).unwrap();
        }
        state
    };
    let begun = || Fact::RunStarted {
        cluster: "demo".into(),
        operation: "build".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
        steps: Vec::new(),
    };
    let over = Fact::RunFinished {
        succeeded: 0,
        skipped: 0,
        failed: 0,
        not_started: 0,
    };
    let row = |run: &str, state, live, torn| RunRow {
        run: run.into(),
        state,
        live,
        watched: false,
        torn,
    };
    let rows = [
        row("r0", None, false, false),
        row("r1", Some(facts(vec![begun(), over])), false, false),
        row("r2", Some(facts(vec![begun()])), false, true),
        row("r3", Some(facts(vec![begun()])), true, false),
    ];
    insta::assert_snapshot!(runs_text(&rows, &TimeZone::UTC, false));
}
