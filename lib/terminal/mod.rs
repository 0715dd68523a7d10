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
    }
}
