//! A scripted transport for the engine: hosts that succeed, fail, stall, refuse and disconnect.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::ops::ControlFlow;
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
pub enum Behaviour {
    Exit(i32),
    Print(Vec<&'static [u8]>),
    /// Loses the connection after these bytes of the output `one two three`, a line each.
    CutAt(Vec<usize>),
    /// Says so often that it's there, and nothing else.
    Silent(usize),
    FoundDone,
    Locked,
    Unreachable(TransportErrorKind),
    /// After the first connection refuses so many.
    ComesBack(usize),
    /// Runs until the connection is interrupted, or the host is told to end it.
    Stall,
}

/// A fleet of scripted hosts, with a record of what happened at once.
#[derive(Default)]
pub struct Fleet {
    pub behaviour: HashMap<(IpAddr, String), Behaviour>,
    pub connects: AtomicUsize,
    pub at_once: AtomicUsize,
    pub most_at_once: AtomicUsize,
    pub order: Mutex<Vec<String>>,
    pub gate: Gate,
}

#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Keeps whoever is at the gate from going on, even where it is opened, for as long as the answer
    /// lives.
    pub fn hold(&self) -> impl Drop + '_ {
        self.open.lock().unwrap()
    }

    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, |open| !*open).unwrap());
    }
}

pub struct Scripted {
    fleet: Arc<Fleet>,
    host: IpAddr,
}

pub struct FleetTransport(pub Arc<Fleet>);

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

pub fn lost() -> TransportError {
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

    fn watch(
        &mut self,
        _: &str,
        _: Option<Duration>,
        on_output: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), TransportError> {
        let _ = on_output(b"fact\n");
        Ok(())
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
            Some(Behaviour::FoundDone) => Ok(StepEnd::FoundDone(
                r#"{"operator":"eve","workstation":"far","run":"r9","step":"nats","since":"noon"}"#
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

pub fn address(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 1, last])
}

pub fn host(address: IpAddr) -> Host {
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

pub fn step(name: &str, last: u8) -> Step {
    Step {
        id: StepId {
            step: name.into(),
            host: address(last),
        },
        mode: Mode::Supervised,
        script: "true\n".into(),
        values: Values::new(),
        template: None,
        edits: Vec::new(),
        digest: String::new(),
        receipt: "{".into(),
        settled_by: 0,
        uploads: Vec::new(),
        redact: vec!["hunter2".into()],
        decision: Decision::Run(vec![Reason::New]),
    }
}

pub fn stage(name: &str, hosts: impl IntoIterator<Item = u8>) -> Stage {
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

pub fn plan(stages: Vec<Stage>) -> Plan {
    Plan {
        cluster: "test".into(),
        operation: "build".into(),
        stages,
    }
}

pub fn fleet(behaviour: impl IntoIterator<Item = (u8, &'static str, Behaviour)>) -> Arc<Fleet> {
    let behaviour = behaviour
        .into_iter()
        .map(|(last, step, b)| ((address(last), step.to_owned()), b));
    Arc::new(Fleet {
        behaviour: behaviour.collect(),
        ..Fleet::default()
    })
}

/// Runs a plan and returns its outcome and its events, which RunState has found legal.
pub fn run_with(
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

pub fn run_limited(
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

pub fn run(fleet: &Arc<Fleet>, plan: &Plan) -> (Outcome, Vec<Event>) {
    run_with(fleet, plan, 50, &Cancel::default())
}

pub fn result(outcome: &Outcome, name: &str, last: u8) -> StepResult {
    outcome.results[&StepId {
        step: name.into(),
        host: address(last),
    }]
        .clone()
}

pub fn output_of(event: &Event) -> Option<String> {
    match &event.fact {
        Fact::StepOutput { text, .. } => Some(text.clone()),
        _ => None,
    }
}
