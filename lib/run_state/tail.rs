//! The end of a step's output, in bounded memory.

use std::collections::VecDeque;

/// How many lines of a step's output are kept.
pub const TAIL_LINES: usize = 20;

/// How many lines of what a failed step's services and logs say are kept.
pub const LOG_LINES: usize = 60;

/// How many bytes of one line are kept; the rest of a longer line is dropped.
const LINE_BYTES: usize = 2048;

/// What stands for the dropped rest of a long line.
const CUT: char = '…';

/// The last lines that a step printed; at most [`TAIL_LINES`] and about 40 KiB, unless made for
/// more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// How many lines are kept.
    room: usize,
    /// The last one may still grow, unless `complete`.
    lines: VecDeque<String>,
    complete: bool,
}

impl Default for Tail {
    fn default() -> Self {
        Tail::of(TAIL_LINES)
    }
}

impl Tail {
    /// Makes an empty one for so many lines.
    pub(super) fn of(room: usize) -> Tail {
        Tail {
            room,
            lines: VecDeque::new(),
            complete: false,
        }
    }

    /// Adds text as it came, in pieces of any size.
    pub(super) fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            if self.complete || self.lines.is_empty() {
                if self.lines.len() == self.room {
                    self.lines.pop_front();
                }
                self.lines.push_back(String::new());
            }
            self.complete = piece.ends_with('\n');
            if let Some(line) = self.lines.back_mut() {
                append_bounded(line, piece.trim_end_matches('\n'));
            }
        }
    }

    /// Goes through the lines, oldest first, without their line ends.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Returns the last line that isn't blank.
    pub fn last_line(&self) -> Option<&str> {
        self.lines
            .iter()
            .rev()
            .map(String::as_str)
            .find(|line| !line.trim().is_empty())
    }
}

fn append_bounded(line: &mut String, piece: &str) {
    if line.len() + piece.len() <= LINE_BYTES {
        line.push_str(piece);
    } else if !(line.len() >= LINE_BYTES && line.ends_with(CUT)) {
        // With the mark the line is at the limit or over it, so this happens once.
        let room = LINE_BYTES.saturating_sub(line.len());
        let end = (0..=room).rev().find(|&i| piece.is_char_boundary(i));
        line.push_str(&piece[..end.unwrap_or(0)]);
        line.push(CUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(tail: &Tail) -> Vec<&str> {
        tail.lines().collect()
    }

    #[test]
    fn pieces_grow_into_lines() {
        let mut tail = Tail::default();
        for piece in ["on", "e\ntwo", "\n", "\nthree"] {
            tail.push(piece);
        }
        assert_eq!(lines(&tail), ["one", "two", "", "three"]);
        assert_eq!(tail.last_line(), Some("three"));
    }

    #[test]
    fn blank_lines_at_the_end_are_passed_over() {
        let mut tail = Tail::default();
        tail.push("the cause\n\n  \n");
        assert_eq!(tail.last_line(), Some("the cause"));
    }

    #[test]
    fn only_the_last_twenty_are_kept() {
        let mut tail = Tail::default();
        for i in 0..100 {
            tail.push(&format!("line {i}\n"));
        }
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert_eq!(tail.lines().next(), Some("line 80"));
        assert_eq!(tail.last_line(), Some("line 99"));
    }

    #[test]
    fn an_endless_line_stays_bounded_and_is_marked_once() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.push("日本語");
        }
        let line = tail.last_line().unwrap();
        assert!(line.len() <= LINE_BYTES + CUT.len_utf8(), "{}", line.len());
        assert_eq!(line.matches(CUT).count(), 1);
        tail.push("\nnext");
        assert_eq!(tail.last_line(), Some("next"));
    }
}
