//! `logs`: what the services say, of all hosts in one stream.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use paas_cluster_build::logs::{
    Declared, Ended, Entries, Entry, Handles, LogPlace, LookBack, News, Reader, Wanted, Window,
};
use paas_cluster_build::model::Sudo;
use paas_cluster_build::report::{LogLines, log_json, name_of, printable};
use paas_cluster_build::transport::SshTransport;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::{Common, LogsArgs, Newest, Output};
use crate::exit::{Exit, Failure};
use crate::patience::Loose;
use crate::say;
use crate::secrets::terminal_reader;
use crate::show::colour;
use crate::workspace::Workspace;

/// How many entries of each log are shown unless something else is asked for.
const NEWEST: usize = 20;
/// How much is looked at of all logs together where it isn't known beforehand how much is wanted.
const BUDGET: u64 = 128 * 1024 * 1024;
/// How much of one log at most, and at least.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
const LEAST_BYTES: u64 = 64 * 1024;
/// How long an entry is taken to be where only their number is asked for: far longer than most, since
/// heartbeats between them don't count.
const ENTRY_BYTES: u64 = 4096;
/// How many entries of a journal at most.
const MOST_LINES: u64 = 20_000;
/// How much older than what is wanted a file may be by its date and is read nevertheless.
const SLACK: SignedDuration = SignedDuration::from_secs(60);
/// How long what other hosts have said already waits for one that says nothing yet.
const GATHERING: Duration = Duration::from_secs(5);
/// How often is looked at what has been held back for long enough.
const TICK: Duration = Duration::from_millis(100);
/// How much is heard ahead of what is shown.
const AHEAD: usize = 64;
/// A clock that is wrong by less isn't worth a word.
const WRONG_CLOCK: SignedDuration = SignedDuration::from_secs(1);

/// Shows the logs of the selected components.
pub fn logs(common: &Common, args: &LogsArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&args.components, &args.limit.limit)?;
    let declared = Declared::of(&workspace.cluster, &workspace.catalog, &selection);
    if declared.streams.is_empty() {
        let message = format!(
            "{}: no log and no unit is declared\n\
             help: write `logs: [FILE]` or `units: [UNIT]` into the job.yml",
            declared.silent.join(", ")
        );
        return Err(Failure::usage(message));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let runtime = Loose::from(runtime);
    let wanted = wanted(args);
    let back = look_back(args, &wanted, &declared);
    let transport = SshTransport::new()
        .with_secrets(Arc::new(terminal_reader()))
        .with_timeout(common.connect_timeout);
    let listening = Listening {
        transport,
        sudo: workspace.cluster.sudo.clone(),
        declared,
        back,
        follows: args.follow,
        next: AtomicUsize::new(0),
        handles: Handles::default(),
    };
    let mut view = View::new(common.output, &listening.declared, wanted, args.follow);
    view.has_room = back.bytes < most_bytes(&listening.declared);
    view.tell_silent();
    runtime.block_on(show(Arc::new(listening), view, args.forks.forks.into()))
}

fn wanted(args: &LogsArgs) -> Wanted {
    let newest = match args.lines {
        Some(Newest::Of(number)) => Some(number),
        Some(Newest::All) => None,
        None => args.since.is_none().then_some(NEWEST),
    };
    Wanted {
        since: args.since,
        grep: args.grep.clone(),
        raw: args.raw,
        newest,
    }
}

/// How far back is looked: as far as can be needed, and no farther than fits into memory.
fn look_back(args: &LogsArgs, wanted: &Wanted, declared: &Declared) -> LookBack {
    let most = most_bytes(declared);
    let most_lines = (most / 1024).clamp(1000, MOST_LINES);
    let is_open = wanted.since.is_some() || wanted.grep.is_some();
    let (bytes, lines) = match wanted.newest {
        Some(number) if !is_open => {
            let number = number as u64;
            let bytes = number.saturating_mul(ENTRY_BYTES);
            (bytes.clamp(LEAST_BYTES, most), number.clamp(1, most_lines))
        }
        _ => (most, most_lines),
    };
    let age = args.since.map(|since| {
        let age = Timestamp::now().duration_since(since);
        age.saturating_add(SLACK).as_secs().max(1) as u64
    });
    LookBack {
        bytes,
        lines,
        seconds: age.unwrap_or(0),
    }
}

/// How much of one log fits into memory beside the others.
fn most_bytes(declared: &Declared) -> u64 {
    let share = BUDGET / declared.streams.len().max(1) as u64;
    share.clamp(LEAST_BYTES, MOST_BYTES)
}

/// What the readers' threads share.
struct Listening {
    transport: SshTransport,
    sudo: Sudo,
    declared: Declared,
    back: LookBack,
    follows: bool,
    /// The next source that nobody reads yet.
    next: AtomicUsize,
    handles: Handles,
}

