//! What can go wrong in a lab, said so that a person knows what to do next.
//!
//! Not a place for recovery: callers branch on the variant, people read the text.

use std::path::{Path, PathBuf};

use super::requirements::Missing;

/// Reports why the lab couldn't do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This computer can't run a lab as it is; every missing thing is listed.
    #[error("the lab can't run here:{}", list(.0))]
    CannotRun(Vec<Missing>),
    /// The specification is wrong in itself; every problem is listed.
    #[error("the lab's specification is wrong:{}", list(.0))]
    BadSpec(Vec<String>),
    /// The lab would collide with something that is already there.
    #[error("refused:{}", list(.0))]
    Refused(Vec<String>),
    /// There is no lab of that name on this computer.
    #[error("lab {0} isn't there; `lab up` makes it")]
    NoLab(String),
    /// The lab has no machine of that name.
    #[error("lab {lab} has no machine {machine}; it has {}", .known.join(", "))]
    NoMachine {
        /// The lab's name.
        lab: String,
        /// The machine that was asked for.
        machine: String,
        /// The machines that there are.
        known: Vec<String>,
    },
    /// The lab has no room of that name.
    #[error("lab {lab} has no room {room}; it has {}", .known.join(", "))]
    NoRoom {
        /// The lab's name.
        lab: String,
        /// The room that was asked for.
        room: String,
        /// The rooms that there are.
        known: Vec<String>,
    },
    /// The machine is off.
    #[error("machine {0} isn't running; boot it first")]
    NotRunning(String),
    /// A machine didn't come up; the end of its console is included.
    #[error("machine {machine} didn't come up: {why}\nits console ({}) ends:\n{tail}", .log.display())]
    Boot {
        /// The machine.
        machine: String,
        /// What happened instead.
        why: String,
        /// The file with all its console output.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// An external command failed.
    #[error("`{command}` {status}{}", stderr_text(.stderr))]
    Command {
        /// The command as it would be typed.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote to standard error (its last lines).
        stderr: String,
    },
    /// A file or folder couldn't be read or changed.
    #[error("can't {doing} {}: {cause}", .path.display())]
    File {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause; not a `source`, since the text has it already.
        cause: std::io::Error,
    },
    /// The output of a tool or a file of the lab isn't what this version understands.
    #[error("can't understand {what}: {why}")]
    Unexpected {
        /// Whose text it is.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Several machines failed; the others are fine.
    #[error("{}", several(.0))]
    Several(Vec<Error>),
}

/// Attaches what was tried, and on which path, to an I/O error.
pub(super) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|cause| Error::File {
            doing,
            path: path.to_owned(),
            cause,
        })
    }
}

fn list(items: &[impl std::fmt::Display]) -> String {
    items.iter().map(|item| format!("\n  - {item}")).collect()
}

fn several(errors: &[Error]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn stderr_text(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(":\n{stderr}")
    }
}
