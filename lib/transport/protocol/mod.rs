//! The controller's side of the on-host protocol (`docs/on-host-protocol.md`), over any stream of
//! bytes: what is sent to the loader, and how the supervisor's frames are read.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

mod hello;
mod request;

pub(super) use hello::{Rights, Start};
use request::supervisor_text;
pub(super) use request::{
    ROOT, cancel_line, nonce, put_request, query_request, step_line, watch_request,
};

use super::{QueryOutput, StepEnd, StepNews, StopReason, TransportError, TransportErrorKind};
use crate::script::Upload;
use crate::secret::blotted;

/// Every line of the supervisor's own begins so.
const PREFIX: &str = "pcb1 ";
/// The longest line of a reply; a frame's content isn't a line.
const LONGEST_LINE: u64 = 64 * 1024;
/// How much of a query's output is kept.
const QUERY_LIMIT: usize = 4 * 1024 * 1024;
/// A status has three digits at most, and a newline.
const LONGEST_STATUS: usize = 4;
/// A follower says `alive` every half minute; three that are missing are no chance.
const SIGNS: Duration = Duration::from_secs(100);
/// How long a slow disk may take to have a whole file written down.
const STORED: Duration = Duration::from_secs(15 * 60);

/// A running loader: its output (both streams as one) and its input.
pub(super) trait Duplex: Read + Write {
    /// Says that nothing more will be sent.
    fn close_write(&mut self) -> io::Result<()>;

    /// Says that the host will send something at least so often, so that a longer silence is a
    /// lost connection.
    fn expect_signs(&mut self, every: Duration);

    /// Says that a read which isn't done at a moment fails with `TimedOut`; with `None`, that there
    /// is no such moment any more.
    fn expect_by(&mut self, moment: Option<Instant>);
}

/// One request to the supervisor and the reading of its reply.
pub(super) struct Exchange<D: Duplex> {
    stream: BufReader<D>,
    /// What came before the first line of the supervisor: a sudo error, a shell's greeting.
    noise: String,
    /// Whether the supervisor has said anything yet.
    answered: bool,
    /// What is in no text that is made here.
    secrets: Vec<String>,
}

/// A line of the supervisor.
enum Reply {
    Data(u64),
    Dropped(u64),
    Alive,
    Waiting(String),
    TookOver(String),
    End(StepEnd),
    Word(String),
}

impl<D: Duplex> Exchange<D> {
    /// Sends a request to a loader that has said its first word: supervisor, request line, content.
    /// `secrets` is what is blotted out of everything that the host says between its frames.
    pub(super) fn open(
        stream: BufReader<D>,
        secrets: Vec<String>,
        request: &str,
        blobs: &[&[u8]],
    ) -> Result<Exchange<D>, TransportError> {
        let supervisor = supervisor_text();
        let mut message = Vec::with_capacity(supervisor.len() + 1024);
        message.extend_from_slice(format!("{PREFIX}{}\n{supervisor}", supervisor.len()).as_bytes());
        message.extend_from_slice(request.as_bytes());
        message.push(b'\n');
        blobs
            .iter()
            .for_each(|blob| message.extend_from_slice(blob));
        let mut exchange = Exchange {
            stream,
            noise: String::new(),
            answered: false,
            secrets,
        };
        let sent = exchange.stream.get_mut().write_all(&message);
        let sent = sent.and_then(|()| exchange.stream.get_mut().flush());
        match sent {
            Ok(()) => Ok(exchange),
            // A command that ended at once has closed its input and said why: that is worth more.
            Err(error) => Err(exchange.what_it_said().unwrap_or_else(|| lost(&error))),
        }
    }

