//! The scripts that read logs on a host: `deploy/logs/`.

use askama::Template;
use base64ct::{Base64, Encoding};
use serde::Serialize;

use crate::job::HOME;

/// What is asked of log files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileLook {
    /// The end of each.
    Back {
        /// So many bytes of each, at most.
        bytes: u64,
        /// Nothing of those that got nothing for so many seconds; 0 for any time.
        seconds: u64,
    },
    /// What each gets from a place on, in the order of the files.
    From(Vec<Place>),
}

/// How far a file is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Which file it is on its disk; 0 where there was none.
    pub inode: u64,
    /// How many of its bytes are known.
    pub offset: u64,
    /// Whether it has been written anew since.
    pub is_emptied: bool,
    /// What stood before that, up to 256 bytes of it; empty where it isn't known.
    pub before: Vec<u8>,
}

/// What is asked of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalLook {
    /// The newest entries.
    Back {
        /// So many of each group of units, at most.
        lines: u64,
        /// None that are older than so many seconds; 0 for any time.
        seconds: u64,
    },
    /// Those from an entry on, or all where the journal was empty.
    After(Option<String>),
}

/// `deploy/logs/files.sh`.
#[derive(Template, Serialize)]
#[template(path = "logs/files.sh", config = "config/askama.toml")]
struct Files<'a> {
    paas_user: &'a str,
    paas_home: &'a str,
    logs: Vec<Known<'a>>,
    follows: bool,
    bytes: u64,
    seconds: u64,
}

#[derive(Serialize)]
struct Known<'a> {
    number: usize,
    path: &'a str,
    inode: u64,
    offset: u64,
    emptied: &'a str,
    mark: String,
}

/// `deploy/logs/journal.sh`.
#[derive(Template, Serialize)]
#[template(path = "logs/journal.sh", config = "config/askama.toml")]
struct Journal<'a> {
    groups: &'a [Vec<&'a str>],
    follows: bool,
    has_cursor: bool,
    cursor: &'a str,
    lines: u64,
    has_since: bool,
    since: &'a str,
}

/// Renders the script that reads files.
///
/// # Errors
/// Why the template can't be rendered.
pub fn file_script(
    user: &str,
    home: &str,
    paths: &[&str],
    look: &FileLook,
) -> Result<String, String> {
    let places: &[Place] = match look {
        FileLook::Back { .. } => &[],
        FileLook::From(places) => places,
    };
    let (bytes, seconds) = match look {
        FileLook::Back { bytes, seconds } => (*bytes, *seconds),
        FileLook::From(_) => (0, 0),
    };
    let known = paths.iter().enumerate().map(|(number, path)| {
        let place = places.get(number).cloned().unwrap_or_default();
        Known {
            number,
            path,
            inode: place.inode,
            offset: place.offset,
            emptied: if place.is_emptied { "yes" } else { "no" },
            mark: Base64::encode_string(&place.before),
        }
    });
    let script = Files {
        paas_user: user,
        paas_home: home,
        logs: known.collect(),
        follows: matches!(look, FileLook::From(_)),
        bytes,
        seconds,
    };
    let script = rendered("deploy/logs/files.sh", script.render())?;
    Ok(without_comments(HOME) + &script)
}

/// Renders the script that reads the journal, for groups of units: so many entries of each group.
///
/// # Errors
/// Why the template can't be rendered.
pub fn journal_script(groups: &[Vec<&str>], look: &JournalLook) -> Result<String, String> {
    let (cursor, lines, seconds) = match look {
        JournalLook::Back { lines, seconds } => (None, *lines, *seconds),
        JournalLook::After(cursor) => (cursor.as_deref(), 0, 0),
    };
    let script = Journal {
        groups,
        follows: matches!(look, JournalLook::After(_)),
        has_cursor: cursor.is_some(),
        cursor: cursor.unwrap_or_default(),
        lines,
        has_since: seconds > 0,
        since: &format!("-{seconds}s"),
    };
    rendered("deploy/logs/journal.sh", script.render())
}

fn rendered(name: &str, script: askama::Result<String>) -> Result<String, String> {
    let script = script.map_err(|error| format!("{name}: {error}"))?;
    Ok(without_comments(&script))
}

/// Leaves out what is for readers: it would travel with every request.
fn without_comments(script: &str) -> String {
    let lines = script.lines().filter(|line| {
        let text = line.trim_start();
        !text.is_empty() && !text.starts_with('#')
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}
