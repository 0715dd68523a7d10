//! This machine as a host: the same loader, supervisor and frames through a local shell, as the
//! current user and below a folder of the caller's. For tests of the protocol.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::protocol::{self, Duplex, Exchange};
use super::{
    Connection, QueryOutput, StepEnd, StepRequest, Transport, TransportError, TransportErrorKind,
};
use crate::model::{Host, Sudo};
use crate::script::Upload;

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
}

impl LocalConnection {
    fn exchange(&self, request: &str, blobs: &[&[u8]]) -> Result<Exchange<Shell>, TransportError> {
        let shell = Shell::start().map_err(|error| {
            TransportError::new(TransportErrorKind::LocalSetup, format!("sh: {error}"))
        })?;
        Exchange::open(shell, None, request, blobs)
    }

    /// Follows a step that was started before, from a byte of its output on.
    ///
    /// # Errors
    /// As for [`Connection::run_step`].
    pub fn follow(
        &mut self,
        run: &str,
        step: &str,
        offset: u64,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<StepEnd, TransportError> {
        let line = protocol::follow_request(&self.root, run, step, offset)?;
        self.exchange(&line, &[])?.follow(on_output)
    }
}

impl Connection for LocalConnection {
    fn query(&mut self, script: &str) -> Result<QueryOutput, TransportError> {
        let nonce = protocol::nonce()?;
        let line = protocol::query_request(&self.root, &nonce, script);
        self.exchange(&line, &[script.as_bytes()])?.query(&nonce)
    }

    fn run_step(
        &mut self,
        request: &StepRequest<'_>,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<StepEnd, TransportError> {
        let line = protocol::step_request(&self.root, request)?;
        let blobs = [request.script, request.receipt, request.holder].map(str::as_bytes);
        self.exchange(&line, &blobs)?.follow(on_output)
    }

    fn put(
        &mut self,
        upload: &Upload,
        content: &mut dyn Read,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), TransportError> {
        let line = protocol::put_request(&self.root, upload)?;
        self.exchange(&line, &[])?.put(upload, content, on_progress)
    }

    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| {})
    }
}

/// A local shell that runs the loader, its two outputs as one.
struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: io::PipeReader,
}

impl Shell {
    fn start() -> io::Result<Shell> {
        let (output, writer) = io::pipe()?;
        let mut child = Command::new("sh")
            .args(["-c", protocol::LOADER])
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(writer.try_clone()?))
            .stderr(OwnedFd::from(writer))
            .spawn()?;
        let input = child.stdin.take();
        Ok(Shell {
            child,
            input,
            output,
        })
    }
}

impl Read for Shell {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.read(buffer)
    }
}

impl Write for Shell {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.input {
            Some(input) => input.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), ChildStdin::flush)
    }
}

impl Duplex for Shell {
    fn close_write(&mut self) -> io::Result<()> {
        self.input = None;
        Ok(())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The follower; a step that it started is in a session of its own and goes on.
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