impl Listening {
    /// Reads one source after the other, for as long as there are any and somebody listens.
    fn work(&self, sender: &mpsc::Sender<News>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(source) = self.declared.sources.get(number) else {
                return;
            };
            let reader = Reader {
                number,
                source,
                streams: &self.declared.streams,
                back: self.back,
                follows: self.follows,
            };
            let tell = |news: News| sender.blocking_send(news).is_ok();
            reader.run(&self.transport, &self.sudo, &self.handles, &tell);
            if sender.is_closed() {
                return;
            }
        }
    }
}

/// Listens to all sources and shows what they say, until they're done or somebody has enough.
async fn show(listening: Arc<Listening>, mut view: View, forks: usize) -> Result<Exit, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let sources = listening.declared.sources.len();
    // Who follows a source does so to the end.
    let workers = if listening.follows {
        sources
    } else {
        forks.min(sources)
    };
    for _ in 0..workers {
        let (listening, sender) = (listening.clone(), sender.clone());
        std::thread::Builder::new().spawn(move || listening.work(&sender))?;
    }
    drop(sender);
    let mut tick = tokio::time::interval(TICK);
    let is_ended = loop {
        tokio::select! {
            news = receiver.recv() => match news {
                Some(news) => view.hear(news),
                None => break false,
            },
            _ = tick.tick() => view.tick(),
            () = either(&mut interrupt, &mut terminate) => break true,
        }
        if say::is_faulty() {
            break true;
        }
    };
    receiver.close();
    listening.handles.end();
    Ok(view.finish(is_ended))
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// What is shown, and what is held back.
struct View {
    output: Output,
    declared: Declared,
    lines: LogLines,
    entries: Entries,
    window: Window,
    follows: bool,
    since: Instant,
    /// The sources whose look back isn't done, and what the others' found; nothing once that is
    /// shown.
    gathering: Option<Gathering>,
    /// The hosts that are tried again, and those that no more can be had of.
    lost: BTreeSet<IpAddr>,
    unreachable: BTreeSet<IpAddr>,
    /// What each host has been told of, so that its two sources don't tell it twice.
    told: Mutex<BTreeMap<IpAddr, BTreeSet<String>>>,
    missing: BTreeSet<usize>,
    /// Whether more of each log could be read than was asked for.
    has_room: bool,
}

struct Gathering {
    waiting: BTreeSet<usize>,
    found: Vec<Entry>,
}

impl View {
    fn new(output: Output, declared: &Declared, wanted: Wanted, follows: bool) -> View {
        View {
            output,
            lines: LogLines::new(declared, TimeZone::system(), colour()),
            entries: Entries::new(declared, wanted),
            window: Window::default(),
            follows,
            since: Instant::now(),
            gathering: Some(Gathering {
                waiting: (0..declared.sources.len()).collect(),
                found: Vec::new(),
            }),
            lost: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            told: Mutex::default(),
            missing: BTreeSet::new(),
            has_room: true,
            declared: declared.clone(),
        }
    }

    fn tell_silent(&self) {
        for component in &self.declared.silent {
            self.note(None, component, "silent", "declares neither logs nor units");
        }
    }

    fn hear(&mut self, news: News) {
        match &news {
            News::Clock { source, ahead, .. } => self.tell_clock(*source, *ahead),
            News::CaughtUp { source } => self.caught_up(*source),
            News::Ended { source, how } => self.ended(*source, how),
            News::Lost { source, why } => {
                let host = self.host(*source);
                self.gathered(*source);
                if self.lost.insert(host) {
                    let why = format!("{why}; trying again");
                    self.note(Some(host), "", "lost", &why);
                }
            }
            News::Back { source } => {
                let host = self.host(*source);
                if self.lost.remove(&host) {
                    self.note(Some(host), "", "back", "connected again");
                }
            }
            News::Missing { stream } => {
                self.missing.insert(*stream);
            }
            News::Replaced { stream } => {
                let stream = &self.declared.streams[*stream];
                let why = "was replaced by a new file; what the old one got last may be missing";
                self.note(Some(stream.host), &name_of(stream), "replaced", why);
            }
            News::Bytes { .. }
            | News::FileEnds { .. }
            | News::Modified { .. }
            | News::Cut { .. }
            | News::Record { .. }
            | News::Again { .. } => {}
        }
        let at = Instant::now();
        for entry in self.entries.hear(news, Timestamp::now(), at) {
            self.window.hold(entry, at);
        }
    }

    fn host(&self, source: usize) -> IpAddr {
        self.declared.sources[source].host.address
    }

    fn tell_clock(&self, source: usize, ahead: SignedDuration) {
        if ahead.abs() < WRONG_CLOCK {
            return;
        }
        let way = if ahead.is_negative() {
            "behind"
        } else {
            "ahead"
        };
        let seconds = ahead.abs().as_millis() as f64 / 1000.0;
        let host = self.host(source);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.entry(host).or_default().insert("clock".to_owned()) {
            let why = format!("its clock is {seconds:.1} s {way}; its times are shown corrected");
            self.note(Some(host), "", "clock", &why);
        }
    }

