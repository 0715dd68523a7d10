//! The engine against a scripted transport: hosts that succeed, fail, stall, refuse and disconnect.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::engine::{Cancel, Engine, Limits, Outcome, event_channel};
use paas_cluster_build::event::{Event, Fact, StepResult};
use paas_cluster_build::model::{Host, HostKeyPolicy, SshConfig, SshSettings, Sudo};
use paas_cluster_build::plan::{Decision, Mode, Plan, Reason, RunIdentity, Stage, Step, StepId};
use paas_cluster_build::run_state::RunState;
use paas_cluster_build::script::{Upload, Values};
use paas_cluster_build::transport::{
    Connection, QueryOutput, StepCall, StepEnd, StepNews, StepRequest, StopReason, Transport,
    TransportError, TransportErrorKind,
};

/// What a scripted host does with a step of this name; anything else succeeds.
#[derive(Clone)]
enum Behaviour {
    Exit(i32),
    Print(Vec<&'static [u8]>),
    /// Loses the connection after these bytes of the output `one two three`, a line each.
    CutAt(Vec<usize>),
    /// Says so often that it's there, and nothing else.
    Silent(usize),
    Locked,
    Unreachable(TransportErrorKind),
    /// After the first connection refuses so many.
    ComesBack(usize),
    /// Runs until the connection is interrupted, or the host is told to end it.
    Stall,
}

/// A fleet of scripted hosts, with a record of what happened at once.
#[derive(Default)]
struct Fleet {
    behaviour: HashMap<(IpAddr, String), Behaviour>,
    connects: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    order: Mutex<Vec<String>>,
    gate: Gate,
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, |open| !*open).unwrap());
    }
}

struct Scripted {
    fleet: Arc<Fleet>,
    host: IpAddr,
}

struct FleetTransport(Arc<Fleet>);

impl Transport for FleetTransport {
    fn connect(&self, host: &Host, _: &Sudo) -> Result<Box<dyn Connection>, TransportError> {
        let before = self.0.connects.fetch_add(1, Ordering::SeqCst);
        if let Some(Behaviour::ComesBack(refused)) =
            self.0.behaviour.get(&(host.address, String::new()))
            && (1..=*refused).contains(&before)
        {
            return Err(TransportError {
                kind: TransportErrorKind::Refused,
                message: "still down".into(),
            });
        }
        if let Some(Behaviour::Unreachable(kind)) =
            self.0.behaviour.get(&(host.address, String::new()))
        {
            return Err(TransportError {
                kind: *kind,
                message: "scripted".into(),
            });
        }
        Ok(Box::new(Scripted {
            fleet: self.0.clone(),
            host: host.address,
        }))
    }
}

fn lost() -> TransportError {
    TransportError {
        kind: TransportErrorKind::Lost,
        message: "cut".into(),
    }
}

impl Connection for Scripted {
    fn query(&mut self, _: &str) -> Result<QueryOutput, TransportError> {
        Ok(QueryOutput {
            output: b"fact\n".to_vec(),
            status: 0,
        })
    }

    fn supervise(
        &mut self,
        call: &StepCall<'_>,
        on_news: &mut dyn FnMut(StepNews<'_>),
    ) -> Result<StepEnd, TransportError> {
        let fleet = &self.fleet;
        let (StepCall::Start(StepRequest { step, .. })
        | StepCall::Follow { step, .. }
        | StepCall::Stop { step, .. }) = call;
        let word = match call {
            StepCall::Start(_) => String::new(),
            StepCall::Follow { offset, .. } => format!(" from {offset}"),
            StepCall::Stop { offset, .. } => format!(" stop from {offset}"),
        };
        let now = fleet.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        fleet.most_at_once.fetch_max(now, Ordering::SeqCst);
        let line = format!("{step} {}{word}", self.host);
        fleet.order.lock().unwrap().push(line);
        let key = (self.host, (*step).to_owned());
        let end = match fleet.behaviour.get(&key) {
            Some(Behaviour::Exit(status)) => Ok(StepEnd::Exited(*status)),
            Some(Behaviour::Print(pieces)) => {
                pieces
                    .iter()
                    .for_each(|piece| on_news(StepNews::Output(piece)));
                Ok(StepEnd::Exited(0))
            }
            Some(Behaviour::CutAt(cuts)) => {
                // The host's file, of which each connection brings a piece.
                let (file, mut from) = (b"one\ntwo\nthree\n", 0);
                if let StepCall::Follow { offset, .. } = call {
                    from = *offset as usize;
                }
                match cuts.iter().find(|cut| **cut > from) {
                    Some(cut) => {
                        on_news(StepNews::Output(&file[from..*cut]));
                        Err(lost())
                    }
                    None => {
                        on_news(StepNews::Output(&file[from..]));
                        Ok(StepEnd::Exited(0))
                    }
                }
            }
            Some(Behaviour::Locked) => Ok(StepEnd::Locked(
                r#"{"operator":"eve","workstation":"far","run":"r9","step":"uaa","since":"noon"}"#
                    .into(),
            )),
            Some(Behaviour::Silent(times)) => {
                (0..*times).for_each(|_| on_news(StepNews::Alive));
                Ok(StepEnd::Exited(0))
            }
            Some(Behaviour::Stall) => match call {
                StepCall::Stop { by, .. } => Ok(StepEnd::Stopped {
                    status: 143,
                    why: StopReason::Cancelled((*by).to_owned()),
                }),
                _ => {
                    fleet.gate.pass();
                    Err(lost())
                }
            },
            Some(Behaviour::Unreachable(_) | Behaviour::ComesBack(_)) | None => {
                Ok(StepEnd::Exited(0))
            }
        };
        fleet.at_once.fetch_sub(1, Ordering::SeqCst);
        end
    }

    fn cancel_run(&mut self, _: &str, _: &str, _: Duration) -> Result<usize, TransportError> {
        Ok(1)
    }

    fn put(
        &mut self,
        _: &Upload,
        _: &mut dyn Read,
        _: &mut dyn FnMut(u64),
    ) -> Result<(), TransportError> {
        Ok(())
    }

    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync> {
        let fleet = self.fleet.clone();
        Box::new(move || fleet.gate.open())
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 1, last])
}

