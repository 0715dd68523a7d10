//! The state machine of a run against an independent, slow and simple check of what is legal.

use std::net::{IpAddr, Ipv4Addr};

use paas_cluster_build::event::{Event, Fact, PlannedStep, StepResult};
use paas_cluster_build::plan::{Decision, Reason, StepId};
use paas_cluster_build::run_state::RunState;
use proptest::prelude::*;

fn host(n: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, n).into()
}

fn events(facts: Vec<Fact>) -> Vec<Event> {
    let stamp = |(i, fact)| Event {
        time: jiff::Timestamp::UNIX_EPOCH,
        elapsed_ms: i as u64 * 10,
        run: "r1".to_owned(),
        fact,
    };
    facts.into_iter().enumerate().map(stamp).collect()
}

fn run_started(steps: Vec<PlannedStep>) -> Fact {
    Fact::RunStarted {
        cluster: "test".to_owned(),
        operation: "build".to_owned(),
        operator: "me".to_owned(),
        workstation: "here".to_owned(),
        steps,
    }
}

/// Plays a run with the given choices, as an engine with two forks could have sent it.
fn legal_run(steps: Vec<PlannedStep>, mut choose: impl FnMut(u8) -> u8) -> Vec<Event> {
    let mut out = vec![run_started(steps.clone())];
    let mut connected: Vec<IpAddr> = Vec::new();
    let mut gone: Vec<IpAddr> = Vec::new();
    let [mut succeeded, mut skipped, mut failed, mut not_started] = [0; 4];
    let mut stages: Vec<&str> = steps.iter().map(|s| s.stage.as_str()).collect();
    stages.dedup();
    let mut cancels = 0;
    let extra = |(i, stage): (usize, &&str)| PlannedStep {
        stage: (*stage).to_owned(),
        id: StepId {
            step: "found".to_owned(),
            host: host(90 + i as u8),
        },
        decision: Decision::Run(vec![Reason::New]),
    };
    let extras: Vec<PlannedStep> = stages.iter().enumerate().map(extra).collect();
    for stage in stages {
        let mut waiting: Vec<&PlannedStep> = steps.iter().filter(|s| s.stage == stage).collect();
        let mut running: Vec<&PlannedStep> = Vec::new();
        let mut stage_failed = 0;
        let all_skipped = waiting
            .iter()
            .all(|s| matches!(s.decision, Decision::Skip(_)));
        if !all_skipped {
            let stage = stage.to_owned();
            out.push(Fact::StageStarted { stage });
            if choose(4) == 0 {
                let found = extras.iter().find(|s| s.stage == waiting[0].stage).unwrap();
                out.push(Fact::StepsFound {
                    steps: vec![found.clone()],
                });
                waiting.push(found);
            }
        }
        while !waiting.is_empty() || !running.is_empty() {
            if choose(8) == 0 && !all_skipped {
                let held = waiting.iter();
                let held = held.filter(|s| matches!(s.decision, Decision::Run(_)));
                out.push(Fact::StepsHeld {
                    stage: stage.to_owned(),
                    why: "min_up".to_owned(),
                    steps: held.map(|s| s.id.clone()).collect(),
                });
            }
            if choose(20) == 0 {
                cancels += 1;
                let by = "Ctrl-C".to_owned();
                out.push(Fact::CancelRequested { times: cancels, by });
            }
            let take_new =
                running.is_empty() || (!waiting.is_empty() && running.len() < 2 && choose(2) == 0);
            if take_new {
                let step = waiting.remove(usize::from(choose(waiting.len() as u8)));
                let (id, on) = (step.id.clone(), step.id.host);
                let reason = "because".to_owned();
                if matches!(step.decision, Decision::Skip(_)) && choose(4) > 0 {
                    skipped += 1;
                    out.push(Fact::StepSkipped { id, reason });
                    continue;
                }
                let given_up =
                    matches!(step.decision, Decision::Skip(_)) || gone.contains(&on) || failed > 2;
                if given_up {
                    not_started += 1;
                    stage_failed += usize::from(gone.contains(&on));
                    out.push(Fact::StepNotStarted { id, reason });
                    continue;
                }
                if !connected.contains(&on) && choose(5) == 0 {
                    // Its connection stands from the run before.
                    connected.push(on);
                } else if !connected.contains(&on) {
                    out.push(Fact::HostConnecting { host: on });
                    if choose(6) == 0 {
                        let (kind, error) = ("refused".to_owned(), "no".to_owned());
                        out.push(Fact::HostUnreachable {
                            host: on,
                            kind,
                            error,
                        });
                        gone.push(on);
                        waiting.push(step);
                        continue;
                    }
                    out.push(Fact::HostConnected { host: on });
                    connected.push(on);
                }
                if choose(3) == 0 {
                    let (sent, total, id) = (5, 10, id.clone());
                    out.push(Fact::UploadProgress { id, sent, total });
                }
                out.push(Fact::StepStarted { id });
                running.push(step);
            } else {
                let at = usize::from(choose(running.len() as u8));
                let id = running[at].id.clone();
                if choose(2) == 0 {
                    let who = "somebody".to_owned();
                    match choose(8) {
                        0 => out.push(Fact::StepJoined {
                            id,
                            started_by: who,
                        }),
                        1 => out.push(Fact::StepWaiting { id, holder: who }),
                        2 => out.push(Fact::StepTookOver { id, holder: who }),
                        3 => out.push(Fact::StepSilent { id, seconds: 60 }),
                        4 => out.push(Fact::OutputDropped { id, bytes: 9 }),
                        5 => {
                            let (host, error) = (id.host, "cut".to_owned());
                            out.push(Fact::ConnectionLost { host, error });
                            out.push(Fact::HostConnecting { host });
                            out.push(Fact::HostConnected { host });
                        }
                        _ => {
                            let text = "some\noutput".to_owned();
                            out.push(Fact::StepOutput { id, text });
                        }
                    }
                    continue;
                }
                running.remove(at);
                let result = match choose(8) {
                    0 => StepResult::Failed { status: 1 },
                    1 => StepResult::Unknown {
                        why: "lost".to_owned(),
                    },
                    2 => StepResult::Locked {
                        holder: "you".to_owned(),
                    },
                    _ => StepResult::Succeeded,
                };
                match result {
                    StepResult::Succeeded => succeeded += 1,
                    _ => {
                        failed += 1;
                        stage_failed += 1;
                    }
                }
                let took_ms = 7;
                out.push(Fact::StepFinished {
                    id,
                    result,
                    took_ms,
                });
            }
        }
        let stage = stage.to_owned();
        out.push(Fact::StageFinished {
            stage,
            failed: stage_failed,
        });
    }
    out.push(Fact::RunFinished {
        succeeded,
        skipped,
        failed,
        not_started,
    });
    events(out)
}