    /// Follows a step to its end.
    pub(super) fn follow(
        mut self,
        on_news: &mut dyn FnMut(StepNews<'_>),
    ) -> Result<StepEnd, TransportError> {
        self.stream.get_mut().expect_signs(SIGNS);
        loop {
            match self.reply()? {
                Reply::Data(bytes) => self.pass_on(bytes, on_news)?,
                Reply::Dropped(bytes) => on_news(StepNews::Dropped(bytes)),
                // Only so that a silent step can be told from a silent host.
                Reply::Alive => on_news(StepNews::Alive),
                Reply::Waiting(holder) => on_news(StepNews::Waiting(&holder)),
                Reply::TookOver(holder) => on_news(StepNews::TookOver(&holder)),
                Reply::End(end) => return Ok(end),
                Reply::Word(word) => return Err(unexpected(&word)),
            }
        }
    }

    /// Reads the answer to a cancelled run: how many steps are being ended.
    pub(super) fn cancelled(mut self) -> Result<usize, TransportError> {
        self.stream.get_mut().expect_signs(SIGNS);
        loop {
            match self.reply()? {
                Reply::Alive => {}
                Reply::Word(word) => {
                    let count = word.strip_prefix("cancelled ").unwrap_or_default();
                    return count.parse().map_err(|_| unexpected(&word));
                }
                _ => return Err(unexpected("something else than `cancelled`")),
            }
        }
    }

    /// Reads a query's output up to its trailer. The supervisor's first word comes within
    /// `first_word`, the whole answer within `limit`, where there is one.
    pub(super) fn query(
        mut self,
        nonce: &str,
        first_word: Duration,
        limit: Option<Duration>,
    ) -> Result<QueryOutput, TransportError> {
        let since = Instant::now();
        let patience = limit.map_or(first_word, |limit| limit.min(first_word));
        self.stream.get_mut().expect_by(Some(since + patience));
        match self.reply().map_err(|error| in_time(error, patience))? {
            Reply::Word(word) if word == "output" => {}
            _ => return Err(unexpected("something else than a query's output")),
        }
        let until = limit.map(|limit| since + limit);
        self.stream.get_mut().expect_by(until);
        self.output(nonce)
            .map_err(|error| in_time(error, limit.unwrap_or_default()))
    }

    /// Hands on what a script prints, as it comes, until its end or until `on_output` has enough. It
    /// prints something at least every `signs`, where that is known.
    pub(super) fn watch(
        mut self,
        first_word: Duration,
        signs: Option<Duration>,
        on_output: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), TransportError> {
        let by = Instant::now() + first_word;
        self.stream.get_mut().expect_by(Some(by));
        match self.reply().map_err(|error| in_time(error, first_word))? {
            Reply::Word(word) if word == "output" => {}
            _ => return Err(unexpected("something else than a script's output")),
        }
        self.stream.get_mut().expect_by(None);
        if let Some(signs) = signs {
            self.stream.get_mut().expect_signs(signs);
        }
        loop {
            let available = self.stream.fill_buf().map_err(|error| lost(&error))?;
            if available.is_empty() {
                return Ok(());
            }
            let is_enough = on_output(available).is_break();
            let count = available.len();
            self.stream.consume(count);
            if is_enough {
                return Ok(());
            }
        }
    }

    fn output(mut self, nonce: &str) -> Result<QueryOutput, TransportError> {
        let trailer = format!("\n{PREFIX}{nonce} ");
        let mut output = Vec::new();
        loop {
            let searched = output.len().saturating_sub(trailer.len() + LONGEST_STATUS);
            let available = self.stream.fill_buf().map_err(|error| unheard(&error))?;
            if available.is_empty() {
                return Err(self.explain_silence());
            }
            output.extend_from_slice(available);
            let count = available.len();
            self.stream.consume(count);
            // Not to the stream's end: what the script left running may hold that open.
            if let Some((at, status)) = find_trailer(&output, searched, trailer.as_bytes())? {
                output.truncate(at);
                return Ok(QueryOutput { output, status });
            }
            if output.len() > QUERY_LIMIT {
                return Err(TransportError::new(
                    TransportErrorKind::Host,
                    format!("it printed more than {} MiB", QUERY_LIMIT / 1024 / 1024),
                ));
            }
        }
    }

    /// Pushes a file's content if the host wants it.
    pub(super) fn put(
        mut self,
        upload: &Upload,
        content: &mut dyn Read,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), TransportError> {
        self.stream.get_mut().expect_signs(SIGNS);
        match self.reply()? {
            Reply::Word(word) if word == "have" => return Ok(()),
            Reply::Word(word) if word == "send" => {}
            _ => return Err(unexpected("neither `have` nor `send`")),
        }
        let mut content = content.take(upload.bytes);
        let mut buffer = vec![0; 64 * 1024];
        let mut sent = 0;
        loop {
            let count = content.read(&mut buffer).map_err(|error| {
                let message = format!("{} can't be read: {error}", upload.path.display());
                TransportError::new(TransportErrorKind::LocalSetup, message)
            })?;
            if count == 0 {
                break;
            }
            if let Err(error) = self.stream.get_mut().write_all(&buffer[..count]) {
                return Err(self.what_it_said().unwrap_or_else(|| lost(&error)));
            }
            sent += count as u64;
            on_progress(sent);
        }
        let _ = self.stream.get_mut().flush();
        let _ = self.stream.get_mut().close_write();
        self.stream.get_mut().expect_signs(STORED);
        match self.reply()? {
            Reply::Word(word) if word == "stored" => Ok(()),
            _ => Err(unexpected("no `stored`")),
        }
    }

    /// Hands a frame's content on, as it comes.
    fn pass_on(
        &mut self,
        mut bytes: u64,
        on_news: &mut dyn FnMut(StepNews<'_>),
    ) -> Result<(), TransportError> {
        while bytes > 0 {
            let available = self.stream.fill_buf().map_err(|error| lost(&error))?;
            if available.is_empty() {
                return Err(lost(&io::ErrorKind::UnexpectedEof.into()));
            }
            let count = available
                .len()
                .min(usize::try_from(bytes).unwrap_or(usize::MAX));
            on_news(StepNews::Output(&available[..count]));
            self.stream.consume(count);
            bytes -= count as u64;
        }
        Ok(())
    }

    /// Reads lines until one is the supervisor's; keeps what else was said.
    fn reply(&mut self) -> Result<Reply, TransportError> {
        loop {
            let mut line = Vec::new();
            (&mut self.stream)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .map_err(|error| unheard(&error))?;
            if line.is_empty() {
                return Err(self.explain_silence());
            }
            let line = blotted(&String::from_utf8_lossy(&line), &self.secrets);
            let line = line.trim_end_matches(['\n', '\r']);
            match line.strip_prefix(PREFIX) {
                Some(said) => {
                    self.answered = true;
                    return parse(said);
                }
                None if self.noise.len() < 4096 => {
                    self.noise.push_str(line);
                    self.noise.push('\n');
                }
                None => {}
            }
        }
    }

    /// Why the command ended before its reply did.
    fn explain_silence(&self) -> TransportError {
        let said = self.noise.trim();
        if self.answered || said.is_empty() {
            let mut message = "the connection ended in the middle of an answer".to_owned();
            if !said.is_empty() {
                message.push_str(&format!("; the host also said: {}", last_line(said)));
            }
            return TransportError::new(TransportErrorKind::Lost, message);
        }
        hello::why_no_answer(said)
    }

    /// What the host says when it can't be written to any more.
    fn what_it_said(&mut self) -> Option<TransportError> {
        match self.reply() {
            Err(error) if error.kind != TransportErrorKind::Lost => Some(error),
            _ => None,
        }
    }
}

/// Finds a query's trailer from a byte on: where the output ends, and the status.
fn find_trailer(
    output: &[u8],
    from: usize,
    trailer: &[u8],
) -> Result<Option<(usize, i32)>, TransportError> {
    let rest = &output[from..];
    let Some(at) = rest
        .windows(trailer.len())
        .position(|window| window == trailer)
    else {
        return Ok(None);
    };
    let status = &rest[at + trailer.len()..];
    let Some(end) = status.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    match str::from_utf8(&status[..end])
        .ok()
        .and_then(|status| status.parse().ok())
    {
        Some(status) => Ok(Some((from + at, status))),
        None => Err(unexpected("a trailer without a status")),
    }
}

/// Reads a line of the supervisor, without its prefix.
fn parse(said: &str) -> Result<Reply, TransportError> {
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    let number = |text: &str| text.parse().map_err(|_| unexpected(said));
    match word {
        "data" => number(rest).map(Reply::Data),
        "dropped" => number(rest).map(Reply::Dropped),
        "alive" => Ok(Reply::Alive),
        "waiting" => Ok(Reply::Waiting(rest.to_owned())),
        "took" => Ok(Reply::TookOver(rest.to_owned())),
        "end" => rest
            .parse()
            .map(|n| Reply::End(StepEnd::Exited(n)))
            .map_err(|_| unexpected(said)),
        "stopped" => parse_stopped(rest)
            .map(Reply::End)
            .ok_or_else(|| unexpected(said)),
        "unknown" => Ok(Reply::End(StepEnd::Unknown(rest.to_owned()))),
        "locked" => Ok(Reply::End(StepEnd::Locked(rest.to_owned()))),
        "done" => Ok(Reply::End(StepEnd::FoundDone(rest.to_owned()))),
        "refused" => Ok(Reply::End(StepEnd::Refused(rest.to_owned()))),
        "error" => Err(TransportError::new(
            TransportErrorKind::Host,
            format!("the host: {rest}"),
        )),
        _ => Ok(Reply::Word(said.to_owned())),
    }
}

/// Reads `STATUS KIND DETAIL`.
fn parse_stopped(rest: &str) -> Option<StepEnd> {
    let mut words = rest.splitn(3, ' ');
    let status = words.next()?.parse().ok()?;
    let kind = words.next()?;
    let detail = words.next().unwrap_or_default().to_owned();
    let why = match kind {
        "cancelled" => StopReason::Cancelled(detail),
        "deadline" => StopReason::Deadline(detail),
        "output" => StopReason::Output(detail),
        _ => return None,
    };
    Some(StepEnd::Stopped { status, why })
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

fn unexpected(what: &str) -> TransportError {
    TransportError::new(
        TransportErrorKind::Host,
        format!("the host said what the protocol doesn't know: {what}"),
    )
}

/// What a read came to that failed: it was out of time, or the connection is lost.
fn unheard(error: &io::Error) -> TransportError {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            TransportError::new(TransportErrorKind::Timeout, "no answer in time")
        }
        _ => lost(error),
    }
}

/// Says for how long an answer was waited for that didn't come in time.
fn in_time(error: TransportError, patience: Duration) -> TransportError {
    match error.kind {
        TransportErrorKind::Timeout => TransportError::new(
            TransportErrorKind::Timeout,
            format!(
                "the host doesn't answer: the login worked, and what it was asked took longer than \
                 {} s; does a disk, a mounted file system (`df` there tells) or a service's check \
                 hang?",
                patience.as_secs()
            ),
        ),
        _ => error,
    }
}

pub(super) fn lost(error: &io::Error) -> TransportError {
    TransportError::new(
        TransportErrorKind::Lost,
        format!("the connection was lost: {error}"),
    )
}

/// Reads a host's whole answer to a step, whatever it is: returns the output and the end.
#[cfg(fuzzing)]
pub fn read_reply(said: &[u8]) -> (Vec<u8>, Result<StepEnd, TransportError>) {
    struct Said<'a>(&'a [u8]);
    impl Read for Said<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Said<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Duplex for Said<'_> {
        fn close_write(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn expect_signs(&mut self, _: Duration) {}

        fn expect_by(&mut self, _: Option<Instant>) {}
    }
    let exchange = Exchange {
        stream: BufReader::new(Said(said)),
        noise: String::new(),
        answered: false,
        secrets: Vec::new(),
    };
    let mut output = Vec::new();
    let end = exchange.follow(&mut |news| {
        if let StepNews::Output(bytes) = news {
            output.extend_from_slice(bytes);
        }
    });
    (output, end)
}

#[cfg(test)]
mod tests;
