//! A connection made of exchanges: whatever can run the loader once for each request is one.

use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

use super::protocol::{self, Duplex, Exchange};
use super::{Connection, Interrupter, QueryOutput, StepCall, StepEnd, StepNews, TransportError};
use crate::script::Upload;

/// A way to run the loader on a host.
pub(super) trait Link: Send {
    /// The loader's streams.
    type Loader<'a>: Duplex
    where
        Self: 'a;

    /// Names the folder in which the tool keeps its files there.
    fn root(&self) -> &str;

    /// Lists what is blotted out of every text of the connection.
    fn secrets(&self) -> Vec<String>;

    /// How long the host may take to say its first word.
    fn first_word(&self) -> Duration;

    /// Runs the loader and sends it a request.
    fn exchange(
        &self,
        request: &str,
        blobs: &[&[u8]],
    ) -> Result<Exchange<Self::Loader<'_>>, TransportError>;

    /// As [`Connection::interrupter`].
    fn interrupter(&self) -> Interrupter;

    /// Asks a query, within a limit if there is one.
    fn ask(&self, script: &str, limit: Option<Duration>) -> Result<QueryOutput, TransportError> {
        let nonce = protocol::nonce()?;
        let line = protocol::query_request(self.root(), &nonce, script);
        self.exchange(&line, &[script.as_bytes()])?
            .query(&nonce, self.first_word(), limit)
    }
}

impl<L: Link> Connection for L {
    fn query(&mut self, script: &str) -> Result<QueryOutput, TransportError> {
        self.ask(script, None)
    }

    fn query_within(
        &mut self,
        script: &str,
        limit: Duration,
    ) -> Result<QueryOutput, TransportError> {
        self.ask(script, Some(limit))
    }

    fn watch(
        &mut self,
        script: &str,
        signs: Option<Duration>,
        on_output: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), TransportError> {
        let line = protocol::watch_request(self.root(), script);
        self.exchange(&line, &[script.as_bytes()])?
            .watch(self.first_word(), signs, on_output)
    }

    fn secrets(&self) -> Vec<String> {
        Link::secrets(self)
    }

    fn supervise(
        &mut self,
        call: &StepCall<'_>,
        on_news: &mut dyn FnMut(StepNews<'_>),
    ) -> Result<StepEnd, TransportError> {
        let line = protocol::step_line(self.root(), call)?;
        let blobs: &[&[u8]] = match call {
            StepCall::Start(request) => &[
                request.script.as_bytes(),
                request.receipt.as_bytes(),
                request.holder.as_bytes(),
                request.by.as_bytes(),
                request.redact.as_bytes(),
            ],
            StepCall::Follow { .. } => &[],
            StepCall::Stop { by, .. } => &[by.as_bytes()],
        };
        self.exchange(&line, blobs)?.follow(on_news)
    }

    fn cancel_run(
        &mut self,
        run: &str,
        by: &str,
        grace: Duration,
    ) -> Result<usize, TransportError> {
        let line = protocol::cancel_line(self.root(), run, by, grace)?;
        self.exchange(&line, &[by.as_bytes()])?.cancelled()
    }

    fn put(
        &mut self,
        upload: &Upload,
        content: &mut dyn Read,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), TransportError> {
        let line = protocol::put_request(self.root(), upload)?;
        self.exchange(&line, &[])?.put(upload, content, on_progress)
    }

    fn interrupter(&self) -> Interrupter {
        Link::interrupter(self)
    }
}