    /// A source's look back is done.
    fn caught_up(&mut self, source: usize) {
        for stream in self.declared.sources[source].streams.clone() {
            if self.entries.is_incomplete(stream) {
                let stream = &self.declared.streams[stream];
                let why = match self.has_room {
                    true => {
                        "fewer entries than asked for are in the part of it that was read; a larger -n reads more"
                    }
                    false => {
                        "only the end of it was read, as much as fits into memory; name fewer components or hosts"
                    }
                };
                self.note(Some(stream.host), &name_of(stream), "incomplete", why);
            }
        }
        let now = Timestamp::now();
        let found = self.entries.look_back_of(source, self.follows, now);
        match &mut self.gathering {
            Some(gathering) => gathering.found.extend(found),
            None => {
                let at = Instant::now();
                found
                    .into_iter()
                    .for_each(|entry| self.window.hold(entry, at));
            }
        }
        self.gathered(source);
    }

    fn ended(&mut self, source: usize, how: &Ended) {
        let host = self.host(source);
        match how {
            Ended::Done => {}
            Ended::NoJournal => self.note(Some(host), "", "no_journal", "has no systemd journal"),
            Ended::Unreachable(why) => {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                let is_new = told
                    .entry(host)
                    .or_default()
                    .insert("unreachable".to_owned());
                drop(told);
                self.unreachable.insert(host);
                if is_new {
                    self.note(Some(host), "", "unreachable", why);
                }
            }
        }
        self.gathered(source);
    }

    /// A source isn't waited for any more.
    fn gathered(&mut self, source: usize) {
        let Some(gathering) = &mut self.gathering else {
            return;
        };
        gathering.waiting.remove(&source);
        if gathering.waiting.is_empty() {
            self.show_gathered();
        }
    }

    fn show_gathered(&mut self) {
        let Some(mut gathering) = self.gathering.take() else {
            return;
        };
        gathering
            .found
            .sort_by_key(|entry| (entry.time, entry.stream));
        self.print(&gathering.found);
        self.tell_missing();
    }

    /// Tells of which components of a host there's no log at all.
    fn tell_missing(&self) {
        let mut files: BTreeMap<(IpAddr, &str), Vec<usize>> = BTreeMap::new();
        for (number, stream) in self.declared.streams.iter().enumerate() {
            if matches!(stream.place, LogPlace::File(_)) {
                let key = (stream.host, stream.component.as_str());
                files.entry(key).or_default().push(number);
            }
        }
        for ((host, component), streams) in files {
            if streams.iter().all(|stream| self.missing.contains(stream)) {
                let path = |stream: &usize| match &self.declared.streams[*stream].place {
                    LogPlace::File(path) => path.clone(),
                    LogPlace::Journal(_) => String::new(),
                };
                let paths: Vec<String> = streams.iter().map(path).collect();
                let why = format!("none of its files is there: {}", paths.join(", "));
                self.note(Some(host), component, "missing", &why);
            }
        }
    }

    fn tick(&mut self) {
        let at = Instant::now();
        for entry in self.entries.settled(at) {
            self.window.hold(entry, at);
        }
        if self.follows && self.gathering.is_some() && self.since.elapsed() >= GATHERING {
            self.show_gathered();
        }
        if self.gathering.is_none() {
            let released = self.window.release(at);
            self.print(&released);
        }
    }

    /// Shows what is left; tells how it ended.
    fn finish(mut self, is_ended: bool) -> Exit {
        self.show_gathered();
        let mut rest = self.window.rest();
        rest.extend(self.entries.rest(Timestamp::now()));
        rest.sort_by_key(|entry| (entry.time, entry.stream));
        self.print(&rest);
        if self.entries.hidden > 0 && self.output != Output::Json {
            let heartbeats = match self.entries.hidden {
                1 => "1 heartbeat".to_owned(),
                more => format!("{more} heartbeats"),
            };
            errln!("note: {heartbeats} left out; --raw shows all");
        }
        match is_ended {
            // A reader that went away is told by its own code.
            true if say::is_faulty() => Exit::Done,
            true => Exit::Cancelled,
            false if !self.unreachable.is_empty() => Exit::Unreachable,
            false => Exit::Done,
        }
    }

    fn print(&self, entries: &[Entry]) {
        for entry in entries {
            let stream = &self.declared.streams[entry.stream];
            match self.output {
                Output::Json => outln!("{}", log_json(entry, stream)),
                Output::Human | Output::Plain => out!("{}", self.lines.text(entry, stream)),
            }
        }
    }

    /// Tells something about a host or a log, beside what is logged.
    fn note(&self, host: Option<IpAddr>, name: &str, kind: &str, why: &str) {
        if self.output == Output::Json {
            let name = Some(name).filter(|name| !name.is_empty());
            outln!(
                "{}",
                json!({"note": kind, "host": host, "component": name, "why": why})
            );
            return;
        }
        let host = host.map(|host| host.to_string());
        let about = [host.as_deref().unwrap_or_default(), name];
        let about: Vec<&str> = about.into_iter().filter(|word| !word.is_empty()).collect();
        errln!("note: {}: {}", printable(&about.join(" ")), printable(why));
    }
}
