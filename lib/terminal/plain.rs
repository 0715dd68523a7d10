//! Lines for pipes, files and CI: `HH:MM:SS stage host component: text`, each one complete.
//!
//! What the tool says about a step follows `component: `; what the step itself printed follows
//! `component: | `, so that no output can pass for the tool's word.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::net::IpAddr;

use jiff::tz::TimeZone;

use super::text::printable;
use crate::event::{Event, Fact, PlannedStep, StepResult};
use crate::plan::{Decision, StepId};
use crate::run_state::{
    Note, cancel_words, dropped_words, duration_words, note_words, result_words,
};

/// A line of output without end is put out in pieces of this many bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// Writes a run as plain lines.
///
/// A reader that goes away (a closed pipe) or a full disk silences it; the run isn't disturbed.
pub struct Plain<W: Write> {
    out: W,
    zone: TimeZone,
    error: Option<io::Error>,
    steps: HashMap<StepId, Progress>,
    /// The hosts whose connections are being tried again.
    lost: HashSet<IpAddr>,
}

/// What has to be remembered of a step between its events.
#[derive(Default)]
struct Progress {
    stage: String,
    /// Output after its last line end.
    partial: String,
    /// The push that has been told: bytes sent and all bytes of the file.
    pushing: Option<(u64, u64)>,
}

impl<W: Write> Plain<W> {
    /// Makes one that writes to `out`, with times of day in `zone`.
    pub fn new(out: W, zone: TimeZone) -> Self {
        Plain {
            out,
            zone,
            error: None,
            steps: HashMap::new(),
            lost: HashSet::new(),
        }
    }

    /// Returns the error that silenced it, if one did.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Writes what there is to say about an event.
    pub fn event(&mut self, event: &Event) {
        match &event.fact {
            Fact::RunStarted {
                cluster,
                operation,
                steps,
                ..
            } => self.run_started(event, cluster, operation, steps),
            // Fifty hosts that answer as they should are no news; one that was lost is.
            Fact::HostConnecting { .. } => {}
            Fact::HostConnected { host } => {
                if self.lost.remove(host) {
                    self.say(event, &format!("host {host}"), "connected again");
                }
            }
            Fact::HostUnreachable { host, kind, error } => {
                let about = format!("host {host}");
                self.say(event, &about, &format!("unreachable ({kind}): {error}"));
            }
            Fact::ConnectionLost { host, error } => {
                self.lost.insert(*host);
                let text = format!("connection lost, trying again: {error}");
                self.say(event, &format!("host {host}"), &text);
            }
            Fact::StageStarted { stage } => {
                self.say(event, &format!("stage {stage}"), "started");
            }
            Fact::StageFinished { stage, failed } => {
                let how = match failed {
                    0 => "finished".to_owned(),
                    n => format!("finished, {n} failed"),
                };
                self.say(event, &format!("stage {stage}"), &how);
            }
            Fact::StepSkipped { id, reason } => {
                self.say_step(event, id, &format!("skipped: {reason}"));
            }
            Fact::StepStarted { id } => self.say_step(event, id, "started"),
            Fact::UploadProgress { id, sent, total } => self.upload(event, id, *sent, *total),
            Fact::StepOutput { id, text } => self.output(event, id, text),
            Fact::StepJoined { id, started_by } => {
                self.say_note(event, id, &Note::Joined(started_by.clone()));
            }
            Fact::StepWaiting { id, holder } => {
                self.say_note(event, id, &Note::Waiting(holder.clone()));
            }
            Fact::StepTookOver { id, holder } => {
                self.say_note(event, id, &Note::TookOver(holder.clone()));
            }
            Fact::StepFoundDone { id, holder } => {
                self.say_note(event, id, &Note::FoundDone(holder.clone()));
            }
            Fact::StepsHeld { stage, why, steps } => {
                let hosts: Vec<String> = steps.iter().map(|id| id.host.to_string()).collect();
                let text = format!("held back, {why}: {}", hosts.join(", "));
                self.say(event, &format!("stage {stage}"), &text);
            }
            Fact::StepSilent { id, seconds } => self.say_note(event, id, &Note::Silent(*seconds)),
            Fact::OutputDropped { id, bytes } => self.say_step(event, id, &dropped_words(*bytes)),
            Fact::StepFinished {
                id,
                result,
                took_ms,
            } => self.step_finished(event, id, result, *took_ms),
            Fact::StepNotStarted { id, reason } => {
                self.say_step(event, id, &format!("not started: {reason}"));
            }
            Fact::CancelRequested { times, by } => {
                self.say(event, "run", &cancel_words(*times, by));
            }
            Fact::StepsFound { steps } => self.announce(steps),
            Fact::RunFinished {
                succeeded,
                skipped,
                failed,
                not_started,
            } => {
                let took = duration_words(event.elapsed_ms);
                let text = format!(
                    "finished after {took}: {succeeded} succeeded, {skipped} skipped, \
                     {failed} failed, {not_started} not started"
                );
                self.say(event, "run", &text);
            }
        }
    }

