//! The on-host supervisor for real: the same loader, supervisor, wrapper and frames as over SSH,
//! through a local shell below a folder of the test's own.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use paas_cluster_build::script::Upload;
use paas_cluster_build::transport::{
    Connection, LocalConnection, LocalTransport, QueryOutput, StepEnd, StepRequest, TransportError,
    TransportErrorKind,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const RECEIPT: &str = r#"{"schema":1,"script":"print \"ü\"","run":"r1""#;
const HOLDER: &str = r#"{"operator":"ada","workstation":"desk","run":"r1","step":"nats"}"#;

/// A host of its own for one test.
struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Ground {
        Ground {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn open(&self) -> LocalConnection {
        LocalTransport::new(self.root()).open()
    }

    /// Runs a script as step `nats` of run `r1`.
    fn run(&self, script: &str) -> (StepEnd, Vec<u8>) {
        ended(self.open(), &request("r1", "nats", script))
    }

    fn receipt(&self, step: &str) -> Value {
        let text = fs::read_to_string(self.path(&format!("receipts/{step}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A named pipe, by which a script and the test wait for each other.
    fn fifo(&self, name: &str) -> PathBuf {
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

    fn pid(&self, file: &str) -> String {
        fs::read_to_string(self.path(file))
            .unwrap()
            .trim()
            .to_owned()
    }
}

fn request<'a>(run: &'a str, step: &'a str, script: &'a str) -> StepRequest<'a> {
    StepRequest {
        run,
        step,
        script,
        receipt: RECEIPT,
        holder: HOLDER,
        keep_script: false,
    }
}

fn ended(mut connection: impl Connection, request: &StepRequest<'_>) -> (StepEnd, Vec<u8>) {
    let mut output = Vec::new();
    let end = connection
        .run_step(request, &mut |bytes| output.extend_from_slice(bytes))
        .unwrap();
    (end, output)
}

fn follow(ground: &Ground, run: &str, step: &str, offset: u64) -> (StepEnd, Vec<u8>) {
    let mut output = Vec::new();
    let end = ground.open().follow(run, step, offset, &mut |bytes| {
        output.extend_from_slice(bytes)
    });
    (end.unwrap(), output)
}

/// A step that has begun and waits to be let go, with a controller of its own.
struct Begun {
    gate: PathBuf,
    interrupt: Box<dyn Fn() + Send + Sync>,
    controller: thread::JoinHandle<(Result<StepEnd, TransportError>, Vec<u8>)>,
}

impl Begun {
    /// Starts `before; wait; after` and returns once the output of `before` has arrived.
    fn start(ground: &Ground, before: &str, after: &str) -> Begun {
        let gate = ground.fifo("gate");
        let script = format!("{before}\nread -r _ <'{}'\n{after}\n", gate.display());
        let mut connection = ground.open();
        let (tell, told) = mpsc::channel();
        let interrupt = connection.interrupter();
        let controller = thread::spawn(move || {
            let mut output = Vec::new();
            let end = connection.run_step(&request("r1", "nats", &script), &mut |bytes| {
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

    fn let_go(&self) {
        fs::write(&self.gate, "go\n").unwrap();
    }

    fn end(self) -> (Result<StepEnd, TransportError>, Vec<u8>) {
        self.controller.join().unwrap()
    }
}

fn kill(signal: &str, pid: &str) {
    assert!(
        Command::new("kill")
            .args([signal, pid])
            .status()
            .unwrap()
            .success()
    );
}

/// Blocks until a process that isn't ours is gone; `tail` does the waiting.
fn wait_until_gone(pid: &str) {
    let status = Command::new("tail")
        .args(["-f", "-s", "0.05", &format!("--pid={pid}"), "/dev/null"])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_step_runs_and_leaves_its_receipt_output_and_status_but_no_script() {
    let ground = Ground::new();
    let (end, output) = ground.run("echo out; echo err >&2; echo \"$PAAS_STEP $PAAS_RUN\"\n");
    assert_eq!(end, StepEnd::Exited(0));
    assert_eq!(output, b"out\nerr\nnats r1\n");
    let receipt = ground.receipt("nats");
    assert_eq!(receipt["script"], "print \"ü\"");
    assert_eq!(receipt["status"], 0);
    assert!(receipt["started"].as_i64() <= receipt["finished"].as_i64());
    assert_eq!(receipt["boot_id"].as_str().unwrap().len(), 36);
    let mut left: Vec<String> = fs::read_dir(ground.path("runs/r1/nats"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["boot-id", "out", "pid", "status", "step-pid"]);
    assert!(!ground.path("holder").exists());
}

#[test]
fn a_step_that_is_sent_without_a_receipt_leaves_the_old_one() {
    let ground = Ground::new();
    ground.run("true\n");
    let old = fs::read(ground.path("receipts/nats.json")).unwrap();
    let restart = StepRequest {
        receipt: "",
        ..request("r2", "nats", "true\n")
    };
    assert_eq!(ended(ground.open(), &restart).0, StepEnd::Exited(0));
    assert_eq!(fs::read(ground.path("receipts/nats.json")).unwrap(), old);
}

#[test]
fn the_folder_and_all_in_it_is_the_owners_alone() {
    let ground = Ground::new();
    ground.run("umask; touch \"$PAAS_ROOT/../made-by-step\"");
    for path in ["", "runs/r1/nats", "receipts"] {
        assert_eq!(
            fs::metadata(ground.path(path)).unwrap().mode() & 0o077,
            0,
            "{path}"
        );
    }
    assert_eq!(
        fs::metadata(ground.path("runs/r1/nats/out"))
            .unwrap()
            .mode()
            & 0o777,
        0o600
    );
    let made = fs::metadata(ground.folder.path().join("made-by-step")).unwrap();
    assert_eq!(
        made.mode() & 0o777,
        0o644,
        "the step itself has the usual mask"
    );
}

#[test]
fn every_status_comes_through() {
    for (run, script, status) in [
        ("a", "exit 1", 1),
        ("b", "exit 143", 143),
        ("c", "kill -TERM $$", 143),
        ("d", "kill -KILL $$", 137),
        ("e", "this is not a command", 127),
        ("f", "if then", 2),
    ] {
        let ground = Ground::new();
        let (end, _) = ended(ground.open(), &request(run, "nats", script));
        assert_eq!(end, StepEnd::Exited(status), "{script}");
        assert_eq!(ground.receipt("nats")["status"], status, "{script}");
    }
}

#[test]
fn output_comes_byte_for_byte() {
    let ground = Ground::new();
    let (end, output) = ground.run(r"printf 'a\0b\377\npcb1 end 9\npcb1 data 99\nno newline'");
    assert_eq!(end, StepEnd::Exited(0));
    assert_eq!(output, b"a\0b\xff\npcb1 end 9\npcb1 data 99\nno newline");
}

#[test]
fn five_megabytes_come_whole_and_in_order() {
    let ground = Ground::new();
    let (end, output) = ground.run("seq 1 750000");
    assert_eq!(end, StepEnd::Exited(0));
    let expected: String = (1..=750_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(output.len(), expected.len());
    assert!(output == expected.as_bytes());
}

#[test]
fn a_script_is_kept_where_that_is_asked() {
    let ground = Ground::new();
    let script = "# é, a 'quote' and \"two\"\n\ttrue\n\n\n";
    let mut kept = request("r1", "nats", script);
    kept.keep_script = true;
    ended(ground.open(), &kept);
    assert_eq!(
        fs::read_to_string(ground.path("runs/r1/nats/script")).unwrap(),
        script
    );
}

#[test]
fn a_daemon_that_a_step_leaves_behind_holds_neither_lock_nor_controller() {
    let ground = Ground::new();
    let fifo = ground.fifo("daemon");
    let script = format!("(read -r _ <'{}'; echo late) & echo $!", fifo.display());
    let (end, output) = ground.run(&script);
    assert_eq!(end, StepEnd::Exited(0));
    let daemon = String::from_utf8(output).unwrap().trim().to_owned();
    assert!(Path::new(&format!("/proc/{daemon}")).exists());
    let (end, _) = ended(ground.open(), &request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Exited(0));
    fs::write(fifo, "end\n").unwrap();
    wait_until_gone(&daemon);
}

#[test]
fn a_second_step_is_told_who_holds_the_lock() {
    let ground = Ground::new();
    let first = Begun::start(&ground, "echo begun", "echo done");
    let (end, output) = ended(ground.open(), &request("r2", "uaa", "echo never"));
    assert_eq!(end, StepEnd::Locked(HOLDER.to_owned()));
    assert_eq!(output, b"");
    assert!(!ground.path("runs/r2/uaa").exists());
    first.let_go();
    assert_eq!(first.end().0.unwrap(), StepEnd::Exited(0));
    let (end, _) = ended(ground.open(), &request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Exited(0));
}

#[test]
fn steps_after_each_other_never_find_the_host_locked() {
    let ground = Ground::new();
    for n in 0..15 {
        let (end, _) = ended(ground.open(), &request(&format!("r{n}"), "nats", "true"));
        assert_eq!(end, StepEnd::Exited(0), "run {n}");
    }
}

#[test]
fn a_cut_follower_changes_nothing_and_the_rest_is_read_from_where_it_stopped() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "seq 1 1000; exit 3");
    (step.interrupt)();
    let gate = step.gate.clone();
    let (end, first) = step.end();
    assert_eq!(end.unwrap_err().kind, TransportErrorKind::Lost);
    assert_eq!(first, b"begun\n");
    fs::write(gate, "go\n").unwrap();
    let (end, rest) = follow(&ground, "r1", "nats", first.len() as u64);
    assert_eq!(end, StepEnd::Exited(3));
    let expected: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(rest, expected.as_bytes());
}

#[test]
fn a_step_that_is_sent_twice_runs_once() {
    let ground = Ground::new();
    let script = "echo once >>\"$PAAS_ROOT/count\"; echo said; exit 4";
    for _ in 0..2 {
        assert_eq!(ground.run(script), (StepEnd::Exited(4), b"said\n".to_vec()));
    }
    assert_eq!(fs::read_to_string(ground.path("count")).unwrap(), "once\n");
}

#[test]
fn a_step_that_is_sent_again_while_it_runs_is_followed() {
    let ground = Ground::new();
    let first = Begun::start(&ground, "echo once", "");
    let mut again = ground.open();
    let (tell, told) = mpsc::channel();
    let second = thread::spawn(move || {
        again.run_step(&request("r1", "nats", "echo twice"), &mut |bytes| {
            tell.send(bytes.to_vec()).unwrap();
        })
    });
    assert_eq!(told.recv().unwrap(), b"once\n");
    first.let_go();
    assert_eq!(second.join().unwrap().unwrap(), StepEnd::Exited(0));
    assert_eq!(first.end().1, b"once\n");
}

#[test]
fn a_killed_wrapper_leaves_the_end_unknown_and_the_host_locked_while_the_step_lives() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    let orphan = ground.pid("runs/r1/nats/step-pid");
    kill("-KILL", &ground.pid("runs/r1/nats/pid"));
    let gate = step.gate.clone();
    let (end, _) = step.end();
    let StepEnd::Unknown(why) = end.unwrap() else {
        panic!("not unknown")
    };
    assert!(why.contains("killed"), "{why}");
    assert_eq!(
        ground.receipt("nats")["status"],
        -1,
        "the receipt says that it never ended"
    );
    // The kernel's lock is gone with the wrapper, the step isn't.
    let (end, _) = ended(ground.open(), &request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Locked(HOLDER.to_owned()));
    assert!(ground.path("runs/r1/nats/script").exists());
    fs::write(gate, "go\n").unwrap();
    wait_until_gone(&orphan);
    let (end, _) = ended(ground.open(), &request("r2", "uaa", "true"));
    assert_eq!(end, StepEnd::Exited(0));
    assert!(
        !ground.path("runs/r1/nats/script").exists(),
        "its secrets went with it"
    );
}

#[test]
fn a_reboot_in_the_middle_is_told() {
    let ground = Ground::new();
    let step = Begun::start(&ground, "echo begun", "");
    let pids = [
        ground.pid("runs/r1/nats/pid"),
        ground.pid("runs/r1/nats/step-pid"),
    ];
    for pid in &pids {
        kill("-KILL", pid);
        wait_until_gone(pid);
    }
    assert!(matches!(step.end().0.unwrap(), StepEnd::Unknown(_)));
    fs::write(
        ground.path("runs/r1/nats/boot-id"),
        "00000000-0000-0000-0000-000000000000\n",
    )
    .unwrap();
    let (end, output) = follow(&ground, "r1", "nats", 0);
    assert_eq!(
        end,
        StepEnd::Unknown("the host rebooted while the step ran".into())
    );
    assert_eq!(output, b"begun\n");
    assert!(!ground.path("runs/r1/nats/script").exists());
}

#[test]
fn a_run_folder_that_was_left_half_way_is_started_over() {
    let ground = Ground::new();
    let folder = ground.path("runs/r1/nats");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("script"), "echo old").unwrap();
    fs::write(folder.join("out"), "old").unwrap();
    fs::write(ground.path("holder"), "half a line without its end").unwrap();
    assert_eq!(
        ground.run("echo new"),
        (StepEnd::Exited(0), b"new\n".to_vec())
    );
}

#[test]
fn a_step_that_the_host_never_saw_is_unknown() {
    let ground = Ground::new();
    let (end, _) = follow(&ground, "r9", "nats", 0);
    assert!(matches!(end, StepEnd::Unknown(why) if why.contains("never started")));
}

#[test]
fn a_folder_that_cannot_be_made_is_the_hosts_error_with_its_cause() {
    let ground = Ground::new();
    fs::write(ground.root(), "a file in the way").unwrap();
    let error = ground
        .open()
        .run_step(&request("r", "s", "true"), &mut |_| {})
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    assert!(
        error.message.contains("Not a directory") || error.message.contains("File exists"),
        "{error}"
    );
}

#[test]
fn names_that_would_leave_their_folder_are_refused() {
    let ground = Ground::new();
    for bad in ["../x", "a/b", "", ".hidden", "a b"] {
        assert!(
            ground
                .open()
                .run_step(&request("r1", bad, "true"), &mut |_| {})
                .is_err(),
            "{bad}"
        );
    }
    assert!(!ground.root().exists());
}

#[test]
fn a_query_prints_anything_and_leaves_nothing() {
    let ground = Ground::new();
    let output = ground
        .open()
        .query("printf 'a\\0\\377'; echo err >&2; cat; exit 7")
        .unwrap();
    assert_eq!(
        output,
        QueryOutput {
            output: b"a\0\xfferr\n".to_vec(),
            status: 7
        }
    );
    assert!(!ground.root().exists());
    let silent = ground.open().query("echo \"$PAAS_ROOT\"").unwrap();
    assert_eq!(
        silent.output,
        format!("{}\n", ground.root().display()).as_bytes()
    );
}

#[test]
fn a_query_is_bounded() {
    let ground = Ground::new();
    let error = ground.open().query("yes").unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    assert!(error.message.contains("4 MiB"), "{error}");
    let just = ground.open().query("head -c 4000000 /dev/zero").unwrap();
    assert_eq!(just.output.len(), 4_000_000);
}

#[test]
fn a_query_ends_although_what_it_started_holds_its_output() {
    let ground = Ground::new();
    let fifo = ground.fifo("holds");
    let script = format!("(read -r _ <'{}') & echo $!", fifo.display());
    let output = ground.open().query(&script).unwrap();
    assert_eq!(output.status, 0);
    fs::write(fifo, "end\n").unwrap();
    wait_until_gone(String::from_utf8(output.output).unwrap().trim());
}

fn upload(content: &[u8]) -> Upload {
    let sha256 = Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Upload {
        path: "a-file".into(),
        bytes: content.len() as u64,
        sha256,
    }
}

#[test]
fn a_file_is_put_once() {
    let ground = Ground::new();
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let upload = upload(&content);
    let mut sent = 0;
    ground
        .open()
        .put(&upload, &mut &content[..], &mut |bytes| sent = bytes)
        .unwrap();
    assert_eq!(sent, upload.bytes);
    let path = ground.path(&format!("artifacts/{}", upload.sha256));
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut unread = io::repeat(0).take(1);
    ground
        .open()
        .put(&upload, &mut unread, &mut |_| {
            panic!("nothing is to be sent")
        })
        .unwrap();
}

#[test]
fn a_file_with_another_digest_or_length_is_refused_and_leaves_nothing() {
    let ground = Ground::new();
    let upload = upload(b"right");
    let error = ground
        .open()
        .put(&upload, &mut &b"wrong"[..], &mut |_| {})
        .unwrap_err();
    assert!(error.message.contains("digest"), "{error}");
    let error = ground
        .open()
        .put(&upload, &mut &b"rig"[..], &mut |_| {})
        .unwrap_err();
    assert!(error.message.contains("cut short"), "{error}");
    assert_eq!(fs::read_dir(ground.path("artifacts")).unwrap().count(), 0);
    ground
        .open()
        .put(&upload, &mut &b"right"[..], &mut |_| {})
        .unwrap();
}

#[test]
fn a_file_that_is_too_large_for_the_disk_is_refused_before_it_is_sent() {
    let ground = Ground::new();
    let mut upload = upload(b"");
    upload.bytes = 1 << 60;
    let error = ground
        .open()
        .put(&upload, &mut io::repeat(0), &mut |_| {})
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    assert!(error.message.contains("too full"), "{error}");
}

#[test]
fn an_interrupted_file_is_sent_anew() {
    let ground = Ground::new();
    let content = vec![7; 1_000_000];
    let upload = upload(&content);
    let mut connection = ground.open();
    let interrupt = connection.interrupter();
    let error = connection
        .put(&upload, &mut &content[..], &mut |_| interrupt())
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Lost);
    assert!(
        !ground
            .path(&format!("artifacts/{}", upload.sha256))
            .exists()
    );
    ground
        .open()
        .put(&upload, &mut &content[..], &mut |_| {})
        .unwrap();
}

#[test]
fn the_supervisor_is_clean_under_shellcheck() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/supervisor");
    for file in ["supervisor.sh", "wrapper.sh"] {
        let checked = Command::new("shellcheck")
            .args(["-s", "sh"])
            .arg(folder.join(file))
            .output();
        let checked = checked.expect("shellcheck is installed by bin/install-tools");
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
    }
}
