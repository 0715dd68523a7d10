//! The engine against a scripted transport: lost connections, silence, other runs, cancelling.

mod common;

use common::fleet::*;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use paas_cluster_build::engine::{Cancel, Limits, Outcome};
use paas_cluster_build::event::{Event, Fact, StepResult};
use paas_cluster_build::plan::Mode;

#[test]
fn a_lost_connection_is_made_anew_and_reading_goes_on_with_the_next_byte() {
    // In the middle of a line, at its end, and before the first byte of what is left.
    let fleet = fleet([
        (1, "nats", Behaviour::CutAt(vec![2, 8, 14])),
        (1, "", Behaviour::ComesBack(2)),
    ]);
    let (outcome, events) = run(&fleet, &plan(vec![stage("nats", [1])]));
    assert_eq!(result(&outcome, "nats", 1), StepResult::Succeeded);
    let text: String = events.iter().filter_map(output_of).collect();
    assert_eq!(text, "one\ntwo\nthree\n");
    let asked = fleet.order.lock().unwrap().clone();
    let at = |rest: &str| format!("nats {}{rest}", address(1));
    assert_eq!(
        asked,
        [at(""), at(" from 2"), at(" from 8"), at(" from 14")],
        "it's started once"
    );
    let lost = |e: &&Event| matches!(e.fact, Fact::ConnectionLost { .. });
    assert_eq!(events.iter().filter(lost).count(), 3);
    assert_eq!(fleet.connects.load(Ordering::SeqCst), 1 + 2 + 3);
}

#[test]
fn a_host_that_does_not_come_back_in_time_is_unknown_never_success() {
    let fleet = fleet([
        (1, "nats", Behaviour::CutAt(vec![5])),
        (1, "", Behaviour::ComesBack(usize::MAX)),
    ]);
    let limits = Limits {
        reconnect: Duration::ZERO,
        ..Limits::default()
    };
    let stages = plan(vec![stage("nats", [1]), stage("uaa", [1])]);
    let (outcome, events) = run_limited(&fleet, &stages, limits, &Cancel::default());
    let StepResult::Unknown { why } = result(&outcome, "nats", 1) else {
        panic!("not unknown")
    };
    assert!(
        why.starts_with("still down") && why.contains("attach r1"),
        "{why}"
    );
    assert_eq!(outcome.not_started, 1);
    let text: String = events.iter().filter_map(output_of).collect();
    assert_eq!(text, "one\nt", "what had come isn't lost");
}

#[test]
fn a_silent_step_is_warned_about() {
    let fleet = fleet([(1, "nats", Behaviour::Silent(50))]);
    let limits = Limits {
        silence: Duration::ZERO,
        ..Limits::default()
    };
    let stages = plan(vec![stage("nats", [1])]);
    let (_, events) = run_limited(&fleet, &stages, limits, &Cancel::default());
    let silent = |e: &&Event| matches!(e.fact, Fact::StepSilent { .. });
    let warned = events.iter().filter(silent).count();
    assert!(
        (1..50).contains(&warned),
        "not at every sign of life: {warned}"
    );
    let patient = run(&fleet, &plan(vec![stage("nats", [1])])).1;
    assert_eq!(patient.iter().filter(silent).count(), 0);
}

#[test]
fn a_step_that_runs_already_is_joined_and_not_started() {
    let fleet = fleet([(1, "nats", Behaviour::CutAt(vec![4]))]);
    let mut joined = stage("nats", [1]);
    joined.steps[0].mode = Mode::Follow {
        run: "r0".into(),
        watch: false,
    };
    let (outcome, events) = run(&fleet, &plan(vec![joined]));
    assert_eq!(result(&outcome, "nats", 1), StepResult::Succeeded);
    let asked = fleet.order.lock().unwrap().clone();
    let at = |rest: &str| format!("nats {}{rest}", address(1));
    assert_eq!(asked, [at(" from 0"), at(" from 4")]);
    assert!(events.iter().any(|e| matches!(
        &e.fact,
        Fact::StepJoined { started_by, .. } if started_by == "r0"
    )));
}

#[test]
fn another_run_is_named() {
    let fleet = fleet([(1, "nats", Behaviour::Locked)]);
    let (outcome, _) = run(&fleet, &plan(vec![stage("nats", [1])]));
    assert!(outcome.is_locked());
    let StepResult::Locked { holder } = result(&outcome, "nats", 1) else {
        panic!("not locked")
    };
    assert_eq!(holder, "eve at far runs uaa there (run r9) since noon");
}

#[test]
fn cancelling_once_lets_running_steps_end_and_starts_no_more() {
    let fleet = fleet([(1, "nats", Behaviour::Stall)]);
    let cancel = Cancel::default();
    cancel.raise();
    let (outcome, _) = run_with(
        &fleet,
        &plan(vec![stage("nats", [1]), stage("uaa", [1])]),
        50,
        &cancel,
    );
    assert!(outcome.cancelled);
    assert_eq!((outcome.succeeded(), outcome.not_started), (0, 2));
}

/// Runs two stages of which the first stalls, and raises the level so often once it does.
fn cancelled(fleet: &Arc<Fleet>, times: u32) -> Outcome {
    let cancel = Cancel::default();
    let raised = {
        let (cancel, fleet) = (cancel.clone(), fleet.clone());
        std::thread::spawn(move || {
            while fleet.at_once.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            // The engine hears of them all at once: else it may act on the second before the third.
            let held = fleet.gate.hold();
            (0..times).for_each(|_| {
                cancel.raise();
            });
            drop(held);
        })
    };
    let stages = plan(vec![stage("nats", [1]), stage("uaa", [1])]);
    let (outcome, _) = run_with(fleet, &stages, 50, &cancel);
    raised.join().unwrap();
    assert!(outcome.cancelled);
    assert_eq!(outcome.not_started, 1);
    outcome
}

#[test]
fn cancelling_twice_ends_the_running_step_on_its_host() {
    let fleet = fleet([(1, "nats", Behaviour::Stall)]);
    let outcome = cancelled(&fleet, 2);
    let by = "ada at desk in run r1".to_owned();
    assert_eq!(result(&outcome, "nats", 1), StepResult::Cancelled { by });
    let asked = fleet.order.lock().unwrap().clone();
    assert!(asked[1].ends_with("stop from 0"), "{asked:?}");
}

#[test]
fn cancelling_thrice_leaves_the_step_alone() {
    let fleet = fleet([(1, "nats", Behaviour::Stall)]);
    let outcome = cancelled(&fleet, 3);
    assert!(matches!(
        result(&outcome, "nats", 1),
        StepResult::Unknown { why } if why.contains("attach r1")
    ));
    assert_eq!(fleet.order.lock().unwrap().len(), 1, "nothing is ended");
}
