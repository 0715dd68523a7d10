//! Tables and lists as plain text, with colour where it's wanted.

use std::net::IpAddr;

use owo_colors::OwoColorize;

use super::fit::{Look, columns, fold};

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

/// The least room for the last column beside the others; with less it goes on lines of its own.
const LEAST_LAST: usize = 28;

/// How far what doesn't fit beside the other columns is indented.
const INDENT: usize = 4;

/// Lays out rows in columns as wide as their content. Where there's too little room for that, the
/// last column is folded beside the others, else below them; where even the others don't fit, they
/// follow each other like words. No cell but the last is ever broken, and that one between words.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[Cell; N]], look: Look) -> String {
    let heads = heads.map(Cell::plain);
    let mut widths = [0; N];
    for row in std::iter::once(&heads).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(&cell.text));
        }
    }
    let layout = Layout::of(&widths, look.width);
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        for line in layout.lines(row, &widths, look.colour) {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// Where a table's cells go.
enum Layout {
    /// All beside each other, the last column folded to so many columns.
    Beside(usize),
    /// The last column below the others, which stand beside each other.
    Below(usize),
    /// The last column below the others, which follow each other.
    Flowing(usize),
}

impl Layout {
    fn of(widths: &[usize], width: Option<usize>) -> Layout {
        let Some(width) = width else {
            return Layout::Beside(usize::MAX);
        };
        let Some((last, others)) = widths.split_last() else {
            return Layout::Beside(usize::MAX);
        };
        let others = others.iter().map(|width| width + 2).sum::<usize>();
        match width.saturating_sub(others) {
            room if *last <= room => Layout::Beside(usize::MAX),
            room if room >= LEAST_LAST => Layout::Beside(room),
            _ if others <= width + 2 => Layout::Below(width),
            _ => Layout::Flowing(width),
        }
    }

    fn lines(&self, row: &[Cell], widths: &[usize], colour: bool) -> Vec<String> {
        let Some((last, others)) = row.split_last() else {
            return Vec::new();
        };
        let painted = |cell: &Cell| paint(&cell.text, cell.tone, colour);
        let below = |width: usize| {
            let room = width.saturating_sub(INDENT);
            let folded = fold(&last.text, room, room).into_iter();
            let folded = folded.filter(|line| !line.is_empty());
            folded.map(|line| " ".repeat(INDENT) + &paint(&line, last.tone, colour))
        };
        let beside = || {
            let mut line = String::new();
            for (cell, width) in others.iter().zip(widths) {
                line.push_str(&painted(cell));
                // Padded by hand: a format width would count the colours' bytes.
                let missing = width - columns(&cell.text) + 2;
                line.extend(std::iter::repeat_n(' ', missing));
            }
            line
        };
        let is_continued = others.iter().all(|cell| cell.text.is_empty());
        match *self {
            Layout::Beside(room) => {
                let start = beside();
                let indent = " ".repeat(columns(&start));
                let folded = fold(&last.text, room, room).into_iter().enumerate();
                let line = |(n, line): (usize, String)| {
                    let before = if n == 0 { &start } else { &indent };
                    before.clone() + &paint(&line, last.tone, colour)
                };
                folded.map(line).collect()
            }
            Layout::Below(width) | Layout::Flowing(width) if is_continued => below(width).collect(),
            Layout::Below(width) => std::iter::once(beside()).chain(below(width)).collect(),
            Layout::Flowing(width) => {
                let mut lines = vec![String::new()];
                for cell in others.iter().filter(|cell| !cell.text.is_empty()) {
                    let line = lines.last_mut().expect("there is one from the start");
                    let is_first = line.trim().is_empty();
                    if !is_first && columns(line) + 2 + columns(&cell.text) > width {
                        lines.push(format!("  {}", painted(cell)));
                        continue;
                    }
                    if !is_first {
                        line.push_str("  ");
                    }
                    line.push_str(&painted(cell));
                }
                lines.extend(below(width));
                lines
            }
        }
    }
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
        let coloured = table(["A", "B"], &rows, true.into());
        assert!(
            coloured.contains("\u{1b}[31mbad\u{1b}[39m          x"),
            "{coloured:?}"
        );
        let plain = table(["A", "B"], &rows, false.into());
        assert_eq!(
            plain,
            "A            B\nbad          x\ngood enough  y\\nz\n"
        );
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }

    fn narrow(width: usize) -> String {
        let row = |step, why| {
            [
                Cell::plain(step),
                Cell::plain("10.0.0.1"),
                Cell::new(why, Tone::Bad),
            ]
        };
        let rows = [
            row(
                "cloud_controller_ng",
                "its script is another one, its value changed",
            ),
            [
                Cell::plain(""),
                Cell::plain(""),
                Cell::plain("and it is unhealthy"),
            ],
            row("uaa", "new"),
        ];
        let look = Look {
            colour: false,
            width: Some(width),
        };
        table(["STEP", "HOST", "WHY"], &rows, look)
    }

    #[test]
    fn tables_take_the_room_there_is_and_break_no_word() {
        let shapes = [80, 62, 40, 24].map(|width| format!("{width}:\n{}", narrow(width)));
        insta::assert_snapshot!(shapes.join("\n"));
    }
}
