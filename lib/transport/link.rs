//! A connection made of exchanges: whatever can run the loader once for each request is one.

use std::io::Read;

use super::protocol::{self, Duplex, Exchange};
use super::{Connection, QueryOutput, StepEnd, StepRequest, TransportError};
use crate::script::Upload;

/// A way to run the loader on a host.
pub(super) trait Link: Send {
    /// The loader's streams.
    type Loader<'a>: Duplex
    where
        Self: 'a;

    /// Names the folder in which the tool keeps its files there.
    fn root(&self) -> &str;

    /// Runs the loader and sends it a request.
    fn exchange(
        &self,
        request: &str,
        blobs: &[&[u8]],
    ) -> Result<Exchange<Self::Loader<'_>>, TransportError>;

    /// As [`Connection::interrupter`].
    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync>;
}

impl<L: Link> Connection for L {
    fn query(&mut self, script: &str) -> Result<QueryOutput, TransportError> {
        let nonce = protocol::nonce()?;
        let line = protocol::query_request(self.root(), &nonce, script);
        self.exchange(&line, &[script.as_bytes()])?.query(&nonce)
    }

    fn run_step(
        &mut self,
        request: &StepRequest<'_>,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<StepEnd, TransportError> {
        let line = protocol::step_request(self.root(), request)?;
        let blobs = [request.script, request.receipt, request.holder].map(str::as_bytes);
        self.exchange(&line, &blobs)?.follow(on_output)
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

    fn interrupter(&self) -> Box<dyn Fn() + Send + Sync> {
        Link::interrupter(self)
    }
}
