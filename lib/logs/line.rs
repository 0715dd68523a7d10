//! What a line says: the JSON of Cloud Foundry's components taken apart, anything else as it is but
//! for its time.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::Offset;
use regex::Regex;
use serde_json::{Map, Value};

use super::stamp;

/// A line, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// How bad it is, as the service says.
    pub level: Option<String>,
    /// The part of the service that said it.
    pub source: Option<String>,
    /// The request that it belongs to (`data.request_guid`).
    pub request: Option<String>,
    /// What it says.
    pub message: String,
    /// What it says beside that.
    pub data: Map<String, Value>,
}

/// Sequences that colour or move on a terminal; the release prints some.
static SEQUENCES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[0-9;:?]*[A-Za-z]").expect("it's a constant"));

/// Members of a JSON line that tell of the service's inside, and that nobody reads.
const INSIDE: [&str; 7] = [
    "thread_id",
    "fiber_id",
    "process_id",
    "pid",
    "file",
    "lineno",
    "method",
];

/// How many letters of a request's name are shown.
const SHORT_REQUEST: usize = 6;

impl Line {
    /// A line that is shown as it is.
    pub fn plain(message: impl Into<String>) -> Line {
        Line {
            message: message.into(),
            ..Line::default()
        }
    }

    /// Takes a line apart, and tells the time that stands in it.
    pub(super) fn parse(text: &str, zone: Offset, now: Timestamp) -> (Line, Option<Timestamp>) {
        if text.starts_with('{')
            && let Ok(Value::Object(members)) = serde_json::from_str(text)
            && let Some(parsed) = Line::of_json(members, zone, now)
        {
            return parsed;
        }
        let text = SEQUENCES.replace_all(text, "");
        match stamp::find(&text, zone, now) {
            None => (Line::plain(text), None),
            Some(stamp) => {
                let before = text[..stamp.range.start].trim_end();
                let after = text[stamp.range.end..].trim_start();
                let message = match before.is_empty() {
                    true => after.to_owned(),
                    false => format!("{before} {after}"),
                };
                (Line::plain(message), Some(stamp.time))
            }
        }
    }

    /// Reads an object; `None` for one without a message, which is shown as it is.
    fn of_json(
        mut members: Map<String, Value>,
        zone: Offset,
        now: Timestamp,
    ) -> Option<(Line, Option<Timestamp>)> {
        let message = text(&mut members, &["message", "msg"])?;
        let time = take(&mut members, &["timestamp", "@timestamp", "time", "ts"]);
        let time = time.and_then(|time| time_of(&time, zone, now));
        let level = text(&mut members, &["log_level", "level", "severity"]);
        let source = text(&mut members, &["source", "logger", "name"]);
        let mut data = match members.remove("data") {
            Some(Value::Object(data)) => data,
            None | Some(Value::Null) => Map::new(),
            Some(other) => Map::from_iter([("data".to_owned(), other)]),
        };
        members.retain(|name, _| !INSIDE.contains(&name.as_str()));
        data.append(&mut members);
        let line = Line {
            level,
            source,
            request: text(&mut data, &["request_guid"]),
            message,
            data,
        };
        Some((line, time))
    }

    /// Tells whether it only says that all is as it was: what the release's own `bin/log` leaves out.
    pub fn is_heartbeat(&self, job: &str) -> bool {
        self.source.as_deref() == Some("cf.registrar")
            || (job == "dea_ng" && self.message.contains("router.start"))
    }

    /// The line for people; the request's name in full or short.
    pub fn text(&self, in_full: bool) -> String {
        let mut text = String::new();
        if let Some(level) = &self.level {
            text += &format!("[{level}] ");
        }
        if let Some(source) = &self.source {
            text += &format!("{source}: ");
        }
        if let Some(request) = &self.request {
            let letters = if in_full { usize::MAX } else { SHORT_REQUEST };
            text.push('(');
            text.extend(request.chars().take(letters));
            text += ") ";
        }
        text += &self.message;
        if !self.data.is_empty() {
            text += "  ";
            text += &serde_json::to_string(&self.data).unwrap_or_default();
        }
        text
    }
}

fn take(members: &mut Map<String, Value>, names: &[&str]) -> Option<Value> {
    names.iter().find_map(|name| members.remove(*name))
}

