//! What a reader hears of its host.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::journal::Record;

/// What is heard of a source, or of one of its streams (by their numbers).
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// How the host's clock is: how far it's ahead of this machine's (zero where that can't be told
    /// from the time that the answer took), and what it adds to UTC.
    Clock {
        /// The source.
        source: usize,
        /// How far ahead; negative when it's behind.
        ahead: SignedDuration,
        /// The host's local time.
        zone: Offset,
    },
    /// What a file got.
    Bytes {
        /// The stream.
        stream: usize,
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether more stands before them that isn't read; then they may begin inside of a line.
        begins: Begins,
    },
    /// When a file was last written.
    Modified {
        /// The stream.
        stream: usize,
        /// By the host's clock.
        time: Timestamp,
    },
    /// A line that has no end won't get one: another file goes on.
    FileEnds {
        /// The stream.
        stream: usize,
    },
    /// An entry of the journal.
    Record {
        /// The stream.
        stream: usize,
        /// The entry.
        record: Box<Record>,
    },
    /// There is more of a journal than was read.
    Cut {
        /// The stream.
        stream: usize,
    },
    /// A file isn't there.
    Missing {
        /// The stream.
        stream: usize,
    },
    /// A file was taken away and another one has its name: what it got last may be missing.
    Replaced {
        /// The stream.
        stream: usize,
    },
    /// The look back begins anew, because it was cut; what came of it doesn't count.
    Again {
        /// The source.
        source: usize,
    },
    /// The look back is done.
    CaughtUp {
        /// The source.
        source: usize,
    },
    /// The connection was lost, or there is none; it's tried again.
    Lost {
        /// The source.
        source: usize,
        /// Why, and what to try.
        why: String,
    },
    /// It's there again.
    Back {
        /// The source.
        source: usize,
    },
    /// The source is read no further.
    Ended {
        /// The source.
        source: usize,
        /// Why.
        how: Ended,
    },
}

/// How what was read stands to what is read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// It goes on.
    GoesOn,
    /// It's the first that is read, and begins with a line.
    WithLine,
    /// It's the first that is read, and begins inside of a line.
    InLine,
}

/// Why a source isn't read any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All that was asked for is read.
    Done,
    /// The host has no journal.
    NoJournal,
    /// The host can't be worked on.
    Unreachable(String),
}