    fn run_started(&mut self, event: &Event, cluster: &str, operation: &str, plan: &[PlannedStep]) {
        self.announce(plan);
        let to_run = plan
            .iter()
            .filter(|s| matches!(s.decision, Decision::Run(_)))
            .count();
        let what = match plan.len() {
            0 => "steps are shown as they turn up".to_owned(),
            all => format!("{to_run} of {all} steps to run"),
        };
        let text = format!("{operation} of {cluster}, run {}: {what}", event.run);
        self.say(event, "run", &text);
    }

    fn announce(&mut self, steps: &[PlannedStep]) {
        for step in steps {
            let progress = self.steps.entry(step.id.clone()).or_default();
            progress.stage = step.stage.clone();
        }
    }

    fn say_note(&mut self, event: &Event, id: &StepId, note: &Note) {
        self.say_step(event, id, &note_words(note));
    }

    /// Tells the begin and the end of a push, not the way.
    fn upload(&mut self, event: &Event, id: &StepId, sent: u64, total: u64) {
        let progress = self.steps.entry(id.clone()).or_default();
        let another = match progress.pushing {
            Some((before, of)) => of != total || sent < before,
            None => true,
        };
        progress.pushing = (sent < total).then_some((sent, total));
        if another {
            self.say_step(event, id, &format!("pushing a file of {total} bytes"));
        }
        if sent >= total {
            self.say_step(event, id, "pushed the file");
        }
    }

    fn output(&mut self, event: &Event, id: &StepId, text: &str) {
        let progress = self.steps.entry(id.clone()).or_default();
        let mut buffered = std::mem::take(&mut progress.partial);
        buffered.push_str(text);
        let mut rest = buffered.as_str();
        while let Some((line, after)) = rest.split_once('\n') {
            self.say_step(event, id, &format!("| {line}"));
            rest = after;
        }
        if rest.len() > LONGEST_LINE {
            self.say_step(event, id, &format!("| {rest}"));
            rest = "";
        }
        let rest = rest.to_owned();
        self.steps.entry(id.clone()).or_default().partial = rest;
    }

    fn step_finished(&mut self, event: &Event, id: &StepId, result: &StepResult, took_ms: u64) {
        let progress = self.steps.entry(id.clone()).or_default();
        let partial = std::mem::take(&mut progress.partial);
        if !partial.is_empty() {
            self.say_step(event, id, &format!("| {partial}"));
        }
        let took = duration_words(took_ms);
        self.say_step(event, id, &format!("{} ({took})", result_words(result)));
    }

    fn say_step(&mut self, event: &Event, id: &StepId, text: &str) {
        let stage = self.steps.get(id).map_or("-", |p| p.stage.as_str());
        let about = format!("{stage} {} {}", id.host, id.step);
        self.say(event, &about, text);
    }

    /// Writes one line for each line of the text, each with the whole prefix.
    fn say(&mut self, event: &Event, about: &str, text: &str) {
        let time = event.time.to_zoned(self.zone.clone()).strftime("%H:%M:%S");
        let mut lines = String::new();
        for line in text.split('\n') {
            let line = format!("{time} {about}: {}", printable(line));
            lines.push_str(line.trim_end());
            lines.push('\n');
        }
        if self.error.is_none() {
            let written = self.out.write_all(lines.as_bytes());
            self.error = written.and_then(|()| self.out.flush()).err();
        }
    }
}
