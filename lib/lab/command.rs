//! Runs this computer's own tools (ip, iptables, debootstrap, …) with explicit arguments.
//!
//! No shell sees a value here. A failure carries the command, how it ended and what it said.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::error::Error;

/// Where administrators' tools are. `su` without `-` leaves the sbin folders out of PATH.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Builds a command with the system's tools in its PATH, an English locale and no input.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("PATH", path())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null());
    command
}

/// Runs a tool and returns its standard output; any exit status but 0 is an error.
pub(super) fn run<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> Result<String, Error> {
    let mut command = command(program);
    command.args(args);
    finish(&mut command)
}

/// Runs a prepared command and returns its standard output; any exit status but 0 is an error.
pub(super) fn finish(command: &mut Command) -> Result<String, Error> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(command, &output))
}

/// Runs a prepared command and returns how it ended, whatever its exit status.
pub(super) fn output(command: &mut Command) -> Result<Output, Error> {
    command.output().map_err(|error| Error::Command {
        command: typed(command),
        status: format!("couldn't be started: {error}"),
        stderr: String::new(),
    })
}

/// Puts a long command on a leash: it and all its children die with this process, and its mounts
/// vanish, so that a killed build leaves neither running.
pub(super) fn leashed<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = command("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args([
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(program)
        .args(args);
    command
}

/// Finds a tool in PATH or in the system's folders.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&path())
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Sends SIGKILL to processes; those that are gone already don't matter.
pub(super) fn kill_now(pids: &[u32]) -> Result<(), Error> {
    if pids.is_empty() {
        return Ok(());
    }
    // The shell's builtin, since /bin/kill is in a package that may be missing.
    let mut command = command("sh");
    command.args(["-c", "kill -s KILL \"$@\" 2>/dev/null || :", "kill"]);
    command.args(pids.iter().map(ToString::to_string));
    finish(&mut command).map(drop)
}

fn path() -> String {
    match std::env::var("PATH") {
        Ok(own) if !own.is_empty() => format!("{own}:{SYSTEM_PATH}"),
        _ => SYSTEM_PATH.to_owned(),
    }
}

fn failure(command: &Command, output: &Output) -> Error {
    // Tools that talk on standard output only (debootstrap) still explain themselves.
    let text = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    Error::Command {
        command: typed(command),
        status: match output.status.code() {
            Some(code) => format!("exited with status {code}"),
            None => format!("was ended by a signal ({})", output.status),
        },
        stderr: last_lines(&String::from_utf8_lossy(text), 20),
    }
}

fn typed(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Keeps the last lines of a text.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_command_status_and_stderr() {
        let error = run("sh", ["-c", "echo no such thing >&2; exit 3"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("exited with status 3"), "{error}");
        assert!(error.contains("no such thing"), "{error}");
        assert!(error.contains("`sh -c"), "{error}");
    }

    #[test]
    fn a_missing_tool_is_named() {
        let error = run("no-such-tool-of-the-lab", [""; 0])
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-such-tool-of-the-lab"), "{error}");
        assert!(find("no-such-tool-of-the-lab").is_none());
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}
