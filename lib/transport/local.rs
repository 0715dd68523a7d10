//! This machine as a host: the same loader, supervisor and frames through a local shell, as the
//! current user and below a folder of the caller's. For tests of the protocol.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::link::Link;
use super::protocol::{self, Duplex, Exchange, Rights};
use super::{Connection, Transport, TransportError, TransportErrorKind};
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

    fn exchange(&self, request: &str, blobs: &[&[u8]]) -> Result<Exchange<Shell>, TransportError> {
        let start = || {
            let shell = Shell::start()?;
            let socket = shell.socket.try_clone()?;
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
            Ok(shell)
        };
        let shell = start().map_err(|error: io::Error| {
            TransportError::new(TransportErrorKind::LocalSetup, format!("sh: {error}"))
        })?;
        Exchange::open(shell, None, request, blobs)
    }

    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync> {
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
}

impl Shell {
    fn start() -> io::Result<Shell> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &protocol::command(Rights::Own)]);
        Shell::spawn(shell)
    }

    fn spawn(mut command: Command) -> io::Result<Shell> {
        let (socket, theirs) = UnixStream::pair()?;
        let child = command
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .spawn()?;
        Ok(Shell { child, socket })
    }
}

impl Read for Shell {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.socket.read(buffer) {
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// What sudo does with its arguments and input, as far as we rely on it: it reads the password
    /// a byte at a time and leaves the rest to the command.
    const FAKE_SUDO: &str = r#"#!/bin/sh
echo 'sudo: unable to resolve host here' >&2
if [ -e "$0.free" ]; then asks=no; else asks=yes; fi
case $1 in
-n)
    if [ $asks = yes ]; then echo 'sudo: a password is required' >&2; exit 1; fi
    shift
    ;;
-k)
    shift 4
    if [ $asks = yes ]; then
        IFS= read -r password
        if [ "$password" != 'pass word' ]; then echo 'sudo: 1 incorrect password attempt' >&2; exit 1; fi
    fi
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
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &protocol::command(rights)])
            .env("PATH", folder);
        let line = protocol::query_request("/nowhere", "n0nce", "echo root");
        Exchange::open(
            Shell::spawn(shell).unwrap(),
            password,
            &line,
            &[b"echo root"],
        )?
        .query("n0nce")
    }

    /// Makes a folder with all that the loader needs, and perhaps a sudo.
    fn programs(sudo: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sh", "head"] {
            std::os::unix::fs::symlink(Path::new("/usr/bin").join(name), folder.path().join(name))
                .unwrap();
        }
        if let Some(text) = sudo {
            let path = folder.path().join("sudo");
            // Written by another process: a fork of another test's at this moment would hold it
            // open for writing, and then it can't be run.
            let mut install = Command::new("sh");
            install
                .args(["-c", "printf %s \"$1\" >\"$2\"", "sh", text])
                .arg(&path);
            assert!(install.status().unwrap().success());
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        folder
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
            (
                Rights::SudoWithPassword,
                Some("wrong"),
                "incorrect password",
            ),
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
