//! A folder with a cluster file and a state folder, and the binary as a user calls it there.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A desk of one user.
pub struct Desk {
    pub folder: TempDir,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Desk {
    pub fn new(text: &str) -> Desk {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("cluster.yml"), text).unwrap();
        Desk { folder }
    }

    /// The cluster of the repository's example file.
    pub fn seed() -> Desk {
        Desk::new(include_str!("../fixtures/seed-cluster.yml"))
    }

    /// A cluster of one site job on one loopback host, reached at a port.
    pub fn at_port(port: u16, ssh: &str) -> Desk {
        Desk::new(&format!(
            "name: desk\ncomponents: [redis]\njobs_dir: {}/tests/fixtures/site-jobs\n\
             ssh: {{port: {port}{ssh}}}\nserver:\n  redis:\n    ip: 127.0.0.1\n",
            env!("CARGO_MANIFEST_DIR")
        ))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary, not yet started, with nothing to read and in no language.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
        command
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env("PAAS_CLUSTER_FILE", "cluster.yml")
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(&self.command(arguments).output().unwrap())
    }

    /// Runs it with a text on its standard input.
    pub fn feed(&self, text: &str, arguments: &[&str]) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who doesn't read its input to the end has a reason of its own.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        ended(&child.wait_with_output().unwrap())
    }

    /// Runs it with a standard output that is full.
    pub fn run_on_full_disk(&self, arguments: &[&str]) -> Ended {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = self.command(arguments);
        ended(&command.stdout(full).output().unwrap())
    }

    /// Runs it with a standard output that nobody reads.
    pub fn run_unread(&self, arguments: &[&str]) -> Ended {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(arguments);
        ended(&command.stdout(writer).output().unwrap())
    }

    /// The journals that this desk keeps.
    pub fn journals(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("state")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path.ends_with("journal.jsonl") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

fn ended(output: &Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code().expect("no signal ends it"),
        out: text(&output.stdout),
        error: text(&output.stderr),
    }
}
