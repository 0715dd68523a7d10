//! Events for programs: one JSON object a line, the same as in the journal.

use std::io::{self, Write};

use crate::event::Event;

/// Writes each event as a line of JSON.
///
/// A reader that goes away (a closed pipe) or a full disk silences it; the run isn't disturbed.
pub struct JsonLines<W: Write> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> JsonLines<W> {
    /// Makes one that writes to `out`.
    pub fn new(out: W) -> Self {
        JsonLines { out, error: None }
    }

    /// Returns the error that silenced it, if one did.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Writes an event.
    pub fn event(&mut self, event: &Event) {
        if self.error.is_none() {
            self.error = self.write(event).err();
        }
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fact;

    fn event(times: u32) -> Event {
        Event {
            time: jiff::Timestamp::UNIX_EPOCH,
            elapsed_ms: 0,
            run: "r1".to_owned(),
            fact: Fact::CancelRequested {
                times,
                by: "Ctrl-C".to_owned(),
            },
        }
    }

    #[test]
    fn each_line_is_the_event() {
        let mut out = Vec::new();
        let mut json = JsonLines::new(&mut out);
        json.event(&event(1));
        json.event(&event(2));
        let read: Vec<Event> = out
            .split_inclusive(|&b| b == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(read, [event(1), event(2)]);
    }

    #[test]
    fn a_closed_pipe_silences_it() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut json = JsonLines::new(writer);
        json.event(&event(1));
        json.event(&event(2));
        assert_eq!(json.error().unwrap().kind(), io::ErrorKind::BrokenPipe);
    }
}
