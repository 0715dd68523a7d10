//! Puts the consumers of a run's events together: the journal always, and one view of them.

use std::io::{self, IsTerminal, Stdout, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::ProgressDrawTarget;
use jiff::tz::TimeZone;
use paas_cluster_build::engine::EventReceiver;
use paas_cluster_build::event::{Event, Fact};
use paas_cluster_build::journal::Journal;
use paas_cluster_build::plan::{Plan, pointers};
use paas_cluster_build::report::{self, JsonLines, Look, SummaryContext};
use paas_cluster_build::run_state::RunState;
use paas_cluster_build::terminal::{Plain, Terminal, can_redraw, wants_colour};

use crate::args::Output;
use crate::exit::Exit;
use crate::say;

/// How often running times on the terminal are brought up to date.
const TICK: Duration = Duration::from_millis(250);

/// Keeps and shows one run.
pub struct Show {
    view: View,
    journal: Option<Journal>,
    state: RunState,
    start: Instant,
}

enum View {
    Live(Box<Terminal>),
    Plain(Plain<Stdout>),
    Json(JsonLines<Stdout>),
}

impl Show {
    /// Chooses the view: progress needs a terminal to be shown on.
    pub fn new(output: Output, journal: Option<Journal>) -> Show {
        let view = match output {
            Output::Json => View::Json(JsonLines::new(stdout())),
            Output::Human if is_live() => View::Live(Box::new(Terminal::new(
                ProgressDrawTarget::stderr(),
                colour(),
            ))),
            Output::Human | Output::Plain => View::Plain(Plain::new(stdout(), TimeZone::system())),
        };
        Show {
            view,
            journal,
            state: RunState::new(),
            start: Instant::now(),
        }
    }

    /// Takes events until the run is over.
    pub async fn follow(&mut self, mut events: EventReceiver) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        self.event(&event);
                        if matches!(event.fact, Fact::RunFinished { .. }) {
                            return;
                        }
                    }
                    None => return,
                },
                _ = ticks.tick() => {
                    if let View::Live(terminal) = &mut self.view {
                        terminal.tick(self.start.elapsed().as_millis() as u64);
                    }
                }
            }
        }
    }

    fn event(&mut self, event: &Event) {
        if let Err(error) = self.state.apply(event) {
            self.note(&format!("internal error, please report it: {error}"));
        }
        if let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.event(event)) {
            self.note(&format!("warning: {error}"));
        }
        match &mut self.view {
            View::Live(terminal) => terminal.event(event),
            View::Plain(plain) => plain.event(event),
            View::Json(json) => json.event(event),
        }
    }

    fn note(&mut self, text: &str) {
        match &mut self.view {
            View::Live(terminal) => terminal.note(text),
            View::Plain(_) | View::Json(_) => errln!("{text}"),
        }
    }

    /// What the view couldn't write is told at the command's end.
    fn account_for_faults(&self) {
        let error = match &self.view {
            View::Live(_) => None,
            View::Plain(plain) => plain.error(),
            View::Json(json) => json.error(),
        };
        if let Some(error) = error {
            say::fail(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => error.kind().into(),
            });
        }
    }

    /// Prints the account of the run and tells how it ended.
    /// `plan` and the cluster file's name are what a failure can be traced to.
    pub fn finish(&mut self, resume: &str, plan: Option<(&Plan, &str)>) -> Exit {
        if let View::Live(terminal) = &mut self.view {
            terminal.clear();
        }
        self.account_for_faults();
        if !matches!(self.view, View::Json(_)) {
            let folder = self
                .journal
                .as_ref()
                .map(|journal| journal.folder().clone());
            let context = SummaryContext {
                resume,
                log: &|id| Some(folder.as_ref()?.step_log(id)).filter(|path| path.exists()),
                pointers: &|state| {
                    let Some((plan, file)) = plan else {
                        return Vec::new();
                    };
                    let mut steps = plan.stages.iter().flat_map(|stage| &stage.steps);
                    let step = steps.find(|step| step.id == state.id);
                    let tail: Vec<&str> = state.tail.lines().collect();
                    step.map(|step| pointers(step, &tail, file))
                        .unwrap_or_default()
                },
                colour: colour(),
            };
            let text = report::summary_text(&self.state, &context);
            out!("{}", report::wrap(&text, say::output_width()));
        }
        Exit::of(report::Outcome::of(&self.state))
    }
}

/// Whether there is a terminal on which a display can be redrawn.
fn is_live() -> bool {
    stdout().is_terminal()
        && stderr().is_terminal()
        && can_redraw(std::env::var_os("TERM").as_deref())
}

/// How accounts on standard output look.
pub fn look() -> Look {
    Look {
        colour: colour(),
        width: say::output_width(),
    }
}

/// Whether standard output gets colours.
pub fn colour() -> bool {
    let variable = std::env::var_os;
    stdout().is_terminal()
        && wants_colour(variable("NO_COLOR").as_deref(), variable("TERM").as_deref())
}
