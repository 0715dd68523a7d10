//! What services log, as lines for people and objects for programs.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use owo_colors::{AnsiColors, OwoColorize};
use serde_json::{Value, json};

use super::table::printable;
use crate::logs::{Declared, Entry, LogPlace, Stream};

/// One for each host, in turn.
const COLOURS: [AnsiColors; 6] = [
    AnsiColors::Cyan,
    AnsiColors::Green,
    AnsiColors::Magenta,
    AnsiColors::Yellow,
    AnsiColors::Blue,
    AnsiColors::BrightRed,
];

/// How entries are shown: columns that are as wide for all of them.
pub struct LogLines {
    zone: TimeZone,
    colour: bool,
    hosts: Vec<IpAddr>,
    host_width: usize,
    name_width: usize,
}

impl LogLines {
    /// Lays out what is declared.
    pub fn new(declared: &Declared, zone: TimeZone, colour: bool) -> LogLines {
        let mut hosts: Vec<IpAddr> = declared.sources.iter().map(|s| s.host.address).collect();
        hosts.dedup();
        let widest = |words: &mut dyn Iterator<Item = String>| {
            words.map(|word| word.chars().count()).max().unwrap_or(0)
        };
        LogLines {
            host_width: widest(&mut hosts.iter().map(IpAddr::to_string)),
            name_width: widest(&mut declared.streams.iter().map(name_of)),
            hosts,
            zone,
            colour,
        }
    }

    /// Shows an entry, with a line for each of its lines.
    pub fn text(&self, entry: &Entry, stream: &Stream) -> String {
        let time = entry.time.to_zoned(self.zone.clone());
        let time = time.strftime("%m-%d %H:%M:%S%.3f").to_string();
        let host = format!("{:<1$}", stream.host.to_string(), self.host_width);
        let name = format!("{:<1$}", printable(&name_of(stream)), self.name_width);
        let before = match self.colour {
            false => format!("{time} {host} {name}"),
            true => {
                let number = self.hosts.iter().position(|host| *host == stream.host);
                let colour = COLOURS[number.unwrap_or_default() % COLOURS.len()];
                format!(
                    "{} {}",
                    time.dimmed(),
                    format!("{host} {name}").color(colour)
                )
            }
        };
        let first = std::iter::once(entry.line.text(false));
        let lines = first.chain(entry.more.iter().cloned());
        lines
            .map(|line| format!("{before} {}", spaced(&line)).trim_end().to_owned() + "\n")
            .collect()
    }
}

/// Makes an object of an entry.
pub fn log_json(entry: &Entry, stream: &Stream) -> Value {
    let log = match &stream.place {
        LogPlace::File(path) => json!({"file": path}),
        LogPlace::Journal(units) => json!({"units": units}),
    };
    json!({
        "time": entry.time,
        "host": stream.host,
        "component": stream.component,
        "job": stream.job,
        "log": log,
        "level": entry.line.level,
        "source": entry.line.source,
        "request": entry.line.request,
        "message": entry.line.message,
        "data": entry.line.data,
        "more": entry.more,
    })
}

/// Names a stream: `nats`, `nats/stderr`.
pub fn name_of(stream: &Stream) -> String {
    match stream.label.as_str() {
        "" => stream.component.clone(),
        label => format!("{}/{label}", stream.component),
    }
}

/// Harmless on a terminal; a tab's width would depend on the column.
fn spaced(line: &str) -> String {
    printable(&line.replace('\t', "    "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Line;

    fn stream(label: &str) -> Stream {
        Stream {
            host: [10, 0, 0, 1].into(),
            component: "nats".to_owned(),
            job: "nats".to_owned(),
            label: label.to_owned(),
            place: LogPlace::File("vcap/sys/log/nats.log".to_owned()),
        }
    }

    fn shown(colour: bool, message: &str, more: &[&str]) -> String {
        let declared = Declared {
            streams: vec![stream(""), stream("stderr")],
            ..Declared::default()
        };
        let entry = Entry {
            stream: 0,
            time: "2026-11-25T09:00:00.5Z".parse().unwrap(),
            line: Line::plain(message),
            more: more.iter().map(|line| (*line).to_owned()).collect(),
        };
        LogLines::new(&declared, TimeZone::UTC, colour).text(&entry, &declared.streams[0])
    }

    #[test]
    fn each_line_says_when_where_and_whose() {
        assert_eq!(
            shown(false, "up", &["\tat x", ""]),
            "11-25 09:00:00.500 10.0.0.1 nats        up\n\
             11-25 09:00:00.500 10.0.0.1 nats            at x\n\
             11-25 09:00:00.500 10.0.0.1 nats\n"
        );
        assert!(shown(true, "up", &[]).contains("\u{1b}["));
    }

    #[test]
    fn nothing_that_a_host_logs_reaches_the_terminal_as_a_command() {
        let shown = shown(false, "a\u{1b}[2J\u{7}\rb", &["\u{9b}31m"]);
        assert!(shown.contains(r"a\u{1b}[2J\u{7}\rb"), "{shown}");
        assert!(
            !shown.contains(|c: char| c.is_control() && c != '\n'),
            "{shown}"
        );
    }
}
