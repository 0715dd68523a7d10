//! Lines of a file, made of bytes as they come; none is longer than what can be shown.

/// How much of a line is kept, in bytes.
pub(super) const LONGEST: usize = 32 * 1024;

/// Returns the beginning of a text, of so many bytes at most.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A file's bytes becoming lines.
#[derive(Debug, Default)]
pub(super) struct Split {
    begun: Vec<u8>,
    /// How many bytes of the begun line weren't kept.
    dropped: u64,
    /// Whether what comes is the end of a line that isn't read.
    skips: bool,
}

impl Split {
    /// Passes over what comes up to the next line.
    pub(super) fn skip(&mut self) {
        self.skips = true;
    }

    /// Takes bytes and returns the lines that are whole now.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.keep(&rest[..at]);
            rest = &rest[at + 1..];
            match std::mem::take(&mut self.skips) {
                true => self.forget(),
                false => lines.push(self.line()),
            }
        }
        self.keep(rest);
        lines
    }

    /// Returns the line that has no end, if there is one.
    pub(super) fn end(&mut self) -> Option<String> {
        let is_whole = !std::mem::take(&mut self.skips) && !self.begun.is_empty();
        let line = is_whole.then(|| self.line());
        self.forget();
        line
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(LONGEST - self.begun.len());
        self.begun.extend_from_slice(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
    }

    fn line(&mut self) -> String {
        let bytes = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun);
        let mut line = String::from_utf8_lossy(bytes).into_owned();
        if self.dropped > 0 {
            line += &format!(" … ({} more bytes)", self.dropped);
        }
        self.forget();
        line
    }

    fn forget(&mut self) {
        self.begun.clear();
        self.dropped = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_whole_and_whatever_bytes_they_are() {
        let mut split = Split::default();
        assert_eq!(split.take(b"a\xff\0b\r\n\nbeg"), ["a\u{fffd}\0b", ""]);
        assert_eq!(split.take(b"un\n"), ["begun"]);
        assert_eq!(split.take(&vec![b'x'; LONGEST + 10]), Vec::<String>::new());
        let line = split.take(b"yz\n").pop().unwrap();
        assert!(line.ends_with("x … (12 more bytes)"), "{}", line.len());
        split.take(b"open");
        assert_eq!(split.end().as_deref(), Some("open"));
        assert_eq!(split.end(), None);
    }

    #[test]
    fn a_beginning_ends_between_letters() {
        assert_eq!(beginning("aß", 2), "a");
        assert_eq!(beginning("aß", 3), "aß");
        assert_eq!(beginning("aß", 9), "aß");
    }

    #[test]
    fn what_begins_inside_of_a_line_is_passed_over() {
        let mut split = Split::default();
        split.skip();
        assert_eq!(split.take(b"half of a li"), Vec::<String>::new());
        assert_eq!(split.take(b"ne\nwhole\n"), ["whole"]);
    }
}
