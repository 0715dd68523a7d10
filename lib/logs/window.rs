//! Entries of many hosts in order of time, while they come: each is held back for a moment, so that
//! what happened before it elsewhere has time to arrive.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::entries::Entry;

/// How long an entry is held back.
const HELD: Duration = Duration::from_millis(1000);
/// How many are held back at most, and how many bytes.
const MOST: usize = 20_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Entries that are held back.
#[derive(Debug, Default)]
pub struct Window {
    held: BTreeMap<(Timestamp, u64), (Entry, Instant)>,
    bytes: usize,
    count: u64,
}

impl Window {
    /// Holds an entry back that came now.
    pub fn hold(&mut self, entry: Entry, now: Instant) {
        self.bytes += entry.size();
        self.count += 1;
        self.held.insert((entry.time, self.count), (entry, now));
    }

    /// Returns what was held back for long enough, with all that happened before it.
    pub fn release(&mut self, now: Instant) -> Vec<Entry> {
        let is_due = |came: &Instant| now.saturating_duration_since(*came) >= HELD;
        let held = self.held.iter().rev();
        let mut due = held.filter(|(_, (_, came))| is_due(came));
        let until = due.next().map(|(key, _)| *key);
        let mut released = Vec::new();
        while let Some((key, _)) = self.held.first_key_value()
            && (until.is_some_and(|until| *key <= until)
                || self.held.len() > MOST
                || self.bytes > MOST_BYTES)
        {
            released.extend(self.first());
        }
        released
    }

    /// Returns all that is held back.
    pub fn rest(&mut self) -> Vec<Entry> {
        std::iter::from_fn(|| self.first()).collect()
    }

    fn first(&mut self) -> Option<Entry> {
        let (_, (entry, _)) = self.held.pop_first()?;
        self.bytes -= entry.size();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;

    fn entry(second: i64, message: &str) -> Entry {
        Entry {
            stream: 0,
            time: Timestamp::from_second(second).unwrap(),
            line: Line::plain(message),
            more: Vec::new(),
        }
    }

    fn messages(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|e| e.line.message.as_str()).collect()
    }

    #[test]
    fn what_happened_before_is_shown_before() {
        let (mut window, start) = (Window::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        window.hold(entry(3, "three"), at(0));
        window.hold(entry(1, "one"), at(500));
        window.hold(entry(9, "nine"), at(500));
        assert_eq!(window.release(at(900)), []);
        assert_eq!(messages(&window.release(at(1000))), ["one", "three"]);
        assert_eq!(window.release(at(1400)), []);
        // Of one time: as they came.
        window.hold(entry(9, "nine again"), at(600));
        assert_eq!(messages(&window.rest()), ["nine", "nine again"]);
        assert_eq!(window.bytes, 0);
    }

    #[test]
    fn it_is_bounded() {
        let (mut window, now) = (Window::default(), Instant::now());
        for second in 0..MOST as i64 + 5 {
            window.hold(entry(second, "x"), now);
        }
        assert_eq!(window.release(now).len(), 5);
        let half = "y".repeat(MOST_BYTES / 2);
        window.hold(entry(i64::from(u32::MAX), &half), now);
        window.hold(entry(i64::from(u32::MAX), &half), now);
        assert_eq!(window.release(now).len(), MOST + 1);
        assert_eq!(window.rest().len(), 1);
    }
}
