//! One supervised step from its start to its end, over as many connections as that takes.
//!
//! The host keeps the output and the step's end; this only reads. What has arrived is counted, so
//! that after a lost connection reading goes on with the next byte, and nothing is started twice.

use std::time::{Duration, Instant};

use super::output::{self, TextFilter};
use super::session::{Course, Line};
use super::{Limits, holder};
use crate::event::{Fact, StepResult};
use crate::plan::{Step, StepId};
use crate::transport::{
    OnLock, StepCall, StepEnd, StepNews, StepRequest, StopReason, TransportError,
    TransportErrorKind,
};

/// How long an operator who ends a run waits for a host that has just been lost.
const STOP_RECONNECT: Duration = Duration::from_secs(30);

/// For how long a host is asked about a step, while it takes every login and says nothing of it.
const SPEECHLESS: Duration = Duration::from_secs(4 * 60);

/// A step that is being followed.
pub(super) struct Supervised<'a, 'l> {
    line: &'a mut Line<'l>,
    step: &'a Step,
    /// The run under whose name the host has it.
    run: String,
    /// How it was begun here.
    begun: Begun,
    ear: Ear<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// By this run.
    Started,
    /// By an earlier one, whose place this run takes.
    Joined,
    /// By one that has its own controller.
    Watched,
}

impl<'a, 'l> Supervised<'a, 'l> {
    /// Prepares to start a step.
    pub(super) fn start(line: &'a mut Line<'l>, step: &'a Step) -> Supervised<'a, 'l> {
        let run = line.course.run.id.clone();
        Supervised::new(line, step, run, Begun::Started)
    }

    /// Prepares to follow a step that another run started.
    pub(super) fn join(
        line: &'a mut Line<'l>,
        step: &'a Step,
        run: &str,
        watch: bool,
    ) -> Supervised<'a, 'l> {
        let begun = if watch { Begun::Watched } else { Begun::Joined };
        Supervised::new(line, step, run.to_owned(), begun)
    }

    fn new(line: &'a mut Line<'l>, step: &'a Step, run: String, begun: Begun) -> Self {
        let secrets = match line.connection() {
            Ok(connection) => connection.secrets(),
            Err(_) => Vec::new(),
        };
        let ear = Ear::new(line.course, step, &secrets);
        Supervised {
            line,
            step,
            run,
            begun,
            ear,
        }
    }

    /// Follows the step until its end is known, or can't be learnt.
    pub(super) fn until_its_end(mut self) -> StepResult {
        let result = self.follow();
        self.ear.finish();
        result
    }

    /// Whether this run may end the step: it's its own, or it was told to take it over.
    fn may_end(&self) -> bool {
        let takes_over = self.line.course.limits.on_lock == OnLock::TakeOver;
        self.begun == Begun::Started || (self.begun == Begun::Joined && takes_over)
    }

    fn follow(&mut self) -> StepResult {
        let mut stopping = false;
        let mut speechless = Duration::ZERO;
        loop {
            let (asked, last_word) = (Instant::now(), self.ear.last_word);
            let lost = match self.once(stopping) {
                Ok(StepEnd::FoundDone(line)) => return self.found_done(&line),
                Ok(end) => return result_of(end),
                Err(error) if error.kind == TransportErrorKind::Lost => error,
                Err(error) => return StepResult::Unknown { why: error.message },
            };
            let level = self.line.course.cancel.level();
            // Who looks on, or has joined what another run began, ends nothing by leaving.
            if level == 2 && self.begun == Begun::Joined && !self.may_end() {
                return self.left_to_its_run();
            }
            if level >= 3 || (level == 2 && !self.may_end()) {
                return self.left_alone("it was left alone");
            }
            stopping = level == 2;
            // A host that takes every login and then says nothing would be asked for ever.
            speechless = match self.ear.last_word == last_word {
                true => speechless + asked.elapsed(),
                false => Duration::ZERO,
            };
            if speechless > SPEECHLESS {
                return self.left_alone(&format!(
                    "the host takes every login and then says nothing of the step, for {} s by \
                     now: does a disk there hang?",
                    speechless.as_secs()
                ));
            }
            let time = match stopping {
                true => STOP_RECONNECT,
                false => self.line.course.limits.reconnect,
            };
            if let Err(error) = self.line.reconnect(&lost, time, level) {
                if self.line.course.cancel.level() == 2 && !stopping {
                    // The wish came while the host couldn't be reached: one more try for it.
                    stopping = true;
                    if self.line.reconnect(&lost, STOP_RECONNECT, 2).is_ok() {
                        continue;
                    }
                }
                return self.left_alone(&error.message);
            }
        }
    }

    /// Asks the host once, and listens for as long as the connection stands.
    fn once(&mut self, stopping: bool) -> Result<StepEnd, TransportError> {
        let course = self.line.course;
        let limits = &course.limits;
        let (line, by) = (holder::line(self.step, course), holder::by(&course.run));
        let redact = output::sed_script(&self.step.redact);
        let (run, step, offset) = (self.run.as_str(), &self.step.id.step, self.ear.heard);
        let call = if stopping {
            StepCall::Stop {
                run,
                step,
                offset,
                grace: limits.grace,
                by: &by,
            }
        } else if self.begun == Begun::Started && offset == 0 {
            // Also after a loss: whether the first one arrived isn't known, and the host starts
            // nothing twice.
            StepCall::Start(StepRequest {
                redact: &redact,
                ..request(self.step, run, &line, &by, limits)
            })
        } else {
            StepCall::Follow {
                run,
                step,
                offset,
                watch: self.begun == Begun::Watched,
            }
        };
        let ear = &mut self.ear;
        self.line
            .connection()?
            .supervise(&call, &mut |news| ear.hear(news))
    }

