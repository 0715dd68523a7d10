//! Tables and lists as plain text, with colour where it's wanted.

use std::net::IpAddr;

use owo_colors::OwoColorize;

/// What a cell's colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
    Doubtful,
}

/// One cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(text: &str, tone: Tone) -> Cell {
        Cell {
            text: printable(text),
            tone,
        }
    }

    pub(super) fn plain(text: impl AsRef<str>) -> Cell {
        Cell::new(text.as_ref(), Tone::Plain)
    }
}

/// Lays out rows in columns as wide as their content; the last column takes what it needs.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[Cell; N]], colour: bool) -> String {
    let heads = heads.map(Cell::plain);
    let mut widths = [0; N];
    for row in std::iter::once(&heads).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            line.push_str(&paint(&cell.text, cell.tone, colour));
            // Padded by hand: a format width would count the colours' bytes.
            let missing = width - cell.text.chars().count();
            line.extend(std::iter::repeat_n(' ', missing));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Colours text by its tone, if colour is wanted.
pub(super) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    match tone {
        _ if !colour || text.is_empty() => text.to_owned(),
        Tone::Plain => text.to_owned(),
        Tone::Good => text.green().to_string(),
        Tone::Bad => text.red().to_string(),
        Tone::Doubtful => text.yellow().to_string(),
    }
}

/// Makes text harmless for one line: control characters become visible, line ends too.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Joins hosts as in a sentence: `10.0.0.1, 10.0.0.2`.
pub(super) fn host_list(hosts: impl IntoIterator<Item = IpAddr>) -> String {
    let hosts: Vec<String> = hosts.into_iter().map(|h| h.to_string()).collect();
    hosts.join(", ")
}

/// Says a number of things: `1 host`, `2 hosts`.
pub(super) fn number(n: usize, thing: &str) -> String {
    match n {
        1 => format!("1 {thing}"),
        n => format!("{n} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_dont_move_columns() {
        let rows = [
            [Cell::new("bad", Tone::Bad), Cell::plain("x")],
            [Cell::new("good enough", Tone::Good), Cell::plain("y\nz")],
        ];
        let coloured = table(["A", "B"], &rows, true);
        assert!(
            coloured.contains("\u{1b}[31mbad\u{1b}[39m          x"),
            "{coloured:?}"
        );
        let plain = table(["A", "B"], &rows, false);
        assert_eq!(
            plain,
            "A            B\nbad          x\ngood enough  y\\nz\n"
        );
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }
}
