//! Reads one source: looks back, then follows, over as many connections as that takes. What is known
//! of the files and the journal is kept here, so a new connection goes on exactly where one was lost.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::declared::{Kind, LogPlace, Source, Stream};
use super::journal::Record;
use super::news::{Begins, Ended, News};
use super::position::{Fit, Position};
use super::script::{FileLook, JournalLook, file_script, journal_script};
use super::wire::{Lines, Piece, Said, parse};
use crate::model::Sudo;
use crate::transport::{Connection, Interrupter, Transport, TransportError, TransportErrorKind};

/// A script that reads files prints something at least so often; more is a lost connection.
const SIGNS: Duration = Duration::from_secs(100);
/// How often a look back, or a first connection that is cut, is tried.
const TRIES: u32 = 3;
/// The shortest and the longest pause between two tries to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How many of the entries that a look back found are known: more than can be written meanwhile.
const MOST_FOUND: usize = 4096;
/// A difference of clocks below this beside what the answer took isn't told from the way's.
const NOISE: SignedDuration = SignedDuration::from_millis(50);

/// How far back a reader looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookBack {
    /// So many bytes of each file.
    pub bytes: u64,
    /// So many entries of each journal.
    pub lines: u64,
    /// Nothing of what got nothing for so many seconds; 0 for any time.
    pub seconds: u64,
}

/// The connections of all readers, to end them.
#[derive(Clone, Default)]
pub struct Handles(Arc<Mutex<(bool, HashMap<usize, Interrupter>)>>);

impl Handles {
    /// Ends what every reader waits for, now and later.
    pub fn end(&self) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handles.0 = true;
        handles.1.values().for_each(|interrupt| interrupt());
    }

    fn set(&self, number: usize, interrupter: Interrupter) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.0 {
            interrupter();
        }
        handles.1.insert(number, interrupter);
    }

    fn drop_handle(&self, number: usize) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It would hold the wire open.
        handles.1.remove(&number);
    }

    fn is_ended(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Reads one source.
pub struct Reader<'a> {
    /// Its number among all.
    pub number: usize,
    /// What is read.
    pub source: &'a Source,
    /// All streams.
    pub streams: &'a [Stream],
    /// How far back.
    pub back: LookBack,
    /// Whether it goes on with what is new.
    pub follows: bool,
}

/// How far the source is read.
#[derive(Default)]
struct Read {
    positions: Vec<Position>,
    /// The entry of the journal at which a follower begins; it is known already.
    cursor: Option<String>,
    /// The newest entries that the look back found: some may come again behind the cursor.
    found: VecDeque<String>,
    /// How many that were, of each stream.
    counts: BTreeMap<usize, u64>,
    has_looked_back: bool,
}

impl Read {
    /// Notes an entry of the journal; returns whether it's new.
    fn note(&mut self, cursor: &str) -> bool {
        if self.has_looked_back {
            // The entry at which a follower begins is known already.
            if self.cursor.as_deref() == Some(cursor) {
                return false;
            }
            self.cursor = Some(cursor.to_owned());
            return !self.found.iter().any(|found| found == cursor);
        }
        self.found.push_back(cursor.to_owned());
        if self.found.len() > MOST_FOUND {
            self.found.pop_front();
        }
        true
    }
}

/// How one listening ended.
enum Heard {
    /// The script did all that it was asked for.
    Done,
    /// Nobody wants to hear more.
    Unwanted,
    /// It has to be asked again, from the place that is known.
    Again,
    /// There is no journal.
    NoJournal,
    /// The script ended without a word.
    Broken,
}