    /// Another run has done what this one was to do.
    fn found_done(&self, line: &str) -> StepResult {
        self.ear.tell(Fact::StepFoundDone {
            id: self.step.id.clone(),
            holder: holder::describe(line),
        });
        StepResult::Succeeded
    }

    fn left_to_its_run(&self) -> StepResult {
        let why = format!(
            "run {run} began it, so it goes on: `attach {run}` follows it, `cancel {run}` ends it, \
             and so does a run with --take-over",
            run = self.run
        );
        StepResult::Unknown { why }
    }

    fn left_alone(&self, why: &str) -> StepResult {
        let why = format!(
            "{why}; what was started there goes on: `attach {}` follows it, running again joins it",
            self.run
        );
        StepResult::Unknown { why }
    }
}

fn request<'a>(
    step: &'a Step,
    run: &'a str,
    holder: &'a str,
    by: &'a str,
    limits: &Limits,
) -> StepRequest<'a> {
    StepRequest {
        run,
        step: &step.id.step,
        script: &step.script,
        receipt: &step.receipt,
        settled_by: step.settled_by,
        holder,
        by,
        redact: "",
        keep_script: limits.keep_scripts,
        on_lock: limits.on_lock,
        deadline: limits.step_deadline,
        output_cap: limits.output_cap,
        grace: limits.grace,
    }
}

/// Hears a step's output and hands it on as events.
struct Ear<'a> {
    course: &'a Course,
    id: &'a StepId,
    filter: TextFilter,
    /// How many bytes of the output are known, or known to be missing.
    heard: u64,
    /// When the supervisor said anything at all.
    last_word: Instant,
    silent_since: Instant,
    /// After how much silence the next warning is due.
    patience: Duration,
}

impl<'a> Ear<'a> {
    fn new(course: &'a Course, step: &'a Step, secrets: &[String]) -> Ear<'a> {
        Ear {
            course,
            id: &step.id,
            filter: TextFilter::new(&[&step.redact, secrets].concat()),
            heard: 0,
            last_word: Instant::now(),
            silent_since: Instant::now(),
            patience: course.limits.silence,
        }
    }

    fn hear(&mut self, news: StepNews<'_>) {
        let id = self.id.clone();
        self.last_word = Instant::now();
        match news {
            StepNews::Output(bytes) => {
                self.heard += bytes.len() as u64;
                self.silent_since = Instant::now();
                self.patience = self.course.limits.silence;
                let text = self.filter.push(bytes);
                self.print(text);
            }
            StepNews::Dropped(bytes) => {
                self.heard += bytes;
                let text = self.filter.finish();
                self.print(text);
                self.tell(Fact::OutputDropped { id, bytes });
            }
            StepNews::Alive => {
                let silent = self.silent_since.elapsed();
                if silent >= self.patience {
                    self.patience = silent * 2;
                    let seconds = silent.as_secs();
                    self.tell(Fact::StepSilent { id, seconds });
                }
            }
            StepNews::Waiting(line) => {
                let holder = holder::describe(line);
                self.tell(Fact::StepWaiting { id, holder });
            }
            StepNews::TookOver(line) => {
                let holder = holder::describe(line);
                self.tell(Fact::StepTookOver { id, holder });
            }
        }
    }

    fn finish(&mut self) {
        let text = self.filter.finish();
        self.print(text);
    }

    fn print(&self, text: Option<String>) {
        if let Some(text) = text {
            let id = self.id.clone();
            self.tell(Fact::StepOutput { id, text });
        }
    }

    fn tell(&self, fact: Fact) {
        self.course.events.send_blocking(fact);
    }
}

fn result_of(end: StepEnd) -> StepResult {
    match end {
        StepEnd::Exited(status) => StepResult::of_status(status),
        StepEnd::FoundDone(_) => StepResult::Succeeded,
        StepEnd::Stopped { why, .. } => match why {
            StopReason::Cancelled(by) => StepResult::Cancelled {
                by: holder::safe(&by),
            },
            StopReason::Deadline(seconds) => StepResult::Stopped {
                why: format!("its deadline of {} s passed", holder::safe(&seconds)),
            },
            StopReason::Output(bytes) => StepResult::Stopped {
                why: format!(
                    "it printed more than the {} bytes that its host keeps, and the host's file \
                     system can't drop a part of a file",
                    holder::safe(&bytes)
                ),
            },
        },
        StepEnd::Refused(by) => StepResult::Cancelled {
            by: holder::safe(&by),
        },
        StepEnd::Locked(line) => StepResult::Locked {
            holder: holder::describe(&line),
        },
        StepEnd::Unknown(why) => StepResult::Unknown {
            why: holder::safe(&why),
        },
    }
}
