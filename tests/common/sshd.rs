//! A real sshd on this machine's loopback, with keys and configuration of the test's own. Who runs
//! the tests logs in as themselves.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::model::{Host, HostKeyPolicy, SshConfig, SshSettings, Sudo};
use paas_cluster_build::transport::{Connection, SshTransport, Transport, TransportError};

/// An sshd with a folder of its own; ends with the test.
pub struct Server {
    pub folder: tempfile::TempDir,
    pub port: u16,
    pub child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with("")
    }

    /// Starts one whose settings win over the usual ones.
    pub fn start_first(first: &str) -> Server {
        Server::start_between(first, "")
    }

    pub fn start_with(more: &str) -> Server {
        Server::start_between("", more)
    }

    fn start_between(first: &str, more: &str) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, kind) in [
            ("host", "ed25519"),
            ("host_rsa", "rsa"),
            ("client", "ed25519"),
        ] {
            make_key(&path(name), kind);
        }
        fs::copy(path("client.pub"), path("authorized")).unwrap();
        if user() == "root" {
            // sshd's own folder, which a package's service makes at boot.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let port = free_port();
        let config = format!(
            "{first}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {host}\nHostKey {host}_rsa\n\
             PidFile none\nUsePAM no\nStrictModes no\nAuthorizedKeysFile {authorized}\n\
             PermitRootLogin yes\nPasswordAuthentication no\nMaxStartups 200\nLogLevel VERBOSE\n{more}\n",
            host = path("host").display(),
            authorized = path("authorized").display(),
        );
        fs::write(path("config"), config).unwrap();
        if knows_penalties() {
            // Tests connect more often, and worse, than any client should.
            let more = "PerSourcePenalties no\n";
            let mut file = fs::OpenOptions::new()
                .append(true)
                .open(path("config"))
                .unwrap();
            file.write_all(more.as_bytes()).unwrap();
        }
        // sshd runs itself anew for each connection and wants to be called by its full path.
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssh-server is installed by bin/install-tools");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = log.clone();
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("Server listening") {
                    let _ = tell.send(());
                }
                kept.lock().unwrap().push(line);
            }
        });
        if told.recv().is_err() {
            panic!("sshd didn't start: {:?}", log.lock().unwrap());
        }
        Server {
            folder,
            port,
            child,
            log,
            reader: Some(reader),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn host(&self) -> Host {
        host(self.port, self.folder.path())
    }

    pub fn transport(&self) -> SshTransport {
        SshTransport::new().with_root(self.path("state").to_str().unwrap())
    }

    pub fn connect(&self, host: &Host) -> Result<Box<dyn Connection>, TransportError> {
        self.transport().connect(host, &Sudo::No)
    }

    /// Ends the server and returns what it logged.
    pub fn stop(mut self) -> Vec<String> {
        self.end();
        self.log.lock().unwrap().clone()
    }

    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn host(port: u16, folder: &Path) -> Host {
    Host {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ssh: SshSettings {
            user: user(),
            port,
            identity: Some(folder.join("client")),
            password: None,
            jump: Vec::new(),
            known_hosts: Some(folder.join("known/hosts")),
            host_keys: HostKeyPolicy::AcceptNew,
            port_is_set: true,
            config: SshConfig::Off,
        },
        packages: Vec::new(),
        place: Place::new(1, 1),
    }
}

/// Tells whether this sshd has the penalties of OpenSSH 9.8.
fn knows_penalties() -> bool {
    let asked = Command::new("/usr/sbin/sshd")
        .args(["-T", "-f", "/dev/null", "-o", "PerSourcePenalties=no"])
        .output()
        .unwrap();
    !String::from_utf8_lossy(&asked.stderr).contains("Bad configuration option")
}

pub fn user() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

pub fn make_key(path: &Path, kind: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", kind, "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub fn public_key(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

pub fn fingerprint(path: &Path) -> String {
    let printed = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(path)
        .output()
        .unwrap()
        .stdout;
    String::from_utf8(printed)
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned()
}

pub fn refused(outcome: Result<Box<dyn Connection>, TransportError>) -> TransportError {
    match outcome {
        Ok(_) => panic!("it connected"),
        Err(error) => error,
    }
}
