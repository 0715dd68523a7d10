//! The runs that this machine remembers, as a table.

use jiff::tz::TimeZone;

use super::Outcome;
use super::fit::Look;
use super::table::{Cell, Tone, number, table};
use crate::run_state::{Counts, RunState, duration_words};

/// One run for the table.
#[derive(Debug)]
pub struct RunRow {
    /// Its id.
    pub run: String,
    /// What its journal tells; `None` when it can't be read.
    pub state: Option<RunState>,
    /// Whether its controller is alive on this machine.
    pub live: bool,
    /// Whether it was only looked at from here, and has its controller elsewhere.
    pub watched: bool,
    /// Whether the journal's last line was never finished.
    pub torn: bool,
}

/// Writes the runs as a table, in the given order, with times in `zone`.
pub fn runs_text(rows: &[RunRow], zone: &TimeZone, look: impl Into<Look>) -> String {
    let cells: Vec<_> = rows.iter().map(|one| row(one, zone)).collect();
    let heads = ["RUN", "WHEN", "OPERATION", "BY", "TOOK", "STEPS", "STATE"];
    table(heads, &cells, look.into())
}

/// Says what really ran of a run: `6 ran`, `0 ran`, `3 ran, 1 of them failed, 2 not started`.
pub fn ran_words(counts: &Counts) -> String {
    let ran = counts.succeeded + counts.failed;
    let mut words = format!("{ran} ran");
    match counts.failed {
        0 => {}
        n if n == ran => words = format!("{n} failed"),
        n => words.push_str(&format!(", {n} of them failed")),
    }
    if counts.not_started > 0 {
        words.push_str(&format!(", {} not started", counts.not_started));
    }
    words
}

/// Says in a word how a run ended, or that it hasn't: `live`, `done`, `failed`, `interrupted`, …;
/// `watched` where who looked on has left before the end.
pub fn run_word(state: &RunState, live: bool, watched: bool) -> &'static str {
    match Outcome::of(state) {
        _ if live => "live",
        _ if !state.is_over() && watched => "watched",
        // A journal without an end, and nobody who writes it.
        _ if !state.is_over() => "interrupted",
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Unreachable => "unreachable",
        Outcome::Locked => "locked",
        Outcome::Cancelled => "cancelled",
    }
}

fn row(row: &RunRow, zone: &TimeZone) -> [Cell; 7] {
    let Some((state, run)) = row.state.as_ref().and_then(|s| Some((s, s.run()?))) else {
        let dash = || Cell::plain("-");
        let unreadable = Cell::new("no readable journal", Tone::Bad);
        return [
            Cell::plain(&row.run),
            dash(),
            dash(),
            dash(),
            dash(),
            dash(),
            unreadable,
        ];
    };
    let counts = state.counts();
    let started = run.started.to_zoned(zone.clone());
    let word = run_word(state, row.live, row.watched);
    let tone = match word {
        "live" | "watched" => Tone::Doubtful,
        "done" => Tone::Good,
        _ => Tone::Bad,
    };
    let mut words = word.to_owned();
    if counts.running > 0 {
        let running = number(counts.running, "step");
        words.push_str(&format!(", {running} running when last heard of"));
    }
    if row.torn && !row.live && !row.watched {
        words.push_str(", the journal's last line is torn");
    }
    [
        Cell::plain(&row.run),
        Cell::plain(started.strftime("%Y-%m-%d %H:%M").to_string()),
        Cell::plain(&run.operation),
        Cell::plain(format!("{}@{}", run.operator, run.workstation)),
        Cell::plain(duration_words(state.now_ms())),
        Cell::plain(ran_words(&counts)),
        Cell::new(&words, tone),
    ]
}
