//! How the command ends: the exit codes, and the one place where errors are printed.

use std::process::ExitCode;

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
    /// The operator ended it.
    Cancelled,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Locked => 4,
            Exit::Cancelled => 130,
        })
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
}

impl Failure {
    /// Makes an error that ends the command with a code.
    pub fn new(exit: Exit, message: impl ToString) -> Failure {
        Failure {
            exit,
            message: message.to_string(),
            is_drawn: false,
        }
    }

    /// Makes an error about input or configuration.
    pub fn usage(message: impl ToString) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Makes an error of problems that are already drawn at their places in the file.
    pub fn drawn(message: String) -> Failure {
        Failure {
            exit: Exit::Usage,
            message,
            is_drawn: true,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::new(Exit::Failed, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(Exit::Failed, error)
    }
}

/// Prints an error and returns the code to end with.
pub fn report(failure: &Failure) -> ExitCode {
    let message = failure.message.trim_end();
    if failure.is_drawn {
        anstream::eprintln!("{message}");
    } else {
        use owo_colors::OwoColorize;
        anstream::eprintln!("{} {message}", "error:".red().bold());
    }
    failure.exit.into()
}
