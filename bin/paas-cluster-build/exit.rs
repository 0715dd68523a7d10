//! How the command ends: the exit codes, and the one place where errors are printed.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use paas_cluster_build::cluster_file::{Problem, render_problems, sort_problems};
use paas_cluster_build::journal::write_error_words;
use paas_cluster_build::report::Outcome;
use serde_json::{Value, json};

use crate::args::Output;
use crate::say;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// A step failed.
    Failed,
    /// Bad input or configuration.
    Usage,
    /// Hosts couldn't be reached.
    Unreachable,
    /// Another run was in the way.
    Locked,
    /// `plan --exit-code` found something to do.
    Changes,
    /// A kept plan was made from another state than the present one.
    Stale,
    /// Standard output couldn't be written.
    Unprintable,
    /// The operator ended it.
    Cancelled,
    /// Nobody read standard output to its end; shells say the same of a program that SIGPIPE ended.
    ClosedPipe,
}

impl Exit {
    /// The code, a word for programs, and what `--help` says of it.
    const fn description(self) -> (u8, &'static str, &'static str) {
        match self {
            Exit::Done => (0, "done", "done, or nothing to do"),
            Exit::Failed => (1, "failed", "a step failed"),
            Exit::Usage => (
                2,
                "usage",
                "bad input or configuration; nothing was changed",
            ),
            Exit::Unreachable => (3, "unreachable", "hosts unreachable"),
            Exit::Locked => (4, "locked", "locked by another run"),
            Exit::Changes => (5, "changes", "plan --exit-code: there is something to do"),
            Exit::Stale => (6, "stale", "apply: the plan was made from another state"),
            Exit::Unprintable => (7, "output", "standard output couldn't be written"),
            Exit::Cancelled => (130, "cancelled", "cancelled, or not confirmed"),
            Exit::ClosedPipe => (
                141,
                "closed_pipe",
                "standard output was closed by its reader",
            ),
        }
    }

    /// Returns how a command ends whose run ended so.
    pub fn of(outcome: Outcome) -> Exit {
        match outcome {
            Outcome::Done => Exit::Done,
            Outcome::Failed => Exit::Failed,
            Outcome::Unreachable => Exit::Unreachable,
            Outcome::Locked => Exit::Locked,
            Outcome::Cancelled => Exit::Cancelled,
        }
    }

    /// Returns the exit code.
    pub fn code(self) -> u8 {
        self.description().0
    }
}

/// Every way to end, in the order of the codes.
const ALL: [Exit; 10] = [
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::Unreachable,
    Exit::Locked,
    Exit::Changes,
    Exit::Stale,
    Exit::Unprintable,
    Exit::Cancelled,
    Exit::ClosedPipe,
];

/// Lists the exit codes as `--help` shows them.
pub fn codes_help() -> String {
    let line = |exit: Exit| {
        let (code, _, words) = exit.description();
        format!("  {code:<5}{words}\n")
    };
    format!("Exit codes:\n{}", ALL.map(line).concat())
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error that ends the command: what to print, and the code to end with.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What happened and what to do; complete, may have several lines.
    pub message: String,
    /// Whether the message brings its own `error:`, as the drawings of problems in a file do.
    is_drawn: bool,
    /// The problems of the cluster file, for programs.
    problems: Vec<Value>,
}

impl Failure {
    /// Makes an error that ends the command with a code.
    pub fn new(exit: Exit, message: impl ToString) -> Failure {
        Failure {
            exit,
            message: message.to_string(),
            is_drawn: false,
            problems: Vec::new(),
        }
    }

    /// Makes an error about input or configuration.
    pub fn usage(message: impl ToString) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Makes an error of a file that can't be written.
    pub fn unwritable(path: &Path, error: &io::Error) -> Failure {
        let why = write_error_words(error);
        Failure::usage(format!("{} can't be written: {why}", path.display()))
    }

    /// Makes an error of problems that are already drawn at their places in the file.
    pub fn drawn(message: String) -> Failure {
        Failure {
            is_drawn: true,
            ..Failure::usage(message)
        }
    }

    /// Makes an error of problems in the cluster file, drawn at their places.
    pub fn problems(path: &Path, text: &str, problems: &[Problem]) -> Failure {
        let mut problems = problems.to_vec();
        sort_problems(&mut problems);
        let of_file = |problem: &Problem| {
            json!({
                "file": path, "line": problem.place.line, "column": problem.place.column,
                "message": problem.message, "expected": problem.expected, "help": problem.help,
            })
        };
        Failure {
            problems: problems.iter().map(of_file).collect(),
            // anstream takes the colours out again where they aren't wanted.
            ..Failure::drawn(render_problems(path, text, &problems, true))
        }
    }

    /// Tells whether it's about problems in the cluster file.
    pub fn is_drawn(&self) -> bool {
        self.is_drawn
    }

    /// Adds lines to the message.
    pub fn followed_by(mut self, more: &str) -> Failure {
        self.message.push_str(more);
        self
    }

    fn as_json(&self) -> Value {
        let (code, kind, _) = self.exit.description();
        let text = anstream::adapter::strip_str(&self.message).to_string();
        let is_help = |line: &&str| line.starts_with("help: ");
        let help = text.lines().filter(is_help);
        let help: Vec<&str> = help.map(|line| &line["help: ".len()..]).collect();
        let message: Vec<&str> = match self.is_drawn {
            true => text.lines().collect(),
            false => text.lines().filter(|line| !is_help(line)).collect(),
        };
        json!({"error": {
            "code": code,
            "kind": kind,
            "message": message.join("\n").trim_end(),
            "help": help,
            "problems": self.problems,
        }})
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::new(Exit::Failed, format!("{error:#}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(Exit::Failed, write_error_words(&error))
    }
}

/// Prints an error and returns how to end. Programs get it where they read everything else.
pub fn report(failure: &Failure, output: Output) -> Exit {
    let message = failure.message.trim_end();
    if output == Output::Json {
        outln!("{}", failure.as_json());
    } else if failure.is_drawn {
        errln!("{message}");
    } else {
        use owo_colors::OwoColorize;
        errln!("{} {}", "error:".red().bold(), say::fitted(message));
    }
    failure.exit
}

/// Ends the command: an output that couldn't be written takes the place of a good end.
pub fn end(exit: Exit) -> ExitCode {
    let Some(fault) = say::fault() else {
        return exit.into();
    };
    let is_closed = fault.kind() == io::ErrorKind::BrokenPipe;
    if !is_closed {
        let why = write_error_words(&fault);
        errln!("error: standard output can't be written: {why}; the rest of it is lost");
    }
    match exit {
        Exit::Done | Exit::Changes if is_closed => Exit::ClosedPipe.into(),
        Exit::Done | Exit::Changes => Exit::Unprintable.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_message_and_help_apart() {
        let failure = Failure::usage("bad\n  worse\nhelp: do this\nhelp: or that");
        assert_eq!(
            failure.as_json(),
            json!({"error": {
                "code": 2, "kind": "usage", "message": "bad\n  worse",
                "help": ["do this", "or that"], "problems": [],
            }})
        );
    }
}