fn host(address: IpAddr) -> Host {
    let ssh = SshSettings {
        user: "paas".into(),
        port: 22,
        identity: None,
        password: None,
        jump: Vec::new(),
        port_is_set: true,
        known_hosts: None,
        host_keys: HostKeyPolicy::Off,
        config: SshConfig::Off,
    };
    Host {
        address,
        ssh,
        packages: Vec::new(),
        place: Place::new(1, 1),
    }
}

fn step(name: &str, last: u8) -> Step {
    Step {
        id: StepId {
            step: name.into(),
            host: address(last),
        },
        mode: Mode::Supervised,
        script: "true\n".into(),
        values: Values::new(),
        digest: String::new(),
        receipt: "{".into(),
        uploads: Vec::new(),
        redact: vec!["hunter2".into()],
        decision: Decision::Run(vec![Reason::New]),
    }
}

fn stage(name: &str, hosts: impl IntoIterator<Item = u8>) -> Stage {
    Stage {
        name: name.into(),
        steps: hosts.into_iter().map(|last| step(name, last)).collect(),
        max_in_flight: None,
        canaries: 0,
        max_failures: None,
        room: None,
        leaders: 0,
    }
}

fn plan(stages: Vec<Stage>) -> Plan {
    Plan {
        cluster: "test".into(),
        operation: "build".into(),
        stages,
    }
}

fn fleet(behaviour: impl IntoIterator<Item = (u8, &'static str, Behaviour)>) -> Arc<Fleet> {
    let behaviour = behaviour
        .into_iter()
        .map(|(last, step, b)| ((address(last), step.to_owned()), b));
    Arc::new(Fleet {
        behaviour: behaviour.collect(),
        ..Fleet::default()
    })
}

/// Runs a plan and returns its outcome and its events, which RunState has found legal.
fn run_with(
    fleet: &Arc<Fleet>,
    plan: &Plan,
    forks: usize,
    cancel: &Cancel,
) -> (Outcome, Vec<Event>) {
    let limits = Limits {
        forks,
        ..Limits::default()
    };
    run_limited(fleet, plan, limits, cancel)
}

fn run_limited(
    fleet: &Arc<Fleet>,
    plan: &Plan,
    limits: Limits,
    cancel: &Cancel,
) -> (Outcome, Vec<Event>) {
    let hosts: Vec<Host> = (1..=60).map(|last| host(address(last))).collect();
    let transport = Arc::new(FleetTransport(fleet.clone()));
    let engine = Engine::new(transport, &hosts, &Sudo::No, limits);
    let run = RunIdentity {
        id: "r1".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    let (sink, mut receiver) = event_channel("r1");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (outcome, events) = runtime.block_on(async {
        let collect = tokio::spawn(async move {
            let mut events = Vec::new();
            while let Some(event) = receiver.recv().await {
                events.push(event);
            }
            events
        });
        let outcome = engine.run(plan, &run, cancel, &sink).await;
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

fn run(fleet: &Arc<Fleet>, plan: &Plan) -> (Outcome, Vec<Event>) {
    run_with(fleet, plan, 50, &Cancel::default())
}

fn result(outcome: &Outcome, name: &str, last: u8) -> StepResult {
    outcome.results[&StepId {
        step: name.into(),
        host: address(last),
    }]
        .clone()
}

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
            (0..times).for_each(|_| {
                cancel.raise();
            });
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

fn output_of(event: &Event) -> Option<String> {
    match &event.fact {
        Fact::StepOutput { text, .. } => Some(text.clone()),
        _ => None,
    }
}
