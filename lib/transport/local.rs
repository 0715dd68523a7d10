//! This machine as a host: the same loader, supervisor and frames through a local shell, as the
//! current user and below a folder of the caller's. For tests of the protocol.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::link::Link;
use super::protocol::{Duplex, Exchange, Rights, Start};
use super::{Connection, FIRST_WORD, Interrupter, Transport, TransportError, TransportErrorKind};
use crate::model::{Host, Sudo};

/// Opens connections to this machine.
#[derive(Debug, Clone)]
pub struct LocalTransport {
    root: PathBuf,
}

impl LocalTransport {
    /// Makes a transport that keeps its files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> LocalTransport {
        LocalTransport { root: root.into() }
    }

    /// Opens a connection without a host to name.
    pub fn open(&self) -> LocalConnection {
        LocalConnection {
            root: self.root.display().to_string(),
            current: Arc::default(),
        }
    }
}

impl Transport for LocalTransport {
    fn connect(&self, _: &Host, _: &Sudo) -> Result<Box<dyn Connection>, TransportError> {
        Ok(Box::new(self.open()))
    }
}

/// A connection to this machine.
#[derive(Debug)]
pub struct LocalConnection {
    root: String,
    /// The socket of the request that runs, for whoever interrupts it.
    current: Arc<Mutex<Option<UnixStream>>>,
}

impl Link for LocalConnection {
    type Loader<'a> = Shell;

    fn root(&self) -> &str {
        &self.root
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    fn first_word(&self) -> Duration {
        FIRST_WORD
    }

    fn exchange(&self, request: &str, blobs: &[&[u8]]) -> Result<Exchange<Shell>, TransportError> {
        let loader = Start::new(Rights::Own, false)?;
        let start = || {
            let shell = Shell::start(&loader)?;
            let socket = shell.socket.try_clone()?;
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
            Ok(shell)
        };
        let shell = start().map_err(|error: io::Error| {
            TransportError::new(TransportErrorKind::LocalSetup, format!("sh: {error}"))
        })?;
        let mut shell = BufReader::new(shell);
        loader.pass(&mut shell, None, &[], FIRST_WORD)?;
        Exchange::open(shell, Vec::new(), request, blobs)
    }

    fn interrupter(&self) -> Interrupter {
        let current = self.current.clone();
        Box::new(move || {
            if let Some(socket) = &*current.lock().unwrap_or_else(PoisonError::into_inner) {
                // A socket that's already down needs no second end.
                let _ = socket.shutdown(Shutdown::Both);
            }
        })
    }
}

/// A local shell that runs the loader, on one socket for both directions, as sshd has it.
pub(super) struct Shell {
    child: Child,
    socket: UnixStream,
    /// When a read has to be done.
    until: Option<Instant>,
}

impl Shell {
    fn start(loader: &Start) -> io::Result<Shell> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &loader.command()]);
        Shell::spawn(shell)
    }

    fn spawn(mut command: Command) -> io::Result<Shell> {
        let (socket, theirs) = UnixStream::pair()?;
        let child = command
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .spawn()?;
        Ok(Shell {
            child,
            socket,
            until: None,
        })
    }
}

impl Read for Shell {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            // Zero would mean that there is no end to it.
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left))?;
        }
        match self.socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            // A shell that ended without reading all that was sent: after its words, this is the end.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            other => other,
        }
    }
}

impl Write for Shell {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Duplex for Shell {
    fn close_write(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    // A process on this machine can't be lost without its socket's end.
    fn expect_signs(&mut self, _: Duration) {}

    fn expect_by(&mut self, moment: Option<Instant>) {
        self.until = moment;
        // A socket that is down has nothing to wait for.
        let _ = self.socket.set_read_timeout(None);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The follower; a step that it started is in a session of its own and goes on.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::super::QueryOutput;
    use super::super::protocol::query_request;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// What sudo does with its arguments and input, as far as we rely on it: it reads the password
    /// a byte at a time and leaves the rest to the command.
    const FAKE_SUDO: &str = r#"#!/bin/sh
echo 'sudo: unable to resolve host here: Name or service not known' >&2
if [ -e "$0.free" ]; then asks=no; else asks=yes; fi
case $1 in
-n)
    if [ $asks = yes ]; then echo 'sudo: a password is required' >&2; exit 1; fi
    shift
    ;;
-k)
    prompt=$4
    shift 4
    while [ $asks = yes ]; do
        printf %s "$prompt" >&2
        if ! IFS= read -r password; then echo 'sudo: 1 incorrect password attempt' >&2; exit 1; fi
        if [ "$password" = 'pass word' ]; then asks=no; else echo 'Sorry, try again.' >&2; fi
    done
    ;;
esac
exec "$@"
"#;

    /// Runs a query with `sudo` being what lies in a folder.
    fn query(
        folder: &Path,
        rights: Rights,
        password: Option<&str>,
    ) -> Result<QueryOutput, TransportError> {
        let loader = Start::new(rights, true)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &loader.command()]).env("PATH", folder);
        let mut shell = BufReader::new(Shell::spawn(command).unwrap());
        loader.pass(&mut shell, password, &[], FIRST_WORD)?;
        let line = query_request("/nowhere", "n0nce", "echo root");
        Exchange::open(shell, Vec::new(), &line, &[b"echo root"])?.query("n0nce", FIRST_WORD, None)
    }

    /// Makes a folder with all that the loader needs, and perhaps a sudo.
    fn programs(sudo: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sh", "head"] {
            std::os::unix::fs::symlink(Path::new("/usr/bin").join(name), folder.path().join(name))
                .unwrap();
        }
        // Root's rights are told by this, whoever runs the tests.
        install(&folder.path().join("id"), "#!/bin/sh\necho 0\n");
        if let Some(text) = sudo {
            install(&folder.path().join("sudo"), text);
        }
        folder
    }

    /// Writes a program by another process: a fork of another test's at this moment would hold it
    /// open for writing, and then it can't be run.
    fn install(path: &Path, text: &str) {
        let mut install = Command::new("sh");
        install
            .args(["-c", "printf %s \"$1\" >\"$2\"", "sh", text])
            .arg(path);
        assert!(install.status().unwrap().success());
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn sudo_may_take_the_password_or_leave_it() {
        let folder = programs(Some(FAKE_SUDO));
        let path = folder.path();
        let answer = |rights, password| query(path, rights, password).unwrap().output;
        assert_eq!(
            answer(Rights::SudoWithPassword, Some("pass word")),
            b"root\n"
        );
        fs::write(path.join("sudo.free"), "").unwrap();
        assert_eq!(
            answer(Rights::SudoWithPassword, Some("pass word")),
            b"root\n"
        );
        assert_eq!(answer(Rights::Sudo, None), b"root\n");
    }

    #[test]
    fn a_sudo_that_refuses_or_is_missing_is_told_in_its_own_words() {
        let folder = programs(Some(FAKE_SUDO));
        for (rights, password, words) in [
            (Rights::Sudo, None, "a password is required"),
            (Rights::SudoWithPassword, Some("wrong"), "Sorry, try again"),
        ] {
            let error = query(folder.path(), rights, password).unwrap_err();
            assert_eq!(error.kind, TransportErrorKind::Sudo);
            assert!(error.message.contains(words), "{error}");
        }
        let error = query(programs(None).path(), Rights::Sudo, None).unwrap_err();
        assert_eq!(error.kind, TransportErrorKind::Sudo);
        assert!(error.message.contains("not found"), "{error}");
    }
}
