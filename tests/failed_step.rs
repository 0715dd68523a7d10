//! What is shown of a step that failed: its own last words, what its services said meanwhile, and
//! what differs from the run in which it last went well.

mod common;

use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::event::{Event, Fact, PlannedStep, StepResult};
use paas_cluster_build::plan::{Decision, Reason, StepId};
use paas_cluster_build::report::{SummaryContext, plan_text, summary_text};
use paas_cluster_build::run_state::RunState;

fn id() -> StepId {
    StepId {
        step: "page".into(),
        host: "10.0.0.7".parse().unwrap(),
    }
}

fn workers() -> Reason {
    Reason::ValueChanged {
        name: "workers".into(),
        from: Some("1".into()),
        to: Some("many".into()),
        place: Some(Place::new(16, 5)),
        provider: None,
    }
}

/// The account of a run whose only step printed this and failed.
fn account(reasons: Vec<Reason>, output: &[&str]) -> String {
    let mut facts = vec![
        Fact::RunStarted {
            cluster: "demo".into(),
            operation: "build".into(),
            operator: "ada".into(),
            workstation: "desk".into(),
            steps: vec![PlannedStep {
                stage: "page".into(),
                id: id(),
                decision: Decision::Run(reasons),
            }],
        },
        Fact::HostConnecting { host: id().host },
        Fact::HostConnected { host: id().host },
        Fact::StageStarted {
            stage: "page".into(),
        },
        Fact::StepStarted { id: id() },
    ];
    facts.extend(output.iter().map(|text| Fact::StepOutput {
        id: id(),
        text: (*text).to_owned(),
    }));
    facts.push(Fact::StepFinished {
        id: id(),
        result: StepResult::Failed { status: 1 },
        took_ms: 1500,
    });
    let mut state = RunState::new();
    for fact in facts {
        let event = Event {
            time: jiff::Timestamp::UNIX_EPOCH,
            elapsed_ms: 0,
            run: "r2".into(),
            fact,
        };
        state.apply(&event).unwrap();
    }
    summary_text(
        &state,
        &SummaryContext {
            resume: "paas-cluster-build",
            log: &|_| None,
            pointers: &|_| Vec::new(),
            file: "cluster.yml",
            colour: false,
        },
    )
}

#[test]
fn the_own_words_of_a_step_are_not_drowned_by_its_logs() {
    let logs: String = (1..=100)
        .map(|n| format!("page[{n}]: many isn't a number\n"))
        .collect();
    let said = account(
        vec![workers()],
        &[
            "starting\nerror: not healthy after 30 s\n",
            "=== what its services say\n--- the journal of page, since the step began\n",
            &logs,
        ],
    );
    let expected = "  page on 10.0.0.7 failed with exit status 1 (1.5s)\n    \
                    | starting\n    | error: not healthy after 30 s\n    : page[41]: many isn't a number\n";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("    : page[100]: many isn't a number\n    changed since the last good run: workers 1 → many, cluster.yml:16\n"), "{said}");
    assert!(!said.contains("page[40]"), "{said}");
}

#[test]
fn what_differs_is_counted_from_the_run_that_went_well() {
    let failed = Reason::LastFailed { status: 1 };
    let good = Reason::SinceGood {
        run: "r0".into(),
        differs: true,
    };
    let file = Reason::FileChanged {
        file: "jobs/page/page.sh".into(),
    };
    let said = account(vec![failed.clone(), good.clone(), file, workers()], &[]);
    assert!(
        said.contains("changed since the last good run: jobs/page/page.sh changed\n"),
        "{said}"
    );
    assert!(
        said.contains("changed since the last good run: workers 1 → many, cluster.yml:16\n"),
        "{said}"
    );
    // It never went well: what is known differs from the last run.
    let said = account(vec![failed.clone(), workers()], &[]);
    assert!(
        said.contains("changed since the last run: workers"),
        "{said}"
    );
    let said = account(vec![Reason::New], &[]);
    assert!(!said.contains("changed since"), "{said}");
    let step = PlannedStep {
        stage: "page".into(),
        id: id(),
        decision: Decision::Run(vec![failed, good, workers()]),
    };
    let plan = plan_text(&[step], "cluster.yml", false);
    for words in [
        "the last run of it failed with exit status 1",
        "it last went well in run r0; since then:",
        "value changed: workers 1 → many (cluster.yml:16)",
    ] {
        assert!(plan.contains(words), "{plan}");
    }
}