/// Takes the first of some members, as text; one that is neither text nor number stays.
fn text(members: &mut Map<String, Value>, names: &[&str]) -> Option<String> {
    let is_plain = |value: &Value| value.is_string() || value.is_number();
    let name = names
        .iter()
        .find(|name| members.get(**name).is_some_and(is_plain))?;
    match members.remove(*name)? {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// Reads seconds since 1970 (milliseconds and finer where there are too many), or a time as text.
fn time_of(value: &Value, zone: Offset, now: Timestamp) -> Option<Timestamp> {
    if let Some(text) = value.as_str() {
        return match text.parse::<f64>() {
            Ok(number) => of_number(number),
            Err(_) => stamp::find(text, zone, now).map(|stamp| stamp.time),
        };
    }
    of_number(value.as_f64()?)
}

fn of_number(number: f64) -> Option<Timestamp> {
    let seconds = match number.abs() {
        n if n < 1e11 => number,
        n if n < 1e14 => number / 1e3,
        n if n < 1e17 => number / 1e6,
        _ => number / 1e9,
    };
    // To a microsecond, which is all that such a number holds.
    Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Line, Option<String>) {
        let now: Timestamp = "2026-11-25T09:00:00Z".parse().unwrap();
        let (line, time) = Line::parse(text, Offset::UTC, now);
        (line, time.map(|time| time.to_string()))
    }

    /// As steno writes it, for the cloud controller.
    const STENO: &str = r#"{"timestamp":1375600000.123456,"message":"Started GET","log_level":"info","source":"cc.api","data":{"request_guid":"b8eb163b-0c25-4893","status":200},"thread_id":1,"fiber_id":2,"process_id":3,"file":"/a.rb","lineno":4,"method":"call"}"#;

    #[test]
    fn the_json_of_cloud_foundry_is_one_readable_line() {
        let (line, time) = parse(STENO);
        assert_eq!(time.as_deref(), Some("2013-08-04T07:06:40.123456Z"));
        assert_eq!(
            line.text(false),
            r#"[info] cc.api: (b8eb16) Started GET  {"status":200}"#
        );
        assert!(line.text(true).contains("(b8eb163b-0c25-4893)"));
        assert_eq!(line.data.len(), 1);
    }

    #[test]
    fn other_json_is_understood_and_what_says_nothing_stays_as_it_is() {
        let (line, time) = parse(r#"{"ts":1375600000123,"level":"warn","msg":"late","took":3}"#);
        assert_eq!(time.as_deref(), Some("2013-08-04T07:06:40.123Z"));
        assert_eq!(line.text(false), r#"[warn] late  {"took":3}"#);
        let (line, time) = parse(r#"{"time":"2013-08-04T07:06:40Z","message":"x","data":null}"#);
        assert_eq!(
            (line.text(false).as_str(), time.as_deref()),
            ("x", Some("2013-08-04T07:06:40Z"))
        );
        for odd in [r#"{"a":1}"#, "{", r#"{"message":{"a":1}}"#, "{}"] {
            assert_eq!(parse(odd), (Line::plain(odd), None));
        }
        let hostile = r#"{"message":"m","timestamp":1e300,"log_level":{"a":[]},"data":"text"}"#;
        let (line, time) = parse(hostile);
        assert_eq!(time, None);
        assert_eq!(
            line.text(false),
            r#"m  {"data":"text","log_level":{"a":[]}}"#
        );
    }

    #[test]
    fn a_line_of_text_loses_its_time_and_its_colours() {
        let (line, time) = parse("\u{1b}[31m[7] 2026/11/25 08:00:00 [INF] up\u{1b}[0m");
        assert_eq!(line.message, "[7] [INF] up");
        assert_eq!(time.as_deref(), Some("2026-11-25T08:00:00Z"));
    }

    #[test]
    fn heartbeats_are_what_the_releases_own_command_leaves_out() {
        let (registrar, _) = parse(r#"{"message":"Announced","source":"cf.registrar"}"#);
        assert!(registrar.is_heartbeat("router"));
        let (start, _) = parse(r#"{"message":"Received on [router.start]","source":"DEA"}"#);
        assert!(start.is_heartbeat("dea_ng") && !start.is_heartbeat("router"));
    }
}
