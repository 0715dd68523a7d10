//! A host of a test's own: the on-host supervisor for real, through a local shell below a folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use paas_cluster_build::transport::{
    Connection, LocalConnection, LocalTransport, StepCall, StepEnd, StepRequest, TransportError,
};
use serde_json::Value;

use super::{run_step, step_request, supervise};

/// A host of its own for one test.
pub struct Ground {
    pub folder: tempfile::TempDir,
}

impl Ground {
    /// Makes an empty one.
    pub fn new() -> Ground {
        Ground {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Names the tool's folder there.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Names a file in the tool's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Connects.
    pub fn open(&self) -> LocalConnection {
        LocalTransport::new(self.root()).open()
    }

    /// Runs a script as step `nats` of run `r1`.
    pub fn run(&self, script: &str) -> (StepEnd, Vec<u8>) {
        ended(self.open(), &step_request("r1", "nats", script))
    }

    /// Runs a script as step `nats` of another run.
    pub fn run_as(&self, run: &str, script: &str) -> (StepEnd, Vec<u8>) {
        ended(self.open(), &step_request(run, "nats", script))
    }

    /// Reads a receipt.
    pub fn receipt(&self, step: &str) -> Value {
        let text = fs::read_to_string(self.path(&format!("receipts/{step}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A named pipe, by which a script and the test wait for each other.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        path
    }

    /// Reads a file that holds a number.
    pub fn pid(&self, file: &str) -> String {
        fs::read_to_string(self.path(file))
            .unwrap()
            .trim()
            .to_owned()
    }
}

/// Starts a step and follows it; returns its end and what it printed.
pub fn ended(mut connection: impl Connection, request: &StepRequest<'_>) -> (StepEnd, Vec<u8>) {
    let mut output = Vec::new();
    let end = run_step(&mut connection, request, &mut |bytes| {
        output.extend_from_slice(bytes)
    });
    (end.unwrap(), output)
}

/// Follows a step as its controller would.
pub fn follow(ground: &Ground, run: &str, step: &str, offset: u64) -> (StepEnd, Vec<u8>) {
    let mut output = Vec::new();
    let call = StepCall::Follow {
        run,
        step,
        offset,
        watch: false,
    };
    let end = supervise(&mut ground.open(), &call, &mut |bytes| {
        output.extend_from_slice(bytes)
    });
    (end.unwrap(), output)
}

/// A step that has begun and waits to be let go, with a controller of its own.
pub struct Begun {
    pub gate: PathBuf,
    pub interrupt: Box<dyn Fn() + Send + Sync>,
    controller: thread::JoinHandle<(Result<StepEnd, TransportError>, Vec<u8>)>,
}

impl Begun {
    /// Starts `before; wait; after` as step `nats` of run `r1`, and returns once the output of
    /// `before` has arrived.
    pub fn start(ground: &Ground, before: &str, after: &str) -> Begun {
        Begun::start_step(ground, "nats", before, after, "")
    }

    /// The same as step `uaa`, with something to blot out.
    pub fn start_with(ground: &Ground, before: &str, after: &str, redact: &str) -> Begun {
        Begun::start_step(ground, "uaa", before, after, redact)
    }

    fn start_step(
        ground: &Ground,
        step: &'static str,
        before: &str,
        after: &str,
        redact: &str,
    ) -> Begun {
        let redact = redact.to_owned();
        let gate = ground.fifo("gate");
        let script = format!("{before}\nread -r _ <'{}'\n{after}\n", gate.display());
        let mut connection = ground.open();
        let (tell, told) = mpsc::channel();
        let interrupt = connection.interrupter();
        let controller = thread::spawn(move || {
            let mut output = Vec::new();
            let request = StepRequest {
                redact: &redact,
                ..step_request("r1", step, &script)
            };
            let end = run_step(&mut connection, &request, &mut |bytes| {
                output.extend_from_slice(bytes);
                let _ = tell.send(());
            });
            (end, output)
        });
        told.recv().expect("the step prints something first");
        Begun {
            gate,
            interrupt,
            controller,
        }
    }

    /// Lets the step go on.
    pub fn let_go(&self) {
        fs::write(&self.gate, "go\n").unwrap();
    }

    /// Waits for the controller.
    pub fn end(self) -> (Result<StepEnd, TransportError>, Vec<u8>) {
        self.controller.join().unwrap()
    }
}

/// Sends a signal to a process that the test started.
pub fn kill(signal: &str, pid: &str) {
    assert!(
        Command::new("kill")
            .args([signal, pid])
            .status()
            .unwrap()
            .success()
    );
}

/// Blocks until a process that isn't ours is gone; `tail` does the waiting.
pub fn wait_until_gone(pid: &str) {
    let status = Command::new("tail")
        .args(["-f", "-s", "0.05", &format!("--pid={pid}"), "/dev/null"])
        .status();
    assert!(status.unwrap().success());
}

/// Blocks until somebody listens on a socket: its file is there a moment before.
pub fn wait_for_listener(path: &std::path::Path) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::os::unix::net::UnixStream::connect(path).is_err() {
        assert!(
            std::time::Instant::now() < until,
            "nobody listens on {path:?}"
        );
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Blocks until a file is there.
pub fn wait_for_file(path: &std::path::Path) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !path.exists() {
        assert!(std::time::Instant::now() < until, "{path:?} never came");
        thread::sleep(std::time::Duration::from_millis(20));
    }
}
