//! A reader of logs against a scripted host: what it asks for again after a lost connection, which
//! entries of the journal it tells, and when it gives up.

mod common;

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use common::{injected, sshd};
use paas_cluster_build::logs::{
    Ended, Handles, Kind, LogPlace, LookBack, News, Reader, Source, Stream,
};
use paas_cluster_build::model::{Host, Sudo};
use paas_cluster_build::script::Upload;
use paas_cluster_build::transport::{
    Connection, Interrupter, QueryOutput, StepCall, StepEnd, StepNews, Transport, TransportError,
    TransportErrorKind,
};

/// What each listening gives, in turn, and how it ends; what was asked is kept.
struct Scripted {
    answers: Mutex<Vec<(String, Option<TransportErrorKind>)>>,
    asked: Mutex<Vec<String>>,
}

struct Line<'a>(&'a Scripted);

impl Transport for &'static Scripted {
    fn connect(&self, _: &Host, _: &Sudo) -> Result<Box<dyn Connection>, TransportError> {
        Ok(Box::new(Line(self)))
    }
}

impl Connection for Line<'static> {
    fn watch(
        &mut self,
        script: &str,
        _: Option<Duration>,
        on_output: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), TransportError> {
        self.0.asked.lock().unwrap().push(script.to_owned());
        let (said, end) = self.0.answers.lock().unwrap().remove(0);
        // In pieces that end anywhere.
        for piece in said.as_bytes().chunks(7) {
            if on_output(piece).is_break() {
                return Ok(());
            }
        }
        end.map_or(Ok(()), |kind| Err(TransportError::new(kind, "cut")))
    }

    fn query(&mut self, _: &str) -> Result<QueryOutput, TransportError> {
        unreachable!()
    }

    fn supervise(
        &mut self,
        _: &StepCall<'_>,
        _: &mut dyn FnMut(StepNews<'_>),
    ) -> Result<StepEnd, TransportError> {
        unreachable!()
    }

    fn cancel_run(&mut self, _: &str, _: &str, _: Duration) -> Result<usize, TransportError> {
        unreachable!()
    }

    fn put(
        &mut self,
        _: &Upload,
        _: &mut dyn Read,
        _: &mut dyn FnMut(u64),
    ) -> Result<(), TransportError> {
        unreachable!()
    }

    fn interrupter(&self) -> Interrupter {
        Box::new(|| {})
    }
}

/// Reads against these answers; returns what was told and what was asked.
fn read(
    place: LogPlace,
    follows: bool,
    answers: &[(&str, Option<TransportErrorKind>)],
) -> (Vec<News>, Vec<String>) {
    let answers = answers.iter().map(|(said, end)| ((*said).to_owned(), *end));
    let scripted: &'static Scripted = Box::leak(Box::new(Scripted {
        answers: Mutex::new(answers.collect()),
        asked: Mutex::default(),
    }));
    let kind = match place {
        LogPlace::File(_) => Kind::Files,
        LogPlace::Journal(_) => Kind::Journal,
    };
    let host = sshd::host(22, Path::new("/nowhere"));
    let streams = [Stream {
        host: host.address,
        component: "app".to_owned(),
        job: "app".to_owned(),
        label: String::new(),
        place,
    }];
    let source = Source {
        host,
        user: "paas".to_owned(),
        home: "/home/paas".to_owned(),
        kind,
        streams: vec![0],
    };
    let reader = Reader {
        number: 0,
        source: &source,
        streams: &streams,
        back: LookBack {
            bytes: 1000,
            lines: 10,
            seconds: 0,
        },
        follows,
    };
    let told = Mutex::new(Vec::new());
    let tell = |news: News| {
        let mut told = told.lock().unwrap();
        told.push(news);
        // Nobody listens any more when there's nothing left to be said.
        !scripted.answers.lock().unwrap().is_empty() || !follows
    };
    reader.run(&scripted, &Sudo::No, &Handles::default(), &tell);
    let asked = scripted.asked.lock().unwrap().clone();
    (told.into_inner().unwrap(), asked)
}

fn entry(number: u64) -> String {
    format!(
        "{{\"__CURSOR\":\"c{number}\",\"__REALTIME_TIMESTAMP\":\"170000000000000{number}\",\
         \"_SYSTEMD_UNIT\":\"app.service\",\"MESSAGE\":\"m{number}\"}}\n"
    )
}

fn messages(told: &[News]) -> Vec<&str> {
    let records = told.iter().filter_map(|news| match news {
        News::Record { record, .. } => Some(record.message.as_str()),
        _ => None,
    });
    records.collect()
}

const LOST: Option<TransportErrorKind> = Some(TransportErrorKind::Lost);

#[test]
fn the_journal_goes_on_behind_the_entry_that_was_read_last() {
    let back = format!(
        "clock 1700000000 0 +0000\ncursor c1\n{}{}end\n",
        entry(1),
        entry(2)
    );
    // What came between the first cursor and the look back comes again; so it's told once.
    let first = format!("{}{}", entry(2), entry(3));
    let cut_in_an_entry = &entry(5)[..30];
    let second = format!("{}{cut_in_an_entry}", entry(4));
    // The entry at the cursor comes again.
    let third = entry(4) + &entry(5);
    let units = LogPlace::Journal(vec!["app.service".to_owned()]);
    let (told, asked) = read(
        units,
        true,
        &[
            (&back, None),
            (&first, LOST),
            (&second, LOST),
            (&third, LOST),
            ("", LOST),
        ],
    );
    assert_eq!(messages(&told), ["m1", "m2", "m3", "m4", "m5"]);
    assert!(asked[0].contains("entries -n 10 "), "{}", asked[0]);
    for (script, cursor) in asked[1..4].iter().zip(["c1", "c3", "c4"]) {
        let after = format!("--cursor {cursor} ");
        assert!(script.contains(&after), "{cursor}: {script}");
    }
    injected(3, "connections cut while a journal was followed");
}

#[test]
fn a_look_back_that_is_cut_begins_anew() {
    let units = LogPlace::Journal(vec!["app.service".to_owned()]);
    let half = format!("cursor c0\n{}", entry(1));
    let whole = format!("{half}end\n");
    let (told, _) = read(units, false, &[(&half, LOST), (&whole, None)]);
    let again = told
        .iter()
        .position(|news| matches!(news, News::Again { .. }));
    assert_eq!(messages(&told[again.unwrap()..]), ["m1"]);
    let done = News::Ended {
        source: 0,
        how: Ended::Done,
    };
    assert_eq!(told.last(), Some(&done));
}

#[test]
fn a_host_that_answers_nothing_but_nonsense_is_given_up() {
    let file = || LogPlace::File("x.log".to_owned());
    let nonsense = "hello\npiece 9 1 0 0 YQ==\n";
    for said in ["", "garbage", nonsense, "at 7 7\nend\n"] {
        let (told, asked) = read(file(), false, &[(said, None), (said, None), (said, None)]);
        let ended = told.last();
        assert!(
            matches!(
                ended,
                Some(News::Ended {
                    how: Ended::Unreachable(_),
                    ..
                })
            ),
            "{said}: {told:?}"
        );
        assert_eq!(asked.len(), 3, "{said}");
    }
    let endless = "x".repeat(5 * 1024 * 1024);
    let (told, _) = read(file(), false, &[(&endless, None)]);
    assert!(
        matches!(told.last(), Some(News::Ended { how: Ended::Unreachable(why), .. }) if why.contains("doesn't end")),
        "{told:?}"
    );
}
