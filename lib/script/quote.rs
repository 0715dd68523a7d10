//! Values as shell words.

use std::fmt;

use askama::filters::Escaper;

/// Quotes a text so that a shell reads it as one word, unchanged.
pub fn shell_word(text: &str) -> String {
    shell_words::quote(text).into_owned()
}

/// Quotes every `{{ value }}` of a `.sh` template.
///
/// A value may come in several pieces; each becomes a quoted word, and words that touch are one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShellEscaper;

impl Escaper for ShellEscaper {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        dest.write_str(&shell_words::quote(text))
    }
}
