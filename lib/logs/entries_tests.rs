use super::*;
use crate::logs::declared::{LogPlace, Stream};

/// A log of a job, with nothing that reads it.
fn entries(job: &str, wanted: Wanted) -> Entries {
    let stream = Stream {
        host: [10, 0, 0, 1].into(),
        component: job.to_owned(),
        job: job.to_owned(),
        label: String::new(),
        place: LogPlace::File("x.log".to_owned()),
    };
    let declared = Declared {
        streams: vec![stream],
        ..Declared::default()
    };
    let mut entries = Entries::new(&declared, wanted);
    entries.clocks.push(Clock {
        ahead: SignedDuration::ZERO,
        zone: Offset::UTC,
    });
    entries
}

fn now() -> Timestamp {
    "2026-11-25T09:00:00Z".parse().unwrap()
}

fn bytes(text: &str) -> News {
    News::Bytes {
        stream: 0,
        bytes: text.as_bytes().to_vec(),
        begins: Begins::GoesOn,
    }
}

/// What the look back at a text gives: time, text, and the lines that go on with it.
fn past(job: &str, wanted: Wanted, text: &str) -> Vec<(String, String, usize)> {
    let mut entries = entries(job, wanted);
    assert_eq!(entries.hear(bytes(text), now(), Instant::now()), []);
    let found = entries.look_back_of(0, false, now());
    let shown = found.iter().map(|entry| {
        let time = entry.time.to_string();
        (
            time[11..19].to_owned(),
            entry.line.text(false),
            entry.more.len(),
        )
    });
    shown.collect()
}

const TRACE: &str = "\tat somewhere\n2026-11-25 08:00:01 ERROR bad\n\tat Server.java:1\n\nCaused by: \
                     worse\n2026-11-25 08:00:02 fine\n2026-11-25 08:00:01 late";

fn shown(list: &[(&str, &str, usize)]) -> Vec<(String, String, usize)> {
    let owned =
        |(time, text, more): &(&str, &str, usize)| ((*time).to_owned(), (*text).to_owned(), *more);
    list.iter().map(owned).collect()
}

#[test]
fn lines_without_a_time_stay_with_the_line_before() {
    let expected = [
        // What it goes on with wasn't read.
        ("08:00:01", "\tat somewhere", 0),
        ("08:00:01", "ERROR bad", 3),
        ("08:00:02", "fine", 0),
        // A file's own order counts more than a second.
        ("08:00:02", "late", 0),
    ];
    assert_eq!(past("uaa", Wanted::default(), TRACE), shown(&expected));
    let newest = Wanted {
        newest: Some(2),
        ..Wanted::default()
    };
    assert_eq!(past("uaa", newest, TRACE), shown(&expected[2..]));
    let grep = Wanted {
        grep: Some(Regex::new("(?i)WORSE").unwrap()),
        ..Wanted::default()
    };
    assert_eq!(past("uaa", grep, TRACE), shown(&expected[1..2]));
    let since = Wanted {
        since: Some("2026-11-25T08:00:02Z".parse().unwrap()),
        ..Wanted::default()
    };
    assert_eq!(past("uaa", since, TRACE), shown(&expected[2..]));
}

#[test]
fn where_no_line_has_a_time_each_is_an_entry_of_when_the_file_was_written() {
    let mut entries = entries("nats", Wanted::default());
    let time: Timestamp = "2026-11-25T07:00:00Z".parse().unwrap();
    entries.hear(News::Modified { stream: 0, time }, now(), Instant::now());
    entries.hear(bytes("one\ntwo\n"), now(), Instant::now());
    let found = entries.look_back_of(0, true, now());
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|entry| entry.time == time));
}

#[test]
fn heartbeats_are_left_out_unless_everything_is_wanted() {
    let text = "{\"timestamp\":1764057600,\"message\":\"Received on [router.start]\"}\n\
                {\"timestamp\":1764057601,\"message\":\"Started\"}\n";
    assert_eq!(past("dea_ng", Wanted::default(), text).len(), 1);
    let raw = Wanted {
        raw: true,
        ..Wanted::default()
    };
    let all = past("dea_ng", raw, text);
    assert_eq!(all.len(), 2);
    assert!(all[0].1.starts_with("{\"timestamp\""), "{all:?}");
}

#[test]
fn a_live_entry_is_complete_with_the_next_or_after_a_moment() {
    let mut entries = entries("uaa", Wanted::default());
    entries.look_back_of(0, true, now());
    let start = Instant::now();
    let later = |millis: u64| start + Duration::from_millis(millis);
    let line = "2026-11-25 08:00:01 bad\n";
    assert_eq!(entries.hear(bytes(line), now(), start), []);
    assert_eq!(entries.hear(bytes("  at x\n"), now(), later(300)), []);
    assert_eq!(entries.settled(later(600)), []);
    let settled = entries.settled(later(900));
    assert_eq!((settled.len(), settled[0].more.len()), (1, 1));
    entries.hear(bytes(line), now(), later(1000));
    assert_eq!(entries.hear(bytes(line), now(), later(1001)).len(), 1);
    // Of no end, but what was said isn't lost.
    entries.hear(bytes("no end"), now(), later(1002));
    assert_eq!(
        entries
            .rest(now())
            .iter()
            .map(|e| e.more.len())
            .sum::<usize>(),
        1
    );
}

#[test]
fn a_host_whose_clock_is_wrong_is_corrected() {
    let mut entries = entries("uaa", Wanted::default());
    let clock = News::Clock {
        source: 0,
        ahead: SignedDuration::from_secs(60),
        zone: Offset::from_seconds(3600).unwrap(),
    };
    entries.hear(clock, now(), Instant::now());
    entries.hear(bytes("2026-11-25 10:00:00 x\n"), now(), Instant::now());
    let found = entries.look_back_of(0, false, now());
    assert_eq!(found[0].time.to_string(), "2026-11-25T08:59:00Z");
}

#[test]
fn an_entry_is_bounded() {
    let text = format!("2026-11-25 08:00:01 x\n{}", "  more\n".repeat(500));
    let found = past("uaa", Wanted::default(), &text);
    assert!(found.iter().all(|(_, _, more)| *more <= MOST_LINES));
    assert_eq!(
        found.iter().map(|(_, _, more)| more + 1).sum::<usize>(),
        501
    );
}

#[test]
fn a_look_back_that_didnt_reach_far_enough_is_known() {
    for (wanted, is_incomplete) in [
        (Wanted::default(), true),
        (
            Wanted {
                newest: Some(1),
                ..Wanted::default()
            },
            false,
        ),
        (
            Wanted {
                since: Some("2026-11-25T08:00:01.5Z".parse().unwrap()),
                ..Wanted::default()
            },
            false,
        ),
        (
            Wanted {
                since: Some("2026-11-25T07:00:00Z".parse().unwrap()),
                ..Wanted::default()
            },
            true,
        ),
    ] {
        let mut entries = entries("uaa", wanted);
        let news = News::Bytes {
            stream: 0,
            bytes: TRACE.as_bytes().to_vec(),
            begins: Begins::InLine,
        };
        entries.hear(news, now(), Instant::now());
        assert_eq!(entries.is_incomplete(0), is_incomplete);
    }
}
