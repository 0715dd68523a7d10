//! Lines becoming entries: a line with a time, and those without one that go on with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use super::declared::Declared;
use super::journal::Record;
use super::line::Line;
use super::news::{Begins, News};
use super::split::{LONGEST, Split, beginning};

/// How long the newest line of a stream is waited with, for those that go on with it: longer than
/// the pause between two looks at a file.
const SETTLED: Duration = Duration::from_millis(600);
/// How long at most.
const COMPLETE: Duration = Duration::from_millis(900);
/// How many lines may go on with one, and how many bytes.
const MOST_LINES: usize = 200;
const MOST_BYTES: usize = 64 * 1024;
/// How much of what a look back finds is kept of each stream, in bytes, whatever a host sends.
const MOST_PAST: usize = 64 * 1024 * 1024;
/// A line of a file that is older by less than this than the one before it is taken for one of that
/// time: threads write a little out of order, and a file's own order says more.
const DISORDER: SignedDuration = SignedDuration::from_secs(5);

/// What somebody wants to see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// Only what has this in it, in any of its lines.
    pub grep: Option<Regex>,
    /// Every line as it is.
    pub raw: bool,
    /// Of what was there before, the newest so many entries of each stream; `None` for all.
    pub newest: Option<usize>,
}

/// One thing that a service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The stream.
    pub stream: usize,
    /// When, by this machine's clock; where the log doesn't say, when it came.
    pub time: Timestamp,
    /// What it says.
    pub line: Line,
    /// The lines that go on with it, as they are.
    pub more: Vec<String>,
}

impl Entry {
    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let more = self.more.iter().map(String::len).sum::<usize>();
        let data = self
            .line
            .data
            .iter()
            .map(|(name, value)| name.len() + value.as_str().map_or(16, str::len));
        128 + self.line.message.len() + more + data.sum::<usize>()
    }
}

/// The entries of all streams.
pub struct Entries {
    wanted: Wanted,
    states: Vec<State>,
    clocks: Vec<Clock>,
    /// How many heartbeats were left out.
    pub hidden: u64,
}

/// How a host's clock is.
#[derive(Clone, Copy)]
struct Clock {
    ahead: SignedDuration,
    zone: Offset,
}

/// One stream.
struct State {
    job: String,
    source: usize,
    split: Split,
    pending: Option<Pending>,
    /// The newest entry's time.
    last: Option<Timestamp>,
    /// The first entry's time that was read.
    first: Option<Timestamp>,
    has_stamps: bool,
    modified: Option<Timestamp>,
    /// What the look back found.
    past: VecDeque<Entry>,
    past_bytes: usize,
    is_live: bool,
    /// Whether the look back didn't reach the file's beginning.
    is_cut: bool,
}

/// An entry that may go on.
struct Pending {
    entry: Entry,
    is_hidden: bool,
    began: Instant,
    latest: Instant,
}

impl Pending {
    fn has_room(&self) -> bool {
        self.entry.more.len() < MOST_LINES && self.entry.size() < MOST_BYTES
    }
}

impl Entries {
    /// Begins with nothing.
    pub fn new(declared: &Declared, wanted: Wanted) -> Entries {
        let source_of = |stream: usize| {
            let mut sources = declared.sources.iter();
            sources.position(|source| source.streams.contains(&stream))
        };
        let streams = declared.streams.iter().enumerate();
        let clock = Clock {
            ahead: SignedDuration::ZERO,
            zone: Offset::UTC,
        };
        Entries {
            wanted,
            states: streams
                .map(|(number, stream)| {
                    State::new(&stream.job, source_of(number).unwrap_or_default())
                })
                .collect(),
            clocks: vec![clock; declared.sources.len()],
            hidden: 0,
        }
    }

