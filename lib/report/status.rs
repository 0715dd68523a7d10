//! The state of a cluster as text: what each host remembers, and whether it's healthy now.

use std::net::IpAddr;

use jiff::tz::TimeZone;

use super::fit::Look;
use super::table::{Cell, Tone, number, table};

/// One step on one host: what its receipt says and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    /// The step's name: a component, or `component.job`.
    pub step: String,
    /// The host's address.
    pub host: IpAddr,
    /// The receipt, if the host has one.
    pub receipt: Option<ReceiptSummary>,
    /// How it is.
    pub health: Health,
}

/// What is shown of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptSummary {
    /// The exit status of the step's last run; `None` when none was recorded.
    pub status: Option<i32>,
    /// When that run of it ended.
    pub finished: jiff::Timestamp,
    /// The run's id.
    pub run: String,
    /// Who ran it.
    pub operator: String,
}

/// Whether a component works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Its check succeeded.
    Healthy,
    /// Its check failed, and said this.
    Unhealthy(String),
    /// It couldn't be checked, for this reason.
    Unknown(String),
}

/// Writes the rows as a table, with times in `zone`, and the totals.
pub fn status_text(rows: &[StatusRow], zone: &TimeZone, look: impl Into<Look>) -> String {
    let cells: Vec<_> = rows.iter().map(|row| row_cells(row, zone)).collect();
    let count = |wanted: fn(&Health) -> bool| rows.iter().filter(|r| wanted(&r.health)).count();
    let totals = format!(
        "{}: {} healthy, {} unhealthy, {} unknown\n",
        number(rows.len(), "instance"),
        count(|h| *h == Health::Healthy),
        count(|h| matches!(h, Health::Unhealthy(_))),
        count(|h| matches!(h, Health::Unknown(_))),
    );
    if rows.is_empty() {
        return totals;
    }
    let heads = [
        "COMPONENT",
        "HOST",
        "LAST STEP",
        "WHEN",
        "RUN",
        "BY",
        "HEALTH",
    ];
    format!("{}\n{totals}", table(heads, &cells, look.into()))
}

fn row_cells(row: &StatusRow, zone: &TimeZone) -> [Cell; 7] {
    let [last, when, run, by] = match &row.receipt {
        None => [
            Cell::new("none", Tone::Doubtful),
            Cell::plain("-"),
            Cell::plain("-"),
            Cell::plain("-"),
        ],
        Some(receipt) => {
            let finished = receipt.finished.to_zoned(zone.clone());
            [
                match receipt.status {
                    Some(0) => Cell::new("ok", Tone::Good),
                    Some(status) => Cell::new(&format!("failed ({status})"), Tone::Bad),
                    None => Cell::new("unknown", Tone::Bad),
                },
                Cell::plain(finished.strftime("%Y-%m-%d %H:%M:%S").to_string()),
                Cell::plain(&receipt.run),
                Cell::plain(&receipt.operator),
            ]
        }
    };
    let health = match &row.health {
        Health::Healthy => Cell::new("healthy", Tone::Good),
        Health::Unhealthy(why) => Cell::new(&format!("unhealthy: {}", why.trim()), Tone::Bad),
        Health::Unknown(why) => Cell::new(&format!("unknown: {}", why.trim()), Tone::Doubtful),
    };
    let host = Cell::plain(row.host.to_string());
    [Cell::plain(&row.step), host, last, when, run, by, health]
}
