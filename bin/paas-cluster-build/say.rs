//! What the tool prints: one writer for standard output, one for standard error.
//!
//! Nothing here panics. Standard output that can't be written is remembered and silent from then
//! on, so that what the command does isn't disturbed; `main` tells it at the end. Standard error
//! that can't be written has nobody left to be told.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use paas_cluster_build::report;

/// Why standard output can't be written any more.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints to standard output.
macro_rules! out {
    ($($word:tt)*) => { $crate::say::to_output(format_args!($($word)*)) };
}

/// Prints a line to standard output.
macro_rules! outln {
    ($($word:tt)*) => {
        $crate::say::to_output(format_args!("{}\n", format_args!($($word)*)))
    };
}

/// Prints to standard error.
macro_rules! err {
    ($($word:tt)*) => { $crate::say::to_error(format_args!($($word)*)) };
}

/// Prints lines to standard error, broken between words where the terminal is too narrow.
macro_rules! errln {
    ($($word:tt)*) => {
        $crate::say::to_error(format_args!("{}\n", $crate::say::fitted(&format!($($word)*))))
    };
}

/// Writes to standard output and hands it to the system at once: what waits in a buffer at the
/// process's end is lost without a word.
pub fn to_output(text: Arguments<'_>) {
    if FAULT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_some()
    {
        return;
    }
    let mut out = anstream::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        fail(error);
    }
}

/// Writes to standard error.
pub fn to_error(text: Arguments<'_>) {
    let mut err = anstream::stderr().lock();
    let _ = err.write_fmt(text).and_then(|()| err.flush());
}

/// Remembers why standard output can't be written; the first reason counts.
pub fn fail(error: io::Error) {
    let mut fault = FAULT.lock().unwrap_or_else(PoisonError::into_inner);
    fault.get_or_insert(error);
}

/// Tells whether standard output can't be written any more.
pub fn is_faulty() -> bool {
    let fault = FAULT.lock().unwrap_or_else(PoisonError::into_inner);
    fault.is_some()
}

/// Takes the reason why standard output couldn't be written, if it couldn't.
pub fn fault() -> Option<io::Error> {
    FAULT.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Returns how wide the terminal is that standard output goes to; nothing for pipes and files.
pub fn output_width() -> Option<usize> {
    width(io::stdout())
}

/// Returns how wide the terminal is that standard error goes to; nothing for pipes and files.
pub fn error_width() -> Option<usize> {
    width(io::stderr())
}

/// Breaks lines between words where standard error goes to a terminal that is too narrow for them.
pub fn fitted(text: &str) -> String {
    report::wrap(text, error_width())
}

fn width(stream: impl IsTerminal + AsFd) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let (width, _) = terminal_size::terminal_size_of(stream)?;
    // A terminal that doesn't know its size says 0.
    (width.0 > 0).then_some(width.0.into())
}