    /// Takes what is heard at a moment; returns the entries that are complete and no look back's.
    pub fn hear(&mut self, news: News, now: Timestamp, at: Instant) -> Vec<Entry> {
        let moment = Moment { now, at };
        match news {
            News::Clock {
                source,
                ahead,
                zone,
            } => self.clocks[source] = Clock { ahead, zone },
            News::Modified { stream, time } => {
                let ahead = self.clocks[self.states[stream].source].ahead;
                self.states[stream].modified = time.checked_sub(ahead).ok();
            }
            News::Bytes {
                stream,
                bytes,
                begins,
            } => {
                let state = &mut self.states[stream];
                if begins != Begins::GoesOn {
                    state.is_cut = true;
                }
                if begins == Begins::InLine {
                    state.split.skip();
                }
                let lines = state.split.take(&bytes);
                let lines = lines.into_iter();
                return lines
                    .filter_map(|line| self.line(stream, line, moment))
                    .collect();
            }
            News::FileEnds { stream } => {
                let line = self.states[stream].split.end();
                return line
                    .and_then(|line| self.line(stream, line, moment))
                    .into_iter()
                    .collect();
            }
            News::Record { stream, record } => {
                return self.record(stream, *record, moment).into_iter().collect();
            }
            News::Cut { stream } => self.states[stream].is_cut = true,
            News::Again { source } => {
                let states = self.states.iter_mut();
                for state in states.filter(|state| state.source == source) {
                    *state = State::new(&state.job, source);
                }
            }
            News::Missing { .. }
            | News::Replaced { .. }
            | News::CaughtUp { .. }
            | News::Lost { .. }
            | News::Back { .. }
            | News::Ended { .. } => {}
        }
        Vec::new()
    }

    /// Ends a source's look back, and returns what it found. A line without an end is one where
    /// nothing is to follow.
    pub fn look_back_of(&mut self, source: usize, follows: bool, now: Timestamp) -> Vec<Entry> {
        let moment = Moment {
            now,
            at: Instant::now(),
        };
        let mut found = Vec::new();
        for stream in 0..self.states.len() {
            if self.states[stream].source != source || self.states[stream].is_live {
                continue;
            }
            if !follows && let Some(line) = self.states[stream].split.end() {
                self.line(stream, line, moment);
            }
            self.complete(stream);
            let state = &mut self.states[stream];
            state.is_live = true;
            state.past_bytes = 0;
            found.extend(state.past.drain(..));
        }
        found
    }

    /// Returns the entries that nothing more will go on with.
    pub fn settled(&mut self, at: Instant) -> Vec<Entry> {
        let is_settled = |state: &State| {
            let pending = state.pending.as_ref();
            state.is_live
                && pending.is_some_and(|pending| {
                    at.saturating_duration_since(pending.latest) >= SETTLED
                        || at.saturating_duration_since(pending.began) >= COMPLETE
                })
        };
        let settled: Vec<usize> = (0..self.states.len())
            .filter(|stream| is_settled(&self.states[*stream]))
            .collect();
        let settled = settled.into_iter();
        settled.filter_map(|stream| self.complete(stream)).collect()
    }

    /// Returns all that is left, lines without an end as well.
    pub fn rest(&mut self, now: Timestamp) -> Vec<Entry> {
        let at = Instant::now();
        let mut rest = Vec::new();
        for stream in 0..self.states.len() {
            rest.extend(self.hear(News::FileEnds { stream }, now, at));
            rest.extend(self.complete(stream));
        }
        rest
    }

    /// Tells whether a stream's look back may have missed what is wanted: less of it was read than
    /// that asks for. To be asked before the look back is taken.
    pub fn is_incomplete(&self, stream: usize) -> bool {
        let state = &self.states[stream];
        let wanted = &self.wanted;
        let found = state.past.len() + usize::from(state.pending.is_some());
        let has_enough = wanted.newest.is_some_and(|most| found >= most);
        let reaches_back = match (wanted.since, state.first) {
            (Some(since), Some(first)) => first < since,
            _ => false,
        };
        state.is_cut && !has_enough && !reaches_back
    }

    fn line(&mut self, stream: usize, text: String, moment: Moment) -> Option<Entry> {
        let clock = self.clocks[self.states[stream].source];
        let (line, stamp) = Line::parse(&text, clock.zone, moment.now);
        let time = stamp.and_then(|time| time.checked_sub(clock.ahead).ok());
        self.accept(stream, line, text, time, moment)
    }

    fn record(&mut self, stream: usize, record: Record, moment: Moment) -> Option<Entry> {
        let clock = self.clocks[self.states[stream].source];
        let time = record.time.checked_sub(clock.ahead).ok();
        let mut lines = record.message.split('\n').map(bounded);
        let first = lines.next().unwrap_or_default();
        let (mut line, _) = Line::parse(&first, clock.zone, moment.now);
        line.level = line.level.or(record.level.map(str::to_owned));
        line.source = line.source.or(record.source);
        let done = self.accept(stream, line, first, time, moment);
        if let Some(pending) = &mut self.states[stream].pending {
            pending.entry.more.extend(lines);
        }
        done
    }

