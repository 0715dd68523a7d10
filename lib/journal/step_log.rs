//! The output of one step as a file of bounded size.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::folder::make_private_file;

/// How much of one step's output is kept, in bytes; what follows is dropped.
pub const STEP_LOG_BYTES: usize = 16 * 1024 * 1024;

/// The line that stands where a step's output was cut.
const CUT: &str = "\n[cut here: only the first 16 MiB of this step's output are kept]\n";

/// A step's log that is being written.
#[derive(Debug)]
pub(super) struct StepLog {
    file: File,
    room: Room,
}

impl StepLog {
    /// Makes the log of a step that begins.
    pub(super) fn create(path: &Path) -> io::Result<StepLog> {
        Ok(StepLog {
            file: make_private_file(path)?,
            room: Room::new(STEP_LOG_BYTES),
        })
    }

    /// Appends output and returns what was kept of it.
    pub(super) fn append(&mut self, text: &str) -> io::Result<String> {
        let kept = self.room.take(text);
        self.file.write_all(kept.as_bytes())?;
        Ok(kept)
    }
}

/// What is left of a bounded amount of text.
#[derive(Debug)]
struct Room {
    bytes: usize,
    cut: bool,
}

impl Room {
    fn new(bytes: usize) -> Room {
        Room { bytes, cut: false }
    }

    /// Returns what still fits; the first time that something doesn't, the cut line follows it.
    fn take(&mut self, text: &str) -> String {
        if self.cut {
            return String::new();
        }
        if text.len() <= self.bytes {
            self.bytes -= text.len();
            return text.to_owned();
        }
        self.cut = true;
        let end = (0..=self.bytes).rev().find(|&i| text.is_char_boundary(i));
        format!("{}{CUT}", &text[..end.unwrap_or(0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_once_and_between_characters() {
        let mut room = Room::new(8);
        assert_eq!(room.take("12345"), "12345");
        assert_eq!(room.take("日本"), format!("日{CUT}"));
        assert_eq!(room.take("more"), "");
        assert_eq!(room.take(""), "");
    }

    #[test]
    fn output_of_exactly_the_limit_is_whole() {
        let mut room = Room::new(4);
        assert_eq!(room.take("1234"), "1234");
        assert_eq!(room.take(""), "");
        assert_eq!(room.take("5"), CUT);
    }
}