/// What last happened to a step, found by looking back through all events.
fn last_of<'a>(past: &'a [Event], id: &StepId) -> Option<&'a Fact> {
    past.iter().rev().map(|e| &e.fact).find(|fact| match fact {
        Fact::StepSkipped { id: i, .. }
        | Fact::StepStarted { id: i }
        | Fact::StepFinished { id: i, .. }
        | Fact::StepNotStarted { id: i, .. } => i == id,
        _ => false,
    })
}

fn link_of(past: &[Event], host: IpAddr) -> Option<&Fact> {
    past.iter().rev().map(|e| &e.fact).find(|fact| match fact {
        Fact::HostConnecting { host: h }
        | Fact::HostConnected { host: h }
        | Fact::ConnectionLost { host: h, .. }
        | Fact::HostUnreachable { host: h, .. } => *h == host,
        _ => false,
    })
}

fn count(past: &[Event], of: impl Fn(&Fact) -> bool) -> usize {
    past.iter().filter(|e| of(&e.fact)).count()
}

fn failed_in(past: &[Event], mine: impl Fn(&StepId) -> bool) -> usize {
    count(past, |f| {
        matches!(f, Fact::StepFinished { id, result, .. }
            if *result != StepResult::Succeeded && mine(id))
    })
}

/// Tells by rereading the whole past whether an event may follow it. Nothing is folded here.
fn may_follow(past: &[Event], event: &Event) -> bool {
    let Some(first) = past.first() else {
        return matches!(event.fact, Fact::RunStarted { .. });
    };
    if !matches!(first.fact, Fact::RunStarted { .. }) {
        return false;
    }
    let announced = past.iter().filter_map(|e| match &e.fact {
        Fact::RunStarted { steps, .. } | Fact::StepsFound { steps } => Some(steps),
        _ => None,
    });
    let steps: Vec<&PlannedStep> = announced.flatten().collect();
    if count(past, |f| matches!(f, Fact::RunFinished { .. })) > 0 {
        return false;
    }
    let running = |id: &StepId| matches!(last_of(past, id), Some(Fact::StepStarted { .. }));
    let ended = |id: &StepId| last_of(past, id).is_some() && !running(id);
    let stage_steps_ended = |stage: &str| {
        let mut of_stage = steps.iter().filter(|s| s.stage == stage);
        of_stage.all(|s| ended(&s.id))
    };
    let begun = |stage: &str| {
        count(
            past,
            |f| matches!(f, Fact::StageStarted { stage: s } if s == stage),
        ) > 0
    };
    let closed = |stage: &str| {
        count(
            past,
            |f| matches!(f, Fact::StageFinished { stage: s, .. } if s == stage),
        ) > 0
    };
    let some_stage_open = || steps.iter().any(|s| begun(&s.stage) && !closed(&s.stage));
    let planned = |id: &StepId| steps.iter().copied().find(|s| s.id == *id);
    let busy = |host: IpAddr| steps.iter().any(|s| s.id.host == host && running(&s.id));
    let startable = |id: &StepId| {
        planned(id).is_some_and(|s| {
            matches!(s.decision, Decision::Run(_)) && begun(&s.stage) && !closed(&s.stage)
        }) && last_of(past, id).is_none()
            && matches!(
                link_of(past, id.host),
                None | Some(Fact::HostConnected { .. })
            )
            && !busy(id.host)
    };
    match &event.fact {
        Fact::RunStarted { .. } => false,
        Fact::HostConnecting { host } | Fact::HostUnreachable { host, .. }
            if !steps.iter().any(|s| s.id.host == *host) =>
        {
            false
        }
        Fact::HostConnecting { host } => match link_of(past, *host) {
            None | Some(Fact::HostConnected { .. }) => !busy(*host),
            last => matches!(
                last,
                Some(Fact::HostUnreachable { .. } | Fact::ConnectionLost { .. })
            ),
        },
        Fact::HostConnected { host } => {
            matches!(link_of(past, *host), Some(Fact::HostConnecting { .. }))
        }
        Fact::HostUnreachable { host, .. } => {
            !matches!(link_of(past, *host), Some(Fact::HostUnreachable { .. }))
        }
        Fact::StageStarted { stage } => {
            !begun(stage)
                && !closed(stage)
                && !some_stage_open()
                && steps
                    .iter()
                    .take_while(|s| s.stage != *stage)
                    .all(|earlier| stage_steps_ended(&earlier.stage))
        }
        Fact::StageFinished { stage, failed } => {
            let mine = |id: &StepId| planned(id).is_some_and(|s| s.stage == *stage);
            let failures = failed_in(past, mine);
            let held_up = count(
                past,
                |f| matches!(f, Fact::StepNotStarted { id, .. } if mine(id)),
            );
            let counts = failures..=failures + held_up;
            !closed(stage) && stage_steps_ended(stage) && counts.contains(failed)
        }
        Fact::StepsHeld {
            stage, steps: held, ..
        } => {
            let waits = |id: &StepId| {
                planned(id)
                    .is_some_and(|s| s.stage == *stage && matches!(s.decision, Decision::Run(_)))
                    && last_of(past, id).is_none()
            };
            begun(stage) && !closed(stage) && held.iter().all(waits)
        }
        Fact::StepSkipped { id, .. } => {
            last_of(past, id).is_none()
                && planned(id).is_some_and(|s| matches!(s.decision, Decision::Skip(_)))
        }
        Fact::StepNotStarted { id, .. } => planned(id).is_some() && last_of(past, id).is_none(),
        Fact::StepStarted { id } => startable(id),
        Fact::UploadProgress { id, .. } => running(id) || startable(id),
        Fact::ConnectionLost { host, .. } => {
            busy(*host)
                && matches!(
                    link_of(past, *host),
                    None | Some(Fact::HostConnected { .. })
                )
        }
        Fact::StepOutput { id, .. }
        | Fact::StepJoined { id, .. }
        | Fact::StepWaiting { id, .. }
        | Fact::StepTookOver { id, .. }
        | Fact::StepFoundDone { id, .. }
        | Fact::StepSilent { id, .. }
        | Fact::OutputDropped { id, .. }
        | Fact::StepFinished { id, .. } => running(id),
        Fact::StepsFound { steps: found } => found.iter().enumerate().all(|(i, step)| {
            planned(&step.id).is_none()
                && !closed(&step.stage)
                && found[..i].iter().all(|other| other.id != step.id)
        }),
        Fact::CancelRequested { times, .. } => {
            *times as usize == 1 + count(past, |f| matches!(f, Fact::CancelRequested { .. }))
        }
        Fact::RunFinished {
            succeeded,
            skipped,
            failed,
            not_started,
        } => {
            let ends = count(past, |f| matches!(f, Fact::StepFinished { .. }));
            let skips = count(past, |f| matches!(f, Fact::StepSkipped { .. }));
            let given_up = count(past, |f| matches!(f, Fact::StepNotStarted { .. }));
            let failures = failed_in(past, |_| true);
            steps.iter().all(|s| ended(&s.id))
                && !some_stage_open()
                && [*succeeded, *skipped, *failed, *not_started]
                    == [ends - failures, skips, failures, given_up]
        }
    }
}

