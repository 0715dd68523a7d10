//! An entry of systemd's journal, as `journalctl -o json` prints it.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub cursor: String,
    /// When it was received, by the host's clock.
    pub time: Timestamp,
    /// The units that it is about.
    pub units: Vec<String>,
    /// How bad it is, in a word.
    pub level: Option<&'static str>,
    /// Who said it: a program, with its process id.
    pub source: Option<String>,
    /// What was said; may have several lines.
    pub message: String,
}

/// The names of syslog's priorities, from 0 on.
const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
];

/// The fields that name the unit an entry is about: its own, or another's that systemd speaks of.
const UNITS: [&str; 4] = [
    "UNIT",
    "OBJECT_SYSTEMD_UNIT",
    "COREDUMP_UNIT",
    "_SYSTEMD_UNIT",
];

impl Record {
    /// Reads an entry; `None` for a line that is none.
    pub(super) fn parse(line: &str) -> Option<Record> {
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
            return None;
        };
        let microseconds = text(&fields, "__REALTIME_TIMESTAMP")?.parse().ok()?;
        let level = text(&fields, "PRIORITY").and_then(|level| level.parse::<usize>().ok());
        let program = text(&fields, "SYSLOG_IDENTIFIER");
        let source = program.map(|program| match text(&fields, "_PID") {
            Some(pid) => format!("{program}[{pid}]"),
            None => program,
        });
        Some(Record {
            cursor: text(&fields, "__CURSOR")?,
            time: Timestamp::from_microsecond(microseconds).ok()?,
            units: UNITS
                .iter()
                .filter_map(|name| text(&fields, name))
                .collect(),
            level: level.and_then(|level| LEVELS.get(level).copied()),
            source,
            message: text(&fields, "MESSAGE").unwrap_or_default(),
        })
    }
}

/// A field's text. What isn't UTF-8 comes as a list of numbers, and a field that is there more than
/// once as a list of its values, of which the first is taken.
fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) if list.iter().all(Value::is_number) => {
            let bytes = list.iter().filter_map(Value::as_u64);
            let bytes: Vec<u8> = bytes.filter_map(|byte| byte.try_into().ok()).collect();
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        Value::Array(list) => list.first()?.as_str().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_whatever_its_message_is() {
        let line = |message: &str| {
            format!(
                r#"{{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1700000000500000","PRIORITY":"3",
                "SYSLOG_IDENTIFIER":"redis","_PID":"7","_SYSTEMD_UNIT":"redis.service","MESSAGE":{message}}}"#
            )
        };
        let said = |message: &str| Record::parse(&line(message)).unwrap().message;
        assert_eq!(said("\"a\\nb\""), "a\nb");
        assert_eq!(said("[97,255,98]"), "a\u{fffd}b");
        assert_eq!(said("[\"one\",\"two\"]"), "one");
        assert_eq!(said("null"), "");
        let record = Record::parse(&line("\"x\"")).unwrap();
        assert_eq!(record.cursor, "s=1;i=2");
        assert_eq!(
            record.time,
            Timestamp::new(1_700_000_000, 500_000_000).unwrap()
        );
        assert_eq!(record.level, Some("error"));
        assert_eq!(record.source.as_deref(), Some("redis[7]"));
        assert_eq!(record.units, ["redis.service"]);
        for bad in ["", "{", "[]", "{}", r#"{"__CURSOR":"x"}"#] {
            assert_eq!(Record::parse(bad), None, "{bad}");
        }
    }
}
