//! What `logs` can be asked for.

use clap::Args;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use regex::Regex;

use super::{Forks, Limit, duration};

const EXAMPLES: &str = "\
Examples:
  paas-cluster-build logs                      the newest lines of every log
  paas-cluster-build logs -f router dea_ng     go on with what is new, until Ctrl-C
  paas-cluster-build logs cc --since 10m --grep b8eb163b
  paas-cluster-build logs --limit 10.1.59.188 -n 200 --raw

It reads the files that the jobs declare and the journals of their units, on all their hosts, in order
of time; a host whose clock is wrong is corrected. A line without a time stays with the one before it.
With -f, files that aren't there yet, rotated and emptied ones are followed, and lost connections made
anew, without a line lost or doubled.";

/// The options of `logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct LogsArgs {
    /// Only these components.
    #[arg(value_name = "COMPONENT")]
    pub components: Vec<String>,
    #[command(flatten)]
    pub limit: Limit,
    #[command(flatten)]
    pub forks: Forks,
    /// Go on with what is new, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// Only what isn't older: 10m, 2h, 2026-11-25, "2026-11-25 09:00", or 09:00 of today.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Only what has this regular expression in it; `(?i)error` for either case.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub grep: Option<Regex>,
    /// Of what is there already, the newest N entries of each log, or all [default: 20; all with
    /// --since].
    #[arg(long, short = 'n', value_name = "N|all", value_parser = newest)]
    pub lines: Option<Newest>,
    /// Show every line as it is, heartbeats too.
    #[arg(long)]
    pub raw: bool,
}

/// How much of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newest {
    /// So many entries of each log.
    Of(usize),
    /// All.
    All,
}

fn newest(text: &str) -> Result<Newest, String> {
    if text == "all" {
        return Ok(Newest::All);
    }
    let said = |_| format!("`{text}` isn't a number; write 100, 0 or all");
    text.parse().map(Newest::Of).map_err(said)
}

fn pattern(text: &str) -> Result<Regex, String> {
    let said = |error: regex::Error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default();
        format!(
            "it's no regular expression: {}",
            why.trim_start_matches("error: ")
        )
    };
    Regex::new(text).map_err(said)
}

fn since(text: &str) -> Result<Timestamp, String> {
    since_at(text, &Zoned::now())
}

/// Reads a moment: so long ago, or a time by this machine's clock.
fn since_at(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let said = || {
        format!(
            "`{text}` is neither a duration nor a time; write 10m, 2h, 2026-11-25, \"2026-11-25 \
             09:00\", 09:00 or 2026-11-25T09:00:00Z"
        )
    };
    let zone = now.time_zone();
    if let Ok(ago) = duration(text) {
        let ago = SignedDuration::try_from(ago).map_err(|_| said())?;
        return now.timestamp().checked_sub(ago).map_err(|_| said());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let here = |time: DateTime, zone: &TimeZone| zone.to_timestamp(time).map_err(|_| said());
    let is_time_of_day = !text.contains('-') && text.contains(':');
    if is_time_of_day && let Ok(time) = text.parse::<Time>() {
        return here(now.date().to_datetime(time), zone);
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return here(time, zone);
    }
    let date = text.parse::<Date>().map_err(|_| said())?;
    here(date.to_datetime(Time::midnight()), zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_so_long_ago_or_a_time_here() {
        let now: Zoned = "2026-11-25T10:00:00+01:00[Europe/Berlin]".parse().unwrap();
        for (text, time) in [
            ("10m", "2026-11-25T08:50:00Z"),
            ("90", "2026-11-25T08:58:30Z"),
            ("1d", "2026-11-24T09:00:00Z"),
            ("2026-11-25T07:00:00Z", "2026-11-25T07:00:00Z"),
            ("2026-11-25 07:00", "2026-11-25T06:00:00Z"),
            ("2026-11-25T07:00:05", "2026-11-25T06:00:05Z"),
            ("2026-11-25", "2026-11-24T23:00:00Z"),
            ("07:30", "2026-11-25T06:30:00Z"),
        ] {
            let found = since_at(text, &now).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Ok(time), "{text}");
        }
        for bad in ["", "yesterday", "10x", "25:00", "2026-13-01"] {
            assert!(since_at(bad, &now).is_err(), "{bad}");
        }
    }

    #[test]
    fn how_much_is_a_number_or_all() {
        assert_eq!(newest("0"), Ok(Newest::Of(0)));
        assert_eq!(newest("all"), Ok(Newest::All));
        assert!(newest("-1").is_err() && newest("many").is_err());
    }
}
