//! The time that stands at the beginning of a log's line, in the forms that services have.

use std::ops::Range;
use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use regex::{Captures, Regex};

use super::split::beginning;
use super::wire::parse_offset;

/// How far from a line's beginning its time may end, in bytes.
const NEAR: usize = 96;

/// What may stand before the time: a bracket, and up to two words such as a level, a thread or a
/// process's number. A line that begins with a blank goes on with the one before it.
const BEFORE: &str = r#"^(?:[^\s"]{1,32}\s{1,3}){0,2}[\[(<"']?"#;

/// Year, month, day and time of day: ISO 8601, and what log libraries make of it.
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    form(
        r"(?P<stamp>(?P<year>\d{4})[-/.](?P<month>\d\d)[-/.](?P<day>\d\d)[T ] ?(?P<time>\d{1,2}:\d\d:\d\d)(?:[.,:](?P<fraction>\d{1,9}))?(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)\b)?)",
    )
});

/// The same with the month's name: Redis, HTTP servers.
static NAMED_MONTH: LazyLock<Regex> = LazyLock::new(|| {
    form(
        r"(?P<stamp>(?P<day>\d{1,2})[ /](?P<name>[A-Z][a-z]{2})[ /](?P<year>\d{4})[ :](?P<time>\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))?(?: (?P<zone>[+-]\d{4})\b)?)",
    )
});

/// syslog's, which has no year.
static SYSLOG: LazyLock<Regex> = LazyLock::new(|| {
    form(
        r"(?P<stamp>(?P<name>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?)",
    )
});

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A time in a line, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    pub time: Timestamp,
    /// With the brackets around it.
    pub range: Range<usize>,
}

fn form(stamp: &str) -> Regex {
    Regex::new(&format!("{BEFORE}{stamp}")).expect("it's a constant")
}

/// Finds the time at the beginning of a line. Where it names no zone, it's the host's local time; where
/// it names no year, the last such day that isn't in the future.
pub(super) fn find(line: &str, zone: Offset, now: Timestamp) -> Option<Stamp> {
    let head = beginning(line, NEAR);
    for form in [&DATE, &NAMED_MONTH, &SYSLOG] {
        let Some(found) = form.captures(head) else {
            continue;
        };
        let stamp = found.name("stamp")?.range();
        return Some(Stamp {
            time: time_of(&found, zone, now)?,
            range: with_brackets(line, stamp),
        });
    }
    None
}

fn time_of(found: &Captures<'_>, zone: Offset, now: Timestamp) -> Option<Timestamp> {
    let number = |name: &str| found.name(name)?.as_str().parse::<i16>().ok();
    let month = match found.name("name") {
        Some(name) => MONTHS.iter().position(|month| *month == name.as_str())? as i16 + 1,
        None => number("month")?,
    };
    let mut time = found.name("time")?.as_str().splitn(3, ':');
    let mut part = || time.next()?.parse::<i8>().ok();
    let (hour, minute, second) = (part()?, part()?, part()?.min(59));
    let fraction = found
        .name("fraction")
        .map_or("", |fraction| fraction.as_str());
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    let zone = match found.name("zone").map(|zone| zone.as_str()) {
        Some("Z" | "UTC" | "GMT") => Offset::UTC,
        Some(zone) => parse_offset(zone)?,
        None => zone,
    };
    let (month, day) = (month.try_into().ok()?, number("day")?.try_into().ok()?);
    let in_year = |year: i16| {
        let time = DateTime::new(year, month, day, hour, minute, second, nanoseconds).ok()?;
        zone.to_timestamp(time).ok()
    };
    if let Some(year) = number("year") {
        return in_year(year);
    }
    let year = zone.to_datetime(now).year();
    let tomorrow = now.checked_add(Span::new().hours(24)).ok()?;
    let this_year = in_year(year).filter(|time| *time <= tomorrow);
    this_year.or_else(|| in_year(year - 1))
}

/// Takes the brackets or quotes around a time to it.
fn with_brackets(line: &str, stamp: Range<usize>) -> Range<usize> {
    let before = line[..stamp.start].chars().next_back();
    let after = line[stamp.end..].chars().next();
    match (before, after) {
        (Some('['), Some(']')) | (Some('('), Some(')')) | (Some('<'), Some('>')) => {
            stamp.start - 1..stamp.end + 1
        }
        _ => stamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<(String, String)> {
        let zone = Offset::from_seconds(3600).unwrap();
        let now: Timestamp = "2026-11-25T09:00:00Z".parse().unwrap();
        let stamp = find(line, zone, now)?;
        Some((stamp.time.to_string(), line[stamp.range].to_owned()))
    }

    #[test]
    fn the_times_of_all_services_are_found() {
        for (line, time, stamp) in [
            (
                "2026-11-25T09:00:00Z nats: up",
                "2026-11-25T09:00:00Z",
                "2026-11-25T09:00:00Z",
            ),
            // PostgreSQL, uaa, nats in Ruby, nats-server, MariaDB, Cassandra, Ruby's Logger.
            (
                "2026-11-25 09:00:00.123 UTC [42] LOG:  ready",
                "2026-11-25T09:00:00.123Z",
                "2026-11-25 09:00:00.123 UTC",
            ),
            (
                "[2026-11-25 09:00:00.5] uaa - 7 [main] INFO",
                "2026-11-25T08:00:00.5Z",
                "[2026-11-25 09:00:00.5]",
            ),
            (
                "[2026-11-25 09:00:00 +0200] Listening on",
                "2026-11-25T07:00:00Z",
                "[2026-11-25 09:00:00 +0200]",
            ),
            (
                "[4242] 2026/11/25 09:00:00.123456 [INF] up",
                "2026-11-25T08:00:00.123456Z",
                "2026/11/25 09:00:00.123456",
            ),
            (
                "2026-11-25  9:00:00 0 [Note] mariadbd",
                "2026-11-25T08:00:00Z",
                "2026-11-25  9:00:00",
            ),
            (
                "INFO  [main] 2026-11-25 09:00:00,123 Server.java:1 - up",
                "2026-11-25T08:00:00.123Z",
                "2026-11-25 09:00:00,123",
            ),
            (
                "I, [2026-11-25T09:00:00.123456 #7]  INFO -- : up",
                "2026-11-25T08:00:00.123456Z",
                "2026-11-25T09:00:00.123456",
            ),
            // Redis, an HTTP server, syslog.
            (
                "7:M 25 Nov 2026 09:00:00.123 * Ready",
                "2026-11-25T08:00:00.123Z",
                "25 Nov 2026 09:00:00.123",
            ),
            (
                "[25/Nov/2026:09:00:00 +0000] GET /",
                "2026-11-25T09:00:00Z",
                "[25/Nov/2026:09:00:00 +0000]",
            ),
            (
                "Nov  5 09:00:00 host haproxy[1]: up",
                "2026-11-05T08:00:00Z",
                "Nov  5 09:00:00",
            ),
            (
                "Dec 31 09:00:00 host haproxy[1]: up",
                "2025-12-31T08:00:00Z",
                "Dec 31 09:00:00",
            ),
        ] {
            assert_eq!(
                found(line),
                Some((time.to_owned(), stamp.to_owned())),
                "{line}"
            );
        }
    }

    #[test]
    fn what_goes_on_with_a_line_has_no_time() {
        for line in [
            "",
            "    at Server.java:12",
            "  2026-11-25 09:00:00 indented",
            "Caused by: a failure at 2026-11-25 09:00:00",
            "FATAL: no database [2026-11-25T09:00:00Z]",
            "2026-13-45 09:00:00 no such day",
            "2026-11-25",
            "日本 2026 09:00",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
