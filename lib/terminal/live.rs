//! The display on a terminal: a summary line with a bar, below it at most ten lines of what
//! failed and what takes longest, above it what is finished, for good.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize;

use super::text::printable;
use crate::event::{Event, Fact, StepResult};
use crate::plan::StepId;
use crate::run_state::{
    Link, Note, Phase, RunState, StepState, cancel_words, dropped_words, duration_words,
    note_words, result_words,
};

/// How many lines there are below the summary.
const LINES: usize = 10;

/// How many of these show failed steps when there are more running ones than fit.
const FAILED_LINES: usize = 3;

/// Output alone redraws at most this often, in milliseconds of the run.
const OUTPUT_REDRAW_MS: u64 = 100;

/// A run as it's shown on a terminal.
///
/// Its [`Terminal::tick`] must be called a few times a second, so that times move while no event
/// comes. Anything else that is to be printed meanwhile goes through [`Terminal::note`].
pub struct Terminal {
    state: RunState,
    screen: MultiProgress,
    summary: ProgressBar,
    lines: Vec<ProgressBar>,
    colour: bool,
    drawn_ms: u64,
    complained: bool,
}

impl Terminal {
    /// Makes a display that draws on `target`.
    pub fn new(target: ProgressDrawTarget, colour: bool) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        let summary = screen.add(ProgressBar::new(0).with_style(style("{bar:16} {wide_msg}")));
        Terminal {
            state: RunState::new(),
            screen,
            summary,
            lines: Vec::new(),
            colour,
            drawn_ms: 0,
            complained: false,
        }
    }

    /// Shows an event.
    pub fn event(&mut self, event: &Event) {
        if let Err(illegal) = self.state.apply(event)
            && !self.complained
        {
            self.complained = true;
            let illegal = printable(&illegal.to_string());
            self.note(&format!("the display may be wrong from here on: {illegal}"));
        }
        match &event.fact {
            Fact::HostUnreachable { host, kind, error } => {
                let word = self.bad("unreachable");
                let error: Vec<_> = error.lines().map(printable).collect();
                let error = error.join("\n  ");
                self.note(&format!("{word} {host} ({}): {error}", printable(kind)));
            }
            Fact::StepFinished {
                id,
                result,
                took_ms,
            } => self.step_finished(id, result, *took_ms),
            Fact::ConnectionLost { host, error } => {
                let word = self.bad("connection lost");
                let error = printable(error);
                self.note(&format!("{word} {host}, trying again: {error}"));
            }
            Fact::StepJoined { id, .. }
            | Fact::StepWaiting { id, .. }
            | Fact::StepTookOver { id, .. }
            | Fact::StepFoundDone { id, .. }
            | Fact::StepSilent { id, .. } => {
                let note = self.state.step(id).and_then(|step| step.note.as_ref());
                if let Some(words) = note.map(note_words) {
                    self.note(&format!("{id} {}", printable(&words)));
                }
            }
            Fact::OutputDropped { id, bytes } => {
                self.note(&format!("{id} {}", dropped_words(*bytes)));
            }
            Fact::CancelRequested { times, by } => {
                self.note(&printable(&cancel_words(*times, by)));
            }
            Fact::RunFinished { .. } => return self.clear(),
            _ => {}
        }
        let only_output = matches!(event.fact, Fact::StepOutput { .. });
        if !only_output || event.elapsed_ms >= self.drawn_ms + OUTPUT_REDRAW_MS {
            self.redraw(event.elapsed_ms);
        }
    }

    /// Redraws with the time as it is now, in milliseconds since the run's start.
    pub fn tick(&mut self, elapsed_ms: u64) {
        if self.state.run().is_some() && !self.state.is_over() {
            self.redraw(elapsed_ms);
        }
    }

    /// Prints lines above the display, for good.
    pub fn note(&mut self, text: &str) {
        // A terminal that is gone is no reason to disturb the run.
        let _ = self.screen.println(text);
    }

    /// Takes the display away; what stands above it stays.
    pub fn clear(&mut self) {
        for line in self.lines.drain(..) {
            line.finish_and_clear();
            self.screen.remove(&line);
        }
        self.summary.finish_and_clear();
    }

    fn step_finished(&mut self, id: &StepId, result: &StepResult, took_ms: u64) {
        let took = duration_words(took_ms);
        let words = printable(&result_words(result));
        if *result == StepResult::Succeeded {
            return self.note(&format!("{id} {} ({took})", self.good(&words)));
        }
        let mut text = format!("{id} {} ({took})", self.bad(&words));
        if let Some(step) = self.state.step(id) {
            for line in step.tail.lines() {
                text.push_str("\n  | ");
                text.push_str(&printable(line));
            }
        }
        self.note(&text);
    }

    fn redraw(&mut self, now_ms: u64) {
        self.drawn_ms = now_ms;
        let counts = self.state.counts();
        // Setting what is already set would draw again for nothing.
        if self.summary.length() != Some(counts.total as u64) {
            self.summary.set_length(counts.total as u64);
        }
        if self.summary.position() != counts.ended() as u64 {
            self.summary.set_position(counts.ended() as u64);
        }
        set_message(&self.summary, self.summary_words(now_ms));
        let words = self.line_words(now_ms);
        while self.lines.len() > words.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.screen.remove(&line);
            }
        }
        while self.lines.len() < words.len() {
            let line = ProgressBar::new(0).with_style(style("  {wide_msg}"));
            self.lines.push(self.screen.add(line));
        }
        for (line, words) in self.lines.iter().zip(words) {
            set_message(line, words);
        }
    }

    fn summary_words(&self, now_ms: u64) -> String {
        let counts = self.state.counts();
        let mut words = format!("{}/{} steps", counts.ended(), counts.total);
        if counts.failed > 0 {
            let failed = format!("{} failed", counts.failed);
            words.push_str(&format!(", {}", self.bad(&failed)));
        }
        words.push_str(&format!(", {}", duration_words(now_ms)));
        if let Some(stage) = self.state.open_stage() {
            words.push_str(&format!(", stage {}", printable(&stage.name)));
        }
        if self.state.cancel_requests() > 0 {
            words.push_str(", cancelling");
        }
        words
    }

    /// The newest failures first, then what has been running longest.
    fn line_words(&self, now_ms: u64) -> Vec<String> {
        let pushing = self
            .state
            .steps()
            .iter()
            .filter(|s| s.phase == Phase::Planned && s.upload.is_some());
        let mut running: Vec<String> = self
            .state
            .running(now_ms)
            .into_iter()
            .map(|(step, age)| self.running_words(step, Some(age)))
            .chain(pushing.map(|step| self.running_words(step, None)))
            .collect();
        let room = LINES.saturating_sub(running.len()).max(FAILED_LINES);
        let failed: Vec<&StepState> = self.state.failed().collect();
        let mut words: Vec<String> = failed
            .iter()
            .rev()
            .take(room)
            .map(|step| self.failed_words(step))
            .collect();
        running.truncate(LINES - words.len());
        words.append(&mut running);
        words.extend(self.held_words().into_iter().take(LINES - words.len()));
        words
    }

    fn running_words(&self, step: &StepState, age: Option<u64>) -> String {
        let age = age.map_or("-".to_owned(), duration_words);
        let mut words = format!("{} {} {age}", step.id.host, printable(&step.id.step));
        let link = self.state.hosts().get(&step.id.host).map(|host| &host.link);
        if !matches!(link, None | Some(Link::Connected | Link::Untried)) {
            words.push_str(" | no connection, trying again");
        } else if let Some(note) = &step.note {
            words.push_str(&format!(" | {}", printable(&note_words(note))));
        } else if let Some(last) = step.tail.last_line() {
            words.push_str(&format!(" | {}", printable(last)));
        } else if let Some(upload) = step.upload.filter(|u| u.sent < u.total) {
            let percent = u128::from(upload.sent) * 100 / u128::from(upload.total);
            words.push_str(&format!(" | pushing files, {percent} %"));
        }
        words
    }

    /// Who waits for their turn, on one line for each reason.
    fn held_words(&self) -> Vec<String> {
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for step in self.state.steps() {
            let (Phase::Planned, Some(Note::Held(why))) = (&step.phase, &step.note) else {
                continue;
            };
            let host = step.id.host.to_string();
            match reasons.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, hosts)) => hosts.push(host),
                None => reasons.push((why, vec![host])),
            }
        }
        let line = |(why, hosts): (&str, Vec<String>)| {
            format!("held back, {}: {}", printable(why), hosts.join(", "))
        };
        reasons.into_iter().map(line).collect()
    }

    fn failed_words(&self, step: &StepState) -> String {
        let id = format!("{} {}", step.id.host, printable(&step.id.step));
        let last = step.tail.last_line().map(printable).unwrap_or_default();
        format!("{id} {} | {last}", self.bad("failed"))
    }

    fn bad(&self, word: &str) -> String {
        match self.colour {
            true => word.red().to_string(),
            false => word.to_owned(),
        }
    }

    fn good(&self, word: &str) -> String {
        match self.colour {
            true => word.green().to_string(),
            false => word.to_owned(),
        }
    }
}

fn set_message(bar: &ProgressBar, message: String) {
    if bar.message() != message {
        bar.set_message(message);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are well-formed")
        .progress_chars("=> ")
}