impl Reader<'_> {
    /// Reads until all is read, the host can't be worked on, or `tell` says that nobody listens any
    /// more; blocks.
    pub fn run(
        &self,
        transport: &dyn Transport,
        sudo: &Sudo,
        handles: &Handles,
        tell: &dyn Fn(News) -> bool,
    ) {
        let mut read = Read {
            positions: vec![Position::default(); self.source.streams.len()],
            ..Read::default()
        };
        let (mut failures, mut pause, mut is_lost) = (0, FIRST_PAUSE, false);
        loop {
            let error = match self.connect(transport, sudo, handles) {
                Ok(mut connection) => {
                    if std::mem::take(&mut is_lost)
                        && !tell(News::Back {
                            source: self.number,
                        })
                    {
                        return;
                    }
                    pause = FIRST_PAUSE;
                    match self.read(connection.as_mut(), &mut read, tell) {
                        Ok(None) => return,
                        Ok(Some(how)) => {
                            let source = self.number;
                            tell(News::Ended { source, how });
                            return;
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            handles.drop_handle(self.number);
            if handles.is_ended() {
                return;
            }
            failures += 1;
            let is_first = !read.has_looked_back;
            if self.is_hopeless(&error, is_first, failures) {
                let (source, how) = (self.number, Ended::Unreachable(error.message));
                tell(News::Ended { source, how });
                return;
            }
            let source = self.number;
            let is_told = std::mem::replace(&mut is_lost, true);
            let why = error.message;
            if !is_told && !tell(News::Lost { source, why }) {
                return;
            }
            if is_first {
                read.found.clear();
                read.counts.clear();
                if !tell(News::Again { source }) {
                    return;
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether to try again makes no sense.
    fn is_hopeless(&self, error: &TransportError, is_first: bool, failures: u32) -> bool {
        use TransportErrorKind::{Auth, Host, HostKey, LocalSetup, Lost, Protocol, Sudo};
        match error.kind {
            HostKey | LocalSetup => true,
            Auth | Sudo | Host => is_first,
            _ if self.follows => false,
            Lost | Protocol => failures >= TRIES,
            _ => true,
        }
    }

    fn connect(
        &self,
        transport: &dyn Transport,
        sudo: &Sudo,
        handles: &Handles,
    ) -> Result<Box<dyn Connection>, TransportError> {
        let mut tell = |handle| handles.set(self.number, handle);
        transport.connect_interruptibly(&self.source.host, sudo, &mut tell)
    }

    /// Reads over one connection. `None`: nobody listens any more.
    fn read(
        &self,
        connection: &mut dyn Connection,
        read: &mut Read,
        tell: &dyn Fn(News) -> bool,
    ) -> Result<Option<Ended>, TransportError> {
        loop {
            match self.listen(connection, read, tell)? {
                Heard::Unwanted => return Ok(None),
                Heard::NoJournal => return Ok(Some(Ended::NoJournal)),
                Heard::Done if !read.has_looked_back => {
                    read.has_looked_back = true;
                    let source = self.number;
                    let counts = std::mem::take(&mut read.counts).into_iter();
                    for (stream, _) in counts.filter(|(_, count)| *count >= self.back.lines) {
                        tell(News::Cut { stream });
                    }
                    if !tell(News::CaughtUp { source }) {
                        return Ok(None);
                    }
                    if !self.follows {
                        return Ok(Some(Ended::Done));
                    }
                }
                // A file that somebody overwrites again and again shall not keep this loop busy.
                Heard::Again => std::thread::sleep(FIRST_PAUSE),
                Heard::Done | Heard::Broken => {
                    let message = "what reads the logs ended in the middle of its answer";
                    return Err(TransportError::new(TransportErrorKind::Lost, message));
                }
            }
        }
    }

    /// Asks once, and hears what the script says.
    fn listen(
        &self,
        connection: &mut dyn Connection,
        read: &mut Read,
        tell: &dyn Fn(News) -> bool,
    ) -> Result<Heard, TransportError> {
        let script = self
            .script(read)
            .map_err(|why| TransportError::new(TransportErrorKind::LocalSetup, why))?;
        // A journal in which nothing happens says nothing.
        let signs = (self.source.kind == Kind::Files).then_some(SIGNS);
        let (asked, mut lines) = (Instant::now(), Lines::default());
        let mut heard = Heard::Broken;
        let mut fault = None;
        connection.watch(&script, signs, &mut |bytes| {
            let lines = match lines.take(bytes) {
                Ok(lines) => lines,
                Err(why) => {
                    fault = Some(TransportError::new(TransportErrorKind::Host, why));
                    return ControlFlow::Break(());
                }
            };
            for said in lines.iter().filter_map(|line| parse(line)) {
                if let Err(end) = self.hear(said, read, asked, tell) {
                    heard = end;
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        match fault {
            Some(fault) => Err(fault),
            None => Ok(heard),
        }
    }

    fn script(&self, read: &Read) -> Result<String, String> {
        let places = self.source.streams.iter().map(|n| &self.streams[*n].place);
        match self.source.kind {
            Kind::Files => {
                let paths: Vec<&str> = places
                    .filter_map(|place| match place {
                        LogPlace::File(path) => Some(path.as_str()),
                        LogPlace::Journal(_) => None,
                    })
                    .collect();
                let look = match read.has_looked_back {
                    true => {
                        let positions = read.positions.iter();
                        FileLook::From(positions.map(Position::place).collect())
                    }
                    false => FileLook::Back {
                        bytes: self.back.bytes,
                        seconds: self.back.seconds,
                    },
                };
                file_script(&self.source.user, &self.source.home, &paths, &look)
            }
            Kind::Journal => {
                let groups: Vec<Vec<&str>> = places
                    .filter_map(|place| match place {
                        LogPlace::Journal(units) => Some(units),
                        LogPlace::File(_) => None,
                    })
                    .map(|units| units.iter().map(String::as_str).collect())
                    .collect();
                let look = match read.has_looked_back {
                    true => JournalLook::After(read.cursor.clone()),
                    false => JournalLook::Back {
                        lines: self.back.lines,
                        seconds: self.back.seconds,
                    },
                };
                journal_script(&groups, &look)
            }
        }
    }

    /// Takes one line of the script; an error is the end of the listening.
    fn hear(
        &self,
        said: Said,
        read: &mut Read,
        asked: Instant,
        tell: &dyn Fn(News) -> bool,
    ) -> Result<(), Heard> {
        let tell = |news: News| match tell(news) {
            true => Ok(()),
            false => Err(Heard::Unwanted),
        };
        let source = self.number;
        // A number that no file has comes from no script of ours.
        let stream_of = |number: usize| {
            let stream = self.source.streams.get(number);
            stream.copied().ok_or(Heard::Broken)
        };
        match said {
            Said::Clock(time, zone) => tell(News::Clock {
                source,
                ahead: ahead(time, asked.elapsed()),
                zone,
            }),
            Said::File {
                number,
                inode,
                modified: time,
            } => {
                let stream = stream_of(number)?;
                read.positions[number] = Position::at(inode, 0);
                tell(News::Modified { stream, time })
            }
            Said::At(number, offset) => {
                stream_of(number)?;
                read.positions[number].move_to(offset);
                Ok(())
            }
            Said::Missing(number) => {
                let stream = stream_of(number)?;
                read.positions[number] = Position::default();
                tell(News::Missing { stream })
            }
            Said::Piece(piece) => {
                let stream = stream_of(piece.number)?;
                self.take(&piece, stream, read, &tell)
            }
            Said::New(number, inode) => {
                let stream = stream_of(number)?;
                read.positions[number].turn_to(inode);
                tell(News::FileEnds { stream })
            }
            Said::Gone(number) => {
                let stream = stream_of(number)?;
                tell(News::Replaced { stream })
            }
            Said::Cursor(cursor) => {
                read.cursor = Some(cursor).filter(|cursor| !cursor.is_empty());
                Ok(())
            }
            Said::Entry(line) => {
                let Some(record) = Record::parse(&line) else {
                    return Ok(());
                };
                if !read.note(&record.cursor) {
                    return Ok(());
                }
                let record = Box::new(record);
                let Some(stream) = self.stream_of_units(&record.units) else {
                    return Ok(());
                };
                if !read.has_looked_back {
                    *read.counts.entry(stream).or_default() += 1;
                }
                tell(News::Record { stream, record })
            }
            Said::None => Err(Heard::NoJournal),
            Said::End => Err(Heard::Done),
            Said::Alive => Ok(()),
        }
    }

    /// Takes a part of a file.
    fn take(
        &self,
        piece: &Piece,
        stream: usize,
        read: &mut Read,
        tell: &dyn Fn(News) -> Result<(), Heard>,
    ) -> Result<(), Heard> {
        let position = &mut read.positions[piece.number];
        let is_first = !read.has_looked_back && !position.has_read() && piece.offset > 0;
        match position.take(piece) {
            Fit::Next(bytes) => {
                let begins = match piece.before.last() {
                    _ if !is_first => Begins::GoesOn,
                    Some(b'\n') => Begins::WithLine,
                    _ => Begins::InLine,
                };
                let bytes = bytes.to_vec();
                tell(News::Bytes {
                    stream,
                    bytes,
                    begins,
                })
            }
            Fit::Foreign => Ok(()),
            // While looking back, what a file is at that moment is enough.
            _ if !read.has_looked_back => Ok(()),
            Fit::Missed => Err(Heard::Again),
            Fit::Overwritten => {
                position.note_overwritten();
                Err(Heard::Again)
            }
        }
    }

    /// Finds the stream to which one of the units belongs: the first that is named.
    fn stream_of_units(&self, units: &[String]) -> Option<usize> {
        let has = |stream: &usize, unit: &String| match &self.streams[*stream].place {
            LogPlace::Journal(own) => own.contains(unit),
            LogPlace::File(_) => false,
        };
        units.iter().find_map(|unit| {
            let mut streams = self.source.streams.iter();
            streams.find(|stream| has(stream, unit)).copied()
        })
    }
}

/// How far a host's clock is ahead: it was read some time between the question and now. What isn't
/// more than that uncertainty is nothing.
fn ahead(time: Timestamp, took: Duration) -> SignedDuration {
    let took = SignedDuration::try_from(took).unwrap_or(SignedDuration::MAX);
    let middle = Timestamp::now().checked_sub(took / 2).unwrap_or(time);
    let ahead = time.duration_since(middle);
    match ahead.abs() > took.saturating_add(NOISE) {
        true => ahead,
        false => SignedDuration::ZERO,
    }
}
