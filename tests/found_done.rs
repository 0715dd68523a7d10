//! A step that another run did just the same after the plan had looked: it isn't run again.

mod common;

use std::fs;

use common::fleet::*;
use common::ground::*;
use common::step_request;
use paas_cluster_build::event::{Fact, StepResult};
use paas_cluster_build::transport::{StepEnd, StepRequest};

const MADE_OF: &str = r#"{"schema":1,"step":"nats","inputs":{"port":{"value":4222}}"#;

/// A request of a run, whose receipt says what the step is made of.
fn request<'a>(run: &'a str, script: &'a str, receipt: &'a str) -> StepRequest<'a> {
    StepRequest {
        receipt,
        settled_by: MADE_OF.len(),
        ..step_request(run, "nats", script)
    }
}

fn receipt(run: &str) -> String {
    format!(r#"{MADE_OF},"run":"{run}","script":"a \",\"stopped\":\" b""#)
}

#[test]
fn what_another_run_did_meanwhile_is_not_done_again() {
    let ground = Ground::new();
    let script = format!("echo ran >>'{}'\n", ground.path("../ran").display());
    let ran = || {
        fs::read_to_string(ground.path("../ran"))
            .unwrap()
            .lines()
            .count()
    };
    let (first, again, third) = (receipt("r1"), receipt("r2"), receipt("r3"));

    assert_eq!(
        ended(ground.open(), &request("r1", &script, &first)).0,
        StepEnd::Exited(0)
    );
    let (end, output) = ended(ground.open(), &request("r2", &script, &again));
    let holder = step_request("r1", "nats", "").holder.to_owned();
    assert_eq!((end, output), (StepEnd::FoundDone(holder), Vec::new()));
    assert_eq!(ran(), 1);
    assert_eq!(ground.receipt("nats")["run"], "r1", "its receipt stays");
    assert!(!ground.path("holder").exists());

    // Asked for whatever the host remembers.
    let forced = StepRequest {
        settled_by: 0,
        ..request("r3", &script, &third)
    };
    assert_eq!(ended(ground.open(), &forced).0, StepEnd::Exited(0));
    assert_eq!(ran(), 2);

    // Made of something else.
    let other = third.replace("4222", "4223");
    assert_eq!(
        ended(ground.open(), &request("r4", &script, &other)).0,
        StepEnd::Exited(0)
    );
    assert_eq!(ran(), 3);
    common::injected(3, "runs of a step between another's look and its start");
}

#[test]
fn what_failed_or_was_ended_meanwhile_is_done() {
    let ground = Ground::new();
    let receipts = [receipt("r1"), receipt("r2"), receipt("r3")];
    let failed = ended(ground.open(), &request("r1", "exit 3\n", &receipts[0]));
    assert_eq!(failed.0, StepEnd::Exited(3));
    // One that was ended and yet exits with 0.
    let stoppable = StepRequest {
        deadline: Some(std::time::Duration::from_secs(1)),
        ..request(
            "r2",
            "trap 'exit 0' TERM\nwhile :; do sleep 0.1; done\n",
            &receipts[1],
        )
    };
    let (end, _) = ended(ground.open(), &stoppable);
    assert!(matches!(end, StepEnd::Stopped { status: 0, .. }), "{end:?}");
    let (end, output) = ended(ground.open(), &request("r3", "echo done\n", &receipts[2]));
    assert_eq!((end, output), (StepEnd::Exited(0), b"done\n".to_vec()));
}

#[test]
fn the_operator_is_told_whose_it_was() {
    let fleet = fleet([(1, "nats", Behaviour::FoundDone)]);
    let (outcome, events) = run_with(
        &fleet,
        &plan(vec![stage("nats", [1])]),
        50,
        &paas_cluster_build::engine::Cancel::default(),
    );
    assert_eq!(result(&outcome, "nats", 1), StepResult::Succeeded);
    assert!(events.iter().any(|event| matches!(
        &event.fact,
        Fact::StepFoundDone { holder, .. } if holder.contains("eve")
    )));
}
