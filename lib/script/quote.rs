//! Values as shell words.

use std::fmt;

use askama::filters::Escaper;

/// Quotes a text so that any shell reads it as one word, unchanged.
///
/// Only what no shell gives a meaning stays bare. (`shell_words` leaves braces bare, which bash
/// expands, also where it stands in for `sh`.)
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Quotes every `{{ value }}` of a `.sh` template.
///
/// A value may come in several pieces; each becomes a quoted word, and words that touch are one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShellEscaper;

impl Escaper for ShellEscaper {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        dest.write_str(&shell_word(text))
    }
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn only_harmless_words_stay_bare() {
        for bare in ["10.0.0.1", "fd00::1", "/home/paas", "a-b_c,d@e%f+g", "-n"] {
            assert_eq!(shell_word(bare), bare);
        }
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        for special in [
            "{a,b}", "!", "^", "~", "a=b", "\r", "é", "a b", "$x", "*", "[a]",
        ] {
            assert_eq!(shell_word(special), format!("'{special}'"));
        }
    }
}
