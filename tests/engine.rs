//! The engine against a scripted transport: order, bounds, failures, outputs.

mod common;

use common::fleet::*;

use std::sync::atomic::Ordering;

use paas_cluster_build::engine::Cancel;
use paas_cluster_build::event::{Fact, StepResult};
use paas_cluster_build::plan::Decision;
use paas_cluster_build::transport::TransportErrorKind;

#[test]
fn stages_run_in_order_over_one_connection_a_host() {
    let fleet = fleet([]);
    let plan = plan(vec![
        stage("nats", [1, 2]),
        stage("router", [1, 2]),
        stage("uaa", [1]),
    ]);
    let (outcome, _) = run(&fleet, &plan);
    assert_eq!(outcome.succeeded(), 5);
    assert_eq!(fleet.connects.load(Ordering::SeqCst), 2);
    let order = fleet.order.lock().unwrap().clone();
    let stages: Vec<&str> = order
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(stages, ["nats", "nats", "router", "router", "uaa"]);
}

#[test]
fn a_failed_host_stops_later_stages_but_not_its_neighbours() {
    let fleet = fleet([(2, "nats", Behaviour::Exit(7))]);
    let (outcome, events) = run(
        &fleet,
        &plan(vec![stage("nats", 1..=5), stage("router", 1..=3)]),
    );
    assert_eq!(outcome.succeeded(), 4);
    assert_eq!(
        result(&outcome, "nats", 2),
        StepResult::Failed { status: 7 }
    );
    assert_eq!(outcome.not_started, 3);
    let reasons: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.fact {
            Fact::StepNotStarted { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["nats failed"; 3]);
}

#[test]
fn forks_and_max_in_flight_bound_what_runs_at_once() {
    let fleet_a = fleet([]);
    run_with(
        &fleet_a,
        &plan(vec![stage("nats", 1..=40)]),
        3,
        &Cancel::default(),
    );
    assert!(fleet_a.most_at_once.load(Ordering::SeqCst) <= 3);
    let fleet_b = fleet([]);
    let mut narrow = stage("nats", 1..=40);
    narrow.max_in_flight = Some(1);
    run(&fleet_b, &plan(vec![narrow]));
    assert_eq!(fleet_b.most_at_once.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failed_canary_spares_the_others() {
    let fleet = fleet([(1, "dea", Behaviour::Exit(1))]);
    let mut careful = stage("dea", 1..=10);
    careful.canaries = 2;
    let (outcome, _) = run(&fleet, &plan(vec![careful]));
    assert_eq!(outcome.succeeded(), 1, "the second canary");
    assert_eq!(outcome.not_started, 8);
}

#[test]
fn max_failures_stops_starting_more() {
    let fleet = fleet((1..=3).map(|last| (last, "dea", Behaviour::Exit(1))));
    let mut bounded = stage("dea", 1..=10);
    bounded.max_failures = Some(1);
    bounded.max_in_flight = Some(1);
    let (outcome, _) = run(&fleet, &plan(vec![bounded]));
    assert_eq!((outcome.failed(), outcome.not_started), (2, 8));
}

#[test]
fn an_unreachable_host_is_told_once_and_its_steps_not_started() {
    let fleet = fleet([(2, "", Behaviour::Unreachable(TransportErrorKind::Auth))]);
    let (outcome, events) = run(&fleet, &plan(vec![stage("nats", 1..=3), stage("uaa", [2])]));
    assert_eq!(outcome.unreachable.len(), 1);
    assert_eq!(
        outcome.unreachable[&address(2)].kind,
        TransportErrorKind::Auth
    );
    assert_eq!((outcome.succeeded(), outcome.not_started), (2, 2));
    let told = events
        .iter()
        .filter(|e| matches!(e.fact, Fact::HostUnreachable { .. }))
        .count();
    assert_eq!(told, 1);
}

#[test]
fn output_is_made_safe_and_secrets_are_blotted_out() {
    let pieces: Vec<&[u8]> = vec![b"pass=hun", b"ter2 \x1b[31mred\n"];
    let fleet = fleet([(1, "nats", Behaviour::Print(pieces))]);
    let (_, events) = run(&fleet, &plan(vec![stage("nats", [1])]));
    let text: String = events.iter().filter_map(output_of).collect();
    assert_eq!(text, "pass=[secret] ␛[31mred\n");
}

#[test]
fn skipped_steps_touch_nothing() {
    let fleet = fleet([]);
    let mut quiet = stage("nats", 1..=3);
    for step in &mut quiet.steps {
        step.decision = Decision::Skip("unchanged".into());
    }
    let (outcome, _) = run(&fleet, &plan(vec![quiet]));
    assert_eq!(outcome.skipped, 3);
    assert_eq!(fleet.connects.load(Ordering::SeqCst), 0);
}
