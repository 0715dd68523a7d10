//! What the scripts of `deploy/logs/` print, line by line.

use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use jiff::tz::Offset;

/// The longest line: a piece of a file, or an entry of the journal with all of its fields.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The host's clock, and what it adds to UTC.
    Clock(Timestamp, Offset),
    /// A file is there: its number, inode, size, and when it was last written.
    File {
        number: usize,
        inode: u64,
        modified: Timestamp,
    },
    /// A file isn't there.
    Missing(usize),
    /// A file is read from this byte on.
    At(usize, u64),
    /// A part of a file.
    Piece(Piece),
    /// Another file is read from its start on, under the same number.
    New(usize, u64),
    /// The file that was read before isn't there any more; what it got last may be missing.
    Gone(usize),
    /// The newest entry of the journal.
    Cursor(String),
    /// An entry of the journal, as journalctl has it.
    Entry(String),
    /// There is no journal.
    None,
    /// The script is done.
    End,
    /// Nothing new, but the host is there.
    Alive,
}

/// A part of a file, with some bytes that stand before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub number: usize,
    pub inode: u64,
    /// Where it begins.
    pub offset: u64,
    /// What stands before it.
    pub before: Vec<u8>,
    pub bytes: Vec<u8>,
    /// Whether it's out of what may be a copy of the file: then it counts only if what stands before it
    /// is what was read last.
    pub is_copy: bool,
}

/// Makes lines of what comes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes what came and returns the lines that are whole now.
    ///
    /// # Errors
    /// A line that is longer than any that the scripts print.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(&rest[..at]);
            lines.push(String::from_utf8_lossy(&self.begun).into_owned());
            self.begun.clear();
            rest = &rest[at + 1..];
        }
        self.begun.extend_from_slice(rest);
        match self.begun.len() > LONGEST_LINE {
            true => Err("a line of the host's answer doesn't end".to_owned()),
            false => Ok(lines),
        }
    }
}

/// Reads a line; `None` for what no script prints.
pub(super) fn parse(line: &str) -> Option<Said> {
    if line.starts_with('{') {
        return Some(Said::Entry(line.to_owned()));
    }
    let mut words = line.split(' ');
    match words.next()? {
        "clock" => {
            let (seconds, nanoseconds) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let time = Timestamp::new(seconds, nanoseconds).ok()?;
            Some(Said::Clock(time, parse_offset(words.next()?)?))
        }
        "file" => Some(Said::File {
            number: words.next()?.parse().ok()?,
            inode: words.next()?.parse().ok()?,
            modified: {
                let _size: u64 = words.next()?.parse().ok()?;
                Timestamp::from_second(words.next()?.parse().ok()?).ok()?
            },
        }),
        "missing" => Some(Said::Missing(words.next()?.parse().ok()?)),
        "at" => Some(Said::At(
            words.next()?.parse().ok()?,
            words.next()?.parse().ok()?,
        )),
        word @ ("piece" | "copy") => {
            let number = words.next()?.parse().ok()?;
            let inode = words.next()?.parse().ok()?;
            let offset = words.next()?.parse().ok()?;
            let before: usize = words.next()?.parse().ok()?;
            let mut bytes = Base64::decode_vec(words.next()?).ok()?;
            // Fewer where the file was emptied at this moment.
            let rest = bytes.split_off(before.min(bytes.len()));
            Some(Said::Piece(Piece {
                number,
                inode,
                offset,
                before: bytes,
                bytes: rest,
                is_copy: word == "copy",
            }))
        }
        "new" => Some(Said::New(
            words.next()?.parse().ok()?,
            words.next()?.parse().ok()?,
        )),
        "gone" => Some(Said::Gone(words.next()?.parse().ok()?)),
        "cursor" => Some(Said::Cursor(words.next()?.to_owned())),
        "none" => Some(Said::None),
        "end" => Some(Said::End),
        "alive" => Some(Said::Alive),
        _ => None,
    }
}

/// Reads `+0100`.
pub(super) fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"ali").unwrap(), Vec::<String>::new());
        assert_eq!(lines.take(b"ve\nend\nx").unwrap(), ["alive", "end"]);
        assert!(lines.take(&vec![b'x'; LONGEST_LINE]).is_err());
    }

    #[test]
    fn every_line_of_the_scripts_is_understood_and_no_other() {
        let piece = Piece {
            number: 2,
            inode: 7,
            offset: 3,
            before: b"ab\n".to_vec(),
            bytes: b"c\0\xff".to_vec(),
            is_copy: false,
        };
        assert_eq!(
            parse("piece 2 7 3 3 YWIKYwD/"),
            Some(Said::Piece(piece.clone()))
        );
        let copy = Piece {
            is_copy: true,
            ..piece
        };
        assert_eq!(parse("copy 2 7 3 3 YWIKYwD/"), Some(Said::Piece(copy)));
        let clock = parse("clock 1700000000 500000000 -0130");
        let half = Timestamp::new(1_700_000_000, 500_000_000).unwrap();
        let offset = Offset::from_seconds(-5400).unwrap();
        assert_eq!(clock, Some(Said::Clock(half, offset)));
        assert_eq!(parse("new 0 9"), Some(Said::New(0, 9)));
        assert_eq!(
            parse("cursor s=1;i=2"),
            Some(Said::Cursor("s=1;i=2".into()))
        );
        for bad in [
            "",
            "piece",
            "piece 1 2 3 4 !",
            "clock 1 2 3",
            "new x 1",
            "hello",
            "file 1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
