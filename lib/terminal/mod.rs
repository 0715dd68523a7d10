//! Shows a run while it goes on: live on a terminal, as plain lines anywhere else.
//!
//! It decides how facts look, never what happens; the account at the end is `report`'s.

mod live;
mod plain;
mod text;

use std::ffi::OsStr;

pub use live::Terminal;
pub use plain::Plain;

/// Tells from `NO_COLOR` and `TERM` whether colours are wanted, as <https://no-color.org> has it:
/// any non-empty `NO_COLOR` says no.
pub fn wants_colour(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// Tells from `TERM` whether a terminal can move its cursor, which a live display needs; one that
/// doesn't say what it is can't be trusted with that either.
pub fn can_redraw(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_are_respected() {
        let wants = |no: Option<&str>, term: Option<&str>| {
            wants_colour(no.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(wants(None, None));
        assert!(wants(Some(""), Some("xterm")));
        assert!(!wants(Some("0"), Some("xterm")));
        assert!(!wants(None, Some("dumb")));
        assert!(can_redraw(Some(OsStr::new("xterm"))));
        for poor in [None, Some(""), Some("dumb")] {
            assert!(!can_redraw(poor.map(OsStr::new)), "{poor:?}");
        }
    }
}
