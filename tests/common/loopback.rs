//! Several hosts on this machine's loopback: a real sshd for each, at an address of its own, in a
//! namespace in which the tool's folder on the host is the test's, and with processes of its own.
//! Needs root; no machine is booted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::site::said;
use super::skip;
use super::sshd::{free_port, make_key, user};

/// Waits until no other test program has a bus at port 4222 of the hosts' addresses, and keeps others
/// from it until it's dropped: the hosts share this machine's ports.
pub fn alone_with_the_bus() -> fs::File {
    let path = std::env::temp_dir().join("paas-cluster-build-tests-bus");
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap();
    file.lock().unwrap();
    file
}

/// The hosts, their keys, and a folder for cluster files and state folders.
pub struct Loopback {
    folder: tempfile::TempDir,
    port: u16,
    servers: Vec<Option<Child>>,
}

/// What the namespace has that this machine's tools don't see: the tool's folder, a machine id, the
/// mark of a running systemd with a `systemctl` that says yes, and empty folders wherever a step may
/// take something away.
const NAMESPACE: &str = "
mount --bind \"$1/host\" /var/lib/paas-cluster-build
for folder in /run /root /etc/systemd/system /etc/sudoers.d; do
	if [ -d \"$folder\" ]; then mount -t tmpfs tmpfs \"$folder\"; fi
done
mkdir -p /run/sshd /run/systemd/system
if [ -e /etc/machine-id ]; then mount --bind \"$1/machine-id\" /etc/machine-id; fi
if [ -e /usr/bin/systemctl ]; then mount --bind /usr/bin/true /usr/bin/systemctl; fi
exec /usr/sbin/sshd -D -e -f \"$1/config\"
";

impl Loopback {
    /// Starts so many hosts. `None`, said loudly, without root's rights.
    pub fn start(hosts: usize) -> Option<Loopback> {
        if user() != "root" {
            skip("hosts on loopback: a mount namespace needs root");
            return None;
        }
        // Only a place to mount on: each host has a folder of its own there.
        fs::create_dir_all("/var/lib/paas-cluster-build").unwrap();
        let folder = tempfile::tempdir().unwrap();
        make_key(&folder.path().join("client"), "ed25519");
        let mut loopback = Loopback {
            folder,
            port: free_port(),
            servers: (0..hosts).map(|_| None).collect(),
        };
        for host in 0..hosts {
            loopback.make(host);
            loopback.up(host);
        }
        Some(loopback)
    }

    /// A host's address.
    pub fn address(host: usize) -> String {
        format!("127.0.0.{}", 71 + host)
    }

    fn place(&self, host: usize) -> PathBuf {
        self.folder.path().join(format!("machine-{host}"))
    }

    fn make(&self, host: usize) {
        let place = self.place(host);
        fs::create_dir_all(place.join("host")).unwrap();
        fs::write(place.join("machine-id"), format!("{host:032x}\n")).unwrap();
        make_key(&place.join("key"), "ed25519");
        let config = format!(
            "Port {port}\nListenAddress {address}\nHostKey {key}\nPidFile none\nUsePAM no\n\
             StrictModes no\nAuthorizedKeysFile {authorized}\nPermitRootLogin yes\n\
             PasswordAuthentication no\nMaxStartups 200\n",
            port = self.port,
            address = Loopback::address(host),
            key = place.join("key").display(),
            authorized = self.folder.path().join("client.pub").display(),
        );
        fs::write(place.join("config"), config).unwrap();
    }

    /// Starts a host's sshd and waits until it listens.
    pub fn up(&mut self, host: usize) {
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            // Processes of its own, too: that tells one machine from another.
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-euc"])
            .args([NAMESPACE, "sh"])
            .arg(self.place(host))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("Server listening"));
        assert!(listens, "sshd didn't start for {}", Loopback::address(host));
        // What it says later isn't read, and mustn't stop it.
        std::thread::spawn(move || lines.for_each(drop));
        self.servers[host] = Some(child);
    }

    /// Takes a host away: nobody can connect any more.
    pub fn down(&mut self, host: usize) {
        let mut child = self.servers[host].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The tool's folder on a host, or something in it.
    pub fn on(&self, host: usize, path: &str) -> PathBuf {
        self.place(host).join("host").join(path)
    }

    /// A file on a host, as text; empty when it isn't there.
    pub fn text_on(&self, host: usize, path: &str) -> String {
        fs::read_to_string(self.on(host, path)).unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a site job: its `job.yml` and its script.
    pub fn job(&self, name: &str, yml: &str, script: &str) {
        let folder = self.path("jobs").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("job.yml"), yml).unwrap();
        fs::write(folder.join(format!("{name}.sh")), script).unwrap();
    }

    /// Writes a cluster file that has no `ssh` and `jobs_dir` of its own; folders are made.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let base = self.folder.path().display();
        let login = format!(
            "jobs_dir: {base}/jobs\nssh: {{user: root, port: {}, identity: {base}/client, \
             known_hosts: {base}/known_hosts}}\n",
            self.port
        );
        fs::write(&path, format!("{text}{login}")).unwrap();
        path
    }

    /// The binary, for a cluster file, with a state folder of this name.
    pub fn command(&self, file: &Path, state: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"));
        command
            .arg("-c")
            .arg(file)
            .arg("--state-dir")
            .arg(self.path(state))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end; returns its exit code and all that it printed.
    pub fn run(&self, file: &Path, state: &str, arguments: &[&str]) -> (i32, String) {
        let output: Output = self.command(file, state, arguments).output().unwrap();
        (output.status.code().unwrap_or(-1), said(&output))
    }

    /// Runs the binary, which must succeed; returns all that it printed.
    pub fn succeeds(&self, file: &Path, state: &str, arguments: &[&str]) -> String {
        let (code, said) = self.run(file, state, arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    }

    /// Starts the binary and returns at once; what it prints goes to a file of this name.
    pub fn start_command(&self, file: &Path, state: &str, log: &str, arguments: &[&str]) -> Child {
        let log = fs::File::create(self.path(log)).unwrap();
        self.command(file, state, arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Waits until a file in the test's folder holds a text, and returns it whole.
    pub fn await_text(&self, name: &str, text: &str) -> String {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let said = fs::read_to_string(self.path(name)).unwrap_or_default();
            if said.contains(text) {
                return said;
            }
            assert!(Instant::now() < until, "`{text}` never came:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // With a host's first process all of its others end, steps that outlived their connection too.
        for child in self.servers.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
