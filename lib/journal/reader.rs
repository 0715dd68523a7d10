//! Reads a journal back.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::event::Event;

/// The last line of a journal whose writing was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornLine {
    /// Its number, from 1.
    pub line: usize,
    /// How many bytes of it are there.
    pub bytes: usize,
}

/// Why a journal can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file can't be opened or read.
    #[error("can't read {}: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that was written to its end isn't an event.
    #[error("{}:{line}: not an event: {source}", .path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Reads all events of a journal, and tells of a last line that was never finished.
///
/// A line is finished by its line end. What follows the last line end is torn and not looked at,
/// even if it should read as an event.
///
/// # Errors
/// A file that can't be read, or a finished line that isn't an event.
pub fn read_journal(path: &Path) -> Result<(Vec<Event>, Option<TornLine>), ReadError> {
    let io_error = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(io_error)?);
    let mut events = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        reader.read_until(b'\n', &mut bytes).map_err(io_error)?;
        if bytes.is_empty() {
            break;
        }
        if bytes.last() != Some(&b'\n') {
            let bytes = bytes.len();
            return Ok((events, Some(TornLine { line, bytes })));
        }
        let event = serde_json::from_slice(&bytes).map_err(|source| ReadError::Corrupt {
            path: path.to_owned(),
            line,
            source,
        })?;
        events.push(event);
    }
    Ok((events, None))
}
