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
}

impl Failure {
    /// Makes an error about input or configuration.
    pub fn usage(message: impl ToString) -> Failure {
        Failure { exit: Exit::Usage, message: message.to_string() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure { exit: Exit::Failed, message: format!("{error:#}") }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure { exit: Exit::Failed, message: error.to_string() }
    }
}

/// Prints an error and returns the code to end with.
pub fn report(failure: &Failure) -> ExitCode {
    let message = failure.message.trim_end();
    if message.starts_with("error") {
        anstream::eprintln!("{message}");
    } else {
        use owo_colors::OwoColorize;
        anstream::eprintln!("{} {message}", "error:".red().bold());
    }
    failure.exit.into()
}
