//! Text from hosts and files, made fit for a line of a terminal.

/// Makes text harmless for a line: tabs become spaces (their width depends on the column), other
/// control characters become visible, so none can move the cursor or end the line.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_is_left() {
        assert_eq!(
            printable("a\tb\r\u{1b}[2J\u{9b}日本"),
            "a    b\\r\\u{1b}[2J\\u{9b}日本"
        );
    }
}
