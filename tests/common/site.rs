//! A small cluster of site jobs on real machines of the lab, with a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use paas_cluster_build::lab::requirements;
use tempfile::TempDir;

use super::{skip, with_yes};

/// The machines of one test program and its cluster file.
pub struct Site {
    pub folder: TempDir,
    pub file: PathBuf,
}

impl Site {
    /// Boots the machines of a cluster file that has no `ssh` of its own; `jobs` are site jobs:
    /// name, job.yml, script. `None`, said loudly, where machines can't be booted.
    pub fn boot(text: &str, jobs: &[(&str, &str, &str)]) -> Option<Site> {
        if let Err(missing) = requirements() {
            let name = text.lines().next().unwrap_or_default();
            skip(&format!("{name}: the lab can't run here ({})", missing[0]));
            return None;
        }
        let folder = TempDir::new().unwrap();
        for (name, yml, script) in jobs {
            let job = folder.path().join("jobs").join(name);
            fs::create_dir_all(&job).unwrap();
            fs::write(job.join("job.yml"), yml).unwrap();
            fs::write(job.join(format!("{name}.sh")), script).unwrap();
        }
        let file = folder.path().join("cluster.yml");
        let login = "jobs_dir: jobs\nssh: {user: paas, identity: .lab/id_ed25519, \
                     known_hosts: .lab/known_hosts}\n";
        fs::write(&file, format!("{text}{login}")).unwrap();
        let site = Site { folder, file };
        // A run that was killed before may have left machines.
        site.succeeds(&["lab", "down"]);
        site.succeeds(&["lab", "up"]);
        Some(site)
    }

    /// Writes a cluster file that has no `ssh` of its own into a folder, with what `fill` adds there;
    /// no machine is booted yet. `None`, said loudly, where machines can't be booted.
    pub fn prepared(text: &str, fill: impl FnOnce(&Path)) -> Option<Site> {
        if let Err(missing) = requirements() {
            let name = text.lines().next().unwrap_or_default();
            skip(&format!("{name}: the lab can't run here ({})", missing[0]));
            return None;
        }
        let folder = TempDir::new().unwrap();
        fill(folder.path());
        let file = folder.path().join("cluster.yml");
        let login = "ssh: {user: paas, identity: .lab/id_ed25519, known_hosts: .lab/known_hosts}\n";
        fs::write(&file, format!("{text}{login}")).unwrap();
        let site = Site { folder, file };
        site.succeeds(&["lab", "down"]);
        Some(site)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces words in the cluster file.
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "{from} isn't in the cluster file");
        fs::write(&self.file, text.replace(from, to)).unwrap();
    }

    /// The binary with a state folder of this name.
    pub fn command_from(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
        command
            .arg("-c")
            .arg(&self.file)
            .arg("--state-dir")
            .arg(self.path(state))
            .args(with_yes(arguments))
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command_from("state", arguments).output().unwrap()
    }

    /// Starts the binary and returns at once; what it prints goes to a file of this name.
    pub fn start(&self, state: &str, log: &str, arguments: &[&str]) -> Child {
        let log = fs::File::create(self.path(log)).unwrap();
        self.command_from(state, arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Runs the binary, which must succeed, and returns what it printed.
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            output.status,
            said(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command as root on one machine and returns what it printed.
    pub fn on(&self, host: &str, command: &str) -> String {
        let arguments = [
            "exec", "--output", "json", "--root", "--limit", host, "--", command,
        ];
        let line = self.succeeds(&arguments);
        let value: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
        value["output"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a file that the binary writes holds a text, and returns it whole.
    pub fn await_text(&self, log: &str, text: &str) -> String {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
        loop {
            let said = fs::read_to_string(self.path(log)).unwrap_or_default();
            if said.contains(text) {
                return said;
            }
            assert!(
                std::time::Instant::now() < until,
                "`{text}` never came:\n{said}"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.run(&["lab", "down"]);
        if !std::thread::panicking() {
            assert_journals_replay(self.folder.path());
        }
    }
}

/// Both outputs of a command that ended.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Sends a signal to a process that the test started.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Replays every journal below a state folder: none may hold an event that can't have happened.
pub fn assert_journals_replay(state: &Path) -> usize {
    let mut count = 0;
    let Ok(entries) = fs::read_dir(state) else {
        return 0;
    };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            count += assert_journals_replay(&path);
        } else if path.file_name().is_some_and(|name| name == "journal.jsonl") {
            let (events, _) = paas_cluster_build::journal::read_journal(&path).unwrap();
            let mut run = paas_cluster_build::run_state::RunState::new();
            for event in &events {
                run.apply(event)
                    .unwrap_or_else(|error| panic!("{}: {error}: {event:?}", path.display()));
                let line = serde_json::to_string(event).unwrap();
                let again: paas_cluster_build::event::Event = serde_json::from_str(&line).unwrap();
                assert_eq!(&again, event);
            }
            count += 1;
        }
    }
    count
}
