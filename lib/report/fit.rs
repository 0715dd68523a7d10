//! Fits text to the width of a terminal: lines are broken between words, never in one.

use unicode_width::UnicodeWidthStr;

/// How an account looks where it's shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Whether to use colour.
    pub colour: bool,
    /// How many columns there are; without a number, lines are as long as they are.
    pub width: Option<usize>,
}

impl From<bool> for Look {
    /// Colour or none, on lines of any length.
    fn from(colour: bool) -> Look {
        Look {
            colour,
            width: None,
        }
    }
}

/// Counts the columns that a text takes; colours take none.
pub(super) fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().width()
}

/// Breaks the lines that are wider than `width` between words; what follows a break is indented by
/// two more than its line. Lines of a host's output (they begin with `|`) and words that are wider
/// than all of a line stay as they are.
pub fn wrap(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = match line.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (line, ""),
        };
        if columns(body) <= width || body.trim_start().starts_with('|') {
            out.push_str(line);
            continue;
        }
        let indent = body.len() - body.trim_start_matches(' ').len();
        let hanging = (indent + 2).min(width / 2);
        out.push_str(&body[..indent]);
        let rest = width.saturating_sub(hanging);
        let lines = fold(&body[indent..], width.saturating_sub(indent), rest);
        out.push_str(&lines.join(&format!("\n{}", " ".repeat(hanging))));
        out.push_str(end);
    }
    out
}

/// Breaks one line into several: the first of `first` columns, the others of `rest`.
pub(super) fn fold(line: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    for word in line.split(' ') {
        let room = if lines.is_empty() { first } else { rest };
        if !current.trim().is_empty() && columns(&current) + 1 + columns(word) > room {
            lines.push(std::mem::take(&mut current).trim_end().to_owned());
            current.push_str(word);
            continue;
        }
        // Several spaces in a row are kept, but not where a line begins.
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    lines.push(current.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn breaks_between_words_and_indents_what_follows() {
        let text =
            "short\n  nats on 10.0.0.1, 10.0.0.2, 10.0.0.3\n    | a line of output, as it came\n";
        assert_eq!(
            wrap(text, Some(24)),
            "short\n  nats on 10.0.0.1,\n    10.0.0.2, 10.0.0.3\n    | a line of output, as it came\n"
        );
        assert_eq!(wrap(text, None), text);
        assert_eq!(
            wrap("日本 日本", Some(6)),
            "日本\n  日本",
            "two columns each"
        );
        assert_eq!(
            wrap("a averyveryverylongword b", Some(8)),
            "a\n  averyveryverylongword\n  b"
        );
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_none_is_broken(text in "[ a-z\n日]{0,80}", width in 1_usize..40) {
            let wrapped = wrap(&text, Some(width));
            let words = |t: &str| t.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped), words(&text));
            for line in wrapped.lines() {
                let body = line.trim_start();
                prop_assert!(columns(line) <= width || !body.contains(' ') , "{line:?}");
            }
        }
    }
}
