//! Makes text out of what a host prints: nothing in it can act on a terminal, and no secret of
//! this run is in it.

/// A line that grows beyond this is passed on in pieces.
const LONGEST_LINE: usize = 16 * 1024;
/// What stands in place of a secret.
const BLOT: &str = "[secret]";

/// Writes a script for sed that replaces each secret by as many stars as it has bytes, so that the
/// host's copy of the output keeps its length.
pub(super) fn sed_script(secrets: &[String]) -> String {
    let mut secrets: Vec<&String> = secrets.iter().filter(|s| !s.is_empty()).collect();
    // A secret that holds another one has to go first.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let one_line = secrets.into_iter().filter(|secret| !secret.contains('\n'));
    one_line
        .map(|secret| {
            let mut pattern = String::new();
            for c in secret.chars() {
                if r"\/.*[]^$".contains(c) {
                    pattern.push('\\');
                }
                pattern.push(c);
            }
            format!("s/{pattern}/{}/g\n", "*".repeat(secret.len()))
        })
        .collect()
}

/// Turns a step's bytes into text, line by line.
///
/// Lines are kept whole (up to 16 KiB) so that a character or a secret that arrives in two pieces is
/// still seen as one.
pub struct TextFilter {
    secrets: Vec<String>,
    pending: Vec<u8>,
}

impl TextFilter {
    /// Makes a filter that blots out these texts.
    pub fn new(secrets: &[String]) -> TextFilter {
        let mut secrets: Vec<String> = secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .cloned()
            .collect();
        // A secret that holds another one has to go first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        TextFilter {
            secrets,
            pending: Vec::new(),
        }
    }

    /// Takes bytes and returns the text of the lines that they complete, if any.
    pub fn push(&mut self, bytes: &[u8]) -> Option<String> {
        self.pending.extend_from_slice(bytes);
        let end = match self.pending.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if self.pending.len() > LONGEST_LINE => self.safe_cut(),
            None => return None,
        };
        let rest = self.pending.split_off(end);
        let lines = std::mem::replace(&mut self.pending, rest);
        Some(self.text(&lines))
    }

    /// Returns what is left when the step has ended.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.pending);
        (!rest.is_empty()).then(|| self.text(&rest))
    }

    /// Where an overlong line may be cut: the longest secret's length before its end, so that no
    /// secret is cut in two unseen.
    fn safe_cut(&self) -> usize {
        let longest = self.secrets.first().map_or(0, String::len);
        let mut cut = self.pending.len().saturating_sub(longest);
        // A secret that begins before the cut and ends behind it stays whole on one side.
        for secret in &self.secrets {
            let from = cut.saturating_sub(secret.len());
            let window = &self.pending[from..];
            if let Some(at) = window
                .windows(secret.len())
                .position(|w| w == secret.as_bytes())
                && from + at < cut
            {
                cut = cut.max(from + at + secret.len());
            }
        }
        cut.min(self.pending.len())
    }

    fn text(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        visible(&replaced(text, &self.secrets))
    }
}

/// Blots texts out of another one.
pub(super) fn without(text: String, secrets: &[String]) -> String {
    replaced(text, &TextFilter::new(secrets).secrets)
}

/// Blots texts out, in the order in which they're given.
fn replaced(mut text: String, secrets: &[String]) -> String {
    for secret in secrets {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), BLOT);
        }
    }
    text
}

/// Writes control characters so that they can be seen but not act: `\u{1b}` becomes `␛`.
fn visible(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            // The block of control pictures is in the order of the control characters.
            '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            // C1 controls and the marks that reorder text act on terminals too.
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            _ => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filtered(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|s| (*s).to_owned()).collect();
        let mut filter = TextFilter::new(&secrets);
        let mut text: String = pieces
            .iter()
            .filter_map(|piece| filter.push(piece))
            .collect();
        text.extend(filter.finish());
        text
    }

    #[test]
    fn terminal_sequences_become_visible() {
        assert_eq!(filtered(&[], &[b"a\x1b[2J\x07b\r\n\tc"]), "a␛[2J␇b\n\tc");
        assert_eq!(
            filtered(&[], &["\u{9b}2J \u{202e}".as_bytes()]),
            "\u{fffd}2J \u{fffd}"
        );
    }

    #[test]
    fn a_character_in_two_pieces_stays_whole() {
        assert_eq!(filtered(&[], &[&[0xc3], &[0xa9, b'\n']]), "é\n");
        assert_eq!(filtered(&[], &[&[0xff, b'\n']]), "\u{fffd}\n");
    }

    #[test]
    fn a_secret_that_holds_another_is_blotted_whole() {
        assert_eq!(
            filtered(&["pass", "password"], &[b"password pass\n"]),
            "[secret] [secret]\n"
        );
    }

    proptest! {
        #[test]
        fn no_secret_gets_through_however_it_is_cut(
            before in 0usize..40_000,
            cuts in proptest::collection::vec(1usize..20_000, 0..6),
        ) {
            let secret = "s3cr3t-value";
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(secret.as_bytes());
            bytes.extend_from_slice(&[b'y'; 20_000]);
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut rest: &[u8] = &bytes;
            for cut in cuts {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = others;
            }
            pieces.push(rest);
            let text = filtered(&[secret], &pieces);
            prop_assert!(!text.contains(secret));
            prop_assert_eq!(text.len(), bytes.len() - secret.len() + BLOT.len());
        }
    }
}