/// Applies all events; each must be taken exactly if it may follow those that were taken.
fn agrees_with_check(events: &[Event]) -> Result<(), TestCaseError> {
    let mut state = RunState::new();
    let mut taken: Vec<Event> = Vec::new();
    for event in events {
        let expected = may_follow(&taken, event);
        let before = state.clone();
        match state.apply(event) {
            Ok(()) => {
                prop_assert!(expected, "taken, but illegal: {event:?}");
                taken.push(event.clone());
            }
            Err(error) => {
                prop_assert!(!expected, "refused, but legal: {event:?}: {error}");
                prop_assert_eq!(&before, &state, "a refused event left a trace");
            }
        }
    }
    Ok(())
}

fn plans() -> impl Strategy<Value = Vec<PlannedStep>> {
    let stage = prop::collection::vec(prop::option::weighted(0.8, any::<bool>()), 1..4);
    prop::collection::vec(stage, 1..4).prop_map(|stages| {
        let mut steps = Vec::new();
        for (s, hosts) in stages.into_iter().enumerate() {
            for (h, runs) in hosts.into_iter().enumerate() {
                let Some(runs) = runs else { continue };
                steps.push(PlannedStep {
                    stage: format!("stage{s}"),
                    id: StepId {
                        step: format!("step{s}"),
                        host: host(h as u8 + 1),
                    },
                    decision: match runs {
                        true => Decision::Run(vec![Reason::New]),
                        false => Decision::Skip("unchanged".to_owned()),
                    },
                });
            }
        }
        steps
    })
}