    /// Takes a line; returns the entry before it, if that's complete now and live.
    fn accept(
        &mut self,
        stream: usize,
        line: Line,
        text: String,
        stamp: Option<Timestamp>,
        moment: Moment,
    ) -> Option<Entry> {
        let state = &mut self.states[stream];
        if stamp.is_none()
            && state.has_stamps
            && let Some(pending) = &mut state.pending
            && pending.has_room()
        {
            pending.entry.more.push(match self.wanted.raw {
                true => text,
                false => line.text(false),
            });
            pending.latest = moment.at;
            return None;
        }
        let time = state.time(stamp, moment);
        let is_hidden = !self.wanted.raw && line.is_heartbeat(&state.job);
        let line = match self.wanted.raw {
            true => Line::plain(text),
            false => line,
        };
        let done = self.complete(stream);
        self.states[stream].pending = Some(Pending {
            entry: Entry {
                stream,
                time,
                line,
                more: Vec::new(),
            },
            is_hidden,
            began: moment.at,
            latest: moment.at,
        });
        done
    }

    /// Ends the entry that may go on: it's kept for the look back, or returned.
    fn complete(&mut self, stream: usize) -> Option<Entry> {
        let state = &mut self.states[stream];
        let pending = state.pending.take()?;
        if pending.is_hidden {
            self.hidden += 1;
            return None;
        }
        if !self.wanted.has(&pending.entry) {
            return None;
        }
        if state.is_live {
            return Some(pending.entry);
        }
        state.past_bytes += pending.entry.size();
        state.past.push_back(pending.entry);
        let most = self.wanted.newest.unwrap_or(usize::MAX);
        while state.past.len() > most || state.past_bytes > MOST_PAST {
            let Some(oldest) = state.past.pop_front() else {
                break;
            };
            state.past_bytes -= oldest.size();
            // What isn't wanted is no loss; what doesn't fit is.
            state.is_cut |= state.past.len() < most;
        }
        None
    }
}

/// A moment, by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    now: Timestamp,
    at: Instant,
}

impl State {
    fn new(job: &str, source: usize) -> State {
        State {
            job: job.to_owned(),
            source,
            split: Split::default(),
            pending: None,
            last: None,
            first: None,
            has_stamps: false,
            modified: None,
            past: VecDeque::new(),
            past_bytes: 0,
            is_live: false,
            is_cut: false,
        }
    }

    /// Tells the time of a line that begins an entry.
    fn time(&mut self, stamp: Option<Timestamp>, moment: Moment) -> Timestamp {
        if let Some(stamp) = stamp
            && !std::mem::replace(&mut self.has_stamps, true)
            && !self.is_live
        {
            // What came before goes on with something that wasn't read.
            let pending = self.pending.iter_mut().map(|pending| &mut pending.entry);
            for entry in self.past.iter_mut().chain(pending) {
                entry.time = stamp;
            }
            self.last = None;
            self.first = None;
        }
        let time = match stamp {
            Some(stamp) => stamp,
            None if self.is_live => moment.now,
            None => self.last.or(self.modified).unwrap_or(moment.now),
        };
        let time = match self.last {
            Some(last) if time < last && last.duration_since(time) <= DISORDER => last,
            _ => time,
        };
        self.last = Some(time);
        self.first = self.first.or(Some(time));
        time
    }
}

impl Wanted {
    fn has(&self, entry: &Entry) -> bool {
        let is_new = self.since.is_none_or(|since| entry.time >= since);
        let is_meant = self.grep.as_ref().is_none_or(|pattern| {
            pattern.is_match(&entry.line.text(true))
                || entry.more.iter().any(|line| pattern.is_match(line))
        });
        is_new && is_meant
    }
}

/// A line of the journal, as long as one of a file may be.
fn bounded(line: &str) -> String {
    let kept = beginning(line, LONGEST);
    match line.len() - kept.len() {
        0 => line.to_owned(),
        more => format!("{kept} … ({more} more bytes)"),
    }
}

#[cfg(test)]
#[path = "entries_tests.rs"]
mod tests;
