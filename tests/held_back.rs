//! A host whose turn hasn't come says why: in the events, on a terminal and in plain lines.

mod common;

use common::fleet::{Behaviour, fleet, plan, run, stage};
use indicatif::{InMemoryTerm, ProgressDrawTarget};
use jiff::tz::TimeZone;
use paas_cluster_build::event::{Event, Fact};
use paas_cluster_build::plan::Stage;
use paas_cluster_build::terminal::{Plain, Terminal};

/// The events of three routers, of which one after the other may be down.
fn rolled(change: impl FnOnce(&mut Stage)) -> Vec<Event> {
    let mut routers = stage("router", [1, 2, 3]);
    change(&mut routers);
    let fleet = fleet([(1, "router", Behaviour::Print(vec![b"restarting\n"]))]);
    run(&fleet, &plan(vec![routers])).1
}

fn held(events: &[Event]) -> Vec<(String, Vec<String>)> {
    let held = events.iter().filter_map(|event| match &event.fact {
        Fact::StepsHeld { why, steps, .. } => Some((why, steps)),
        _ => None,
    });
    held.map(|(why, steps)| {
        let hosts = steps.iter().map(|id| id.host.to_string());
        (why.clone(), hosts.collect())
    })
    .collect()
}

#[test]
fn who_waits_for_min_up_max_in_flight_or_a_canary_is_told_with_the_reason() {
    let others = || vec!["127.0.1.2".to_owned(), "127.0.1.3".to_owned()];
    let told = held(&rolled(|stage| stage.room = Some(1)));
    let why = "min_up: 1 of router may be down at once".to_owned();
    assert_eq!(told, [(why, others())], "once, not for each that ends");
    let told = held(&rolled(|stage| stage.max_in_flight = Some(1)));
    assert_eq!(told, [("max_in_flight: 1 at once".to_owned(), others())]);
    let told = held(&rolled(|stage| stage.canaries = 1));
    assert_eq!(told, [("a canary goes first".to_owned(), others())]);
    assert_eq!(held(&rolled(|_| {})), [], "who needn't wait isn't held");
}

#[test]
fn a_terminal_and_plain_lines_show_who_is_held_back() {
    let events = rolled(|stage| stage.room = Some(1));
    let term = InMemoryTerm::new(24, 100);
    let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
    let mut terminal = Terminal::new(target, false);
    let mut lines = Vec::new();
    let mut plain = Plain::new(&mut lines, TimeZone::UTC);
    let upto = events
        .iter()
        .position(|event| matches!(event.fact, Fact::StepsHeld { .. }));
    for event in &events[..=upto.unwrap()] {
        terminal.event(event);
        plain.event(event);
    }
    let words = "held back, min_up: 1 of router may be down at once: 127.0.1.2, 127.0.1.3";
    assert!(term.contents().contains(words), "{}", term.contents());
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.contains(&format!("stage router: {words}")), "{lines}");
}
