//! Programs on this machine that are waited for within bounds.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait between two looks whether the program has ended.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of its output is taken.
const OUTPUT: u64 = 1024 * 1024;

/// Runs a program that reads nothing, and returns its status and standard output; one that isn't done
/// in time is killed.
///
/// # Errors
/// It can't be started; `TimedOut` where the time was over.
pub(super) fn output(command: &mut Command, limit: Duration) -> io::Result<(ExitStatus, Vec<u8>)> {
    let until = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (tell, told) = mpsc::channel();
    let stdout = child.stdout.take();
    // A thread of its own: what the program started may hold its output open for longer than it
    // lives, and then this one is left behind.
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(stdout) = stdout {
            // What can't be read isn't there; the exit status tells.
            let _ = stdout.take(OUTPUT).read_to_end(&mut text);
        }
        let _ = tell.send(text);
    });
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < until => thread::sleep(PAUSE),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    };
    let left = until.saturating_duration_since(Instant::now());
    match told.recv_timeout(left) {
        Ok(text) => Ok((status, text)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(line: &str, limit: Duration) -> io::Result<(ExitStatus, Vec<u8>)> {
        output(Command::new("sh").args(["-c", line]), limit)
    }

    #[test]
    fn a_program_that_hangs_or_leaves_one_behind_is_given_up() {
        let (status, text) = sh("cat; seq 100000; exit 3", Duration::from_secs(20)).unwrap();
        assert_eq!((status.code(), text.len()), (Some(3), 588_895));
        for hangs in ["exec sleep 30", "sleep 30 &"] {
            let error = sh(hangs, Duration::from_millis(300)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{hangs}");
        }
    }
}