fn runs() -> impl Strategy<Value = Vec<Event>> {
    (plans(), prop::collection::vec(any::<u8>(), 200)).prop_map(|(steps, bytes)| {
        let mut bytes = bytes.into_iter().cycle();
        // The cycle could repeat a choice that never ends a step; the counter breaks that.
        let mut asked = 0u8;
        legal_run(steps, move |below| {
            asked = asked.wrapping_add(1);
            bytes.next().unwrap_or(0).wrapping_add(asked / 200) % below
        })
    })
}

#[derive(Debug, Clone)]
enum Mutation {
    Swap(prop::sample::Index, prop::sample::Index),
    Drop(prop::sample::Index),
    Duplicate(prop::sample::Index, prop::sample::Index),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), at()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        at().prop_map(Mutation::Drop),
        (at(), at()).prop_map(|(a, b)| Mutation::Duplicate(a, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_legal_run_is_accepted(run in runs()) {
        let mut state = RunState::new();
        for event in &run {
            prop_assert_eq!(state.apply(event), Ok(()), "{:?}", event);
        }
        prop_assert!(state.is_over());
        let counts = state.counts();
        prop_assert_eq!(counts.ended(), counts.total);
        agrees_with_check(&run)?;
    }

    #[test]
    fn mutated_runs_are_taken_exactly_where_they_are_legal(
        run in runs(),
        mutations in prop::collection::vec(mutations(), 1..4),
    ) {
        let mut run = run;
        for mutation in mutations {
            let len = run.len();
            match mutation {
                _ if len == 0 => {}
                Mutation::Swap(a, b) => run.swap(a.index(len), b.index(len)),
                Mutation::Drop(a) => { run.remove(a.index(len)); }
                Mutation::Duplicate(a, b) => {
                    let copy = run[a.index(len)].clone();
                    run.insert(b.index(len), copy);
                }
            }
        }
        agrees_with_check(&run)?;
    }
}

/// One step on one host, up to the given fact.
fn started(also: Vec<Fact>) -> (RunState, Vec<Event>) {
    let id = StepId {
        step: "nats".to_owned(),
        host: host(1),
    };
    let step = |name: &str| PlannedStep {
        stage: name.to_owned(),
        id: StepId {
            step: name.to_owned(),
            host: host(1),
        },
        decision: Decision::Run(vec![Reason::New]),
    };
    let mut facts = vec![
        run_started(vec![step("nats"), step("router")]),
        Fact::HostConnecting { host: host(1) },
        Fact::HostConnected { host: host(1) },
        Fact::StageStarted {
            stage: "nats".to_owned(),
        },
        Fact::StepStarted { id },
    ];
    let given = facts.len();
    facts.extend(also);
    let mut all = events(facts);
    let rest = all.split_off(given);
    let mut state = RunState::new();
    for event in &all {
        state.apply(event).unwrap();
    }
    (state, rest)
}

#[test]
fn an_illegal_event_is_named_with_the_state_that_forbids_it() {
    let nats = StepId {
        step: "nats".to_owned(),
        host: host(1),
    };
    let router = StepId {
        step: "router".to_owned(),
        host: host(1),
    };
    let ghost = StepId {
        step: "ghost".to_owned(),
        host: host(1),
    };
    let text = String::new;
    let (mut state, impossible) = started(vec![
        Fact::StepStarted { id: ghost },
        Fact::StepStarted { id: nats.clone() },
        Fact::StepStarted { id: router.clone() },
        Fact::StepOutput {
            id: router,
            text: text(),
        },
        Fact::StepSkipped {
            id: nats,
            reason: text(),
        },
        Fact::StageStarted {
            stage: "router".to_owned(),
        },
        Fact::StageFinished {
            stage: "nats".to_owned(),
            failed: 0,
        },
        Fact::HostConnecting { host: host(1) },
        Fact::HostConnected { host: host(9) },
        Fact::CancelRequested {
            times: 2,
            by: "Ctrl-C".into(),
        },
        Fact::RunFinished {
            succeeded: 2,
            skipped: 0,
            failed: 0,
            not_started: 0,
        },
    ]);
    let said: Vec<String> = impossible
        .iter()
        .map(|e| state.apply(e).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_running_step_has_age_and_tail_and_a_failed_one_is_listed() {
    let id = StepId {
        step: "nats".to_owned(),
        host: host(1),
    };
    let (mut state, rest) = started(vec![
        Fact::StepOutput {
            id: id.clone(),
            text: "one\ntw".to_owned(),
        },
        Fact::StepOutput {
            id: id.clone(),
            text: "o\n".to_owned(),
        },
        Fact::StepFinished {
            id: id.clone(),
            result: StepResult::Failed { status: 7 },
            took_ms: 30,
        },
    ]);
    state.apply(&rest[0]).unwrap();
    state.apply(&rest[1]).unwrap();
    let running = state.running(1_040);
    assert_eq!(running.len(), 1);
    assert_eq!((&running[0].0.id, running[0].1), (&id, 1_000));
    assert_eq!(running[0].0.tail.last_line(), Some("two"));
    state.apply(&rest[2]).unwrap();
    assert!(state.running(2_000).is_empty());
    assert_eq!(state.failed().map(|s| &s.id).collect::<Vec<_>>(), [&id]);
}
