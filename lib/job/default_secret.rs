//! Secrets that a release brings and that stay as they are there: what everybody knows who has read it.
//! They are data beside each job, as its settings are.

/// By what a release's own file shows that such a secret is in it.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// One line that is no comment holds all of these.
    Has(&'static [&'static str]),
    /// No line that is no comment holds this.
    Lacks(&'static str),
}

/// A secret that stays as the release has it, or that the release leaves out.
#[derive(Debug, Clone, Copy)]
pub struct DefaultSecret {
    what: &'static str,
    paths: &'static [&'static str],
    sign: Sign,
    advice: &'static str,
}

impl DefaultSecret {
    /// Describes one that is written in a file: in the one of these paths below the release that is
    /// there, in a line that holds all of `parts`.
    pub const fn written(
        what: &'static str,
        paths: &'static [&'static str],
        parts: &'static [&'static str],
        advice: &'static str,
    ) -> DefaultSecret {
        DefaultSecret {
            what,
            paths,
            sign: Sign::Has(parts),
            advice,
        }
    }

    /// Describes one that isn't asked for because a file, likewise, has no line with `part`.
    pub const fn left_out(
        what: &'static str,
        paths: &'static [&'static str],
        part: &'static str,
        advice: &'static str,
    ) -> DefaultSecret {
        DefaultSecret {
            what,
            paths,
            sign: Sign::Lacks(part),
            advice,
        }
    }

    /// Says which secret it is, and what it opens.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Lists the paths below the release of which it has one.
    pub fn paths(&self) -> &'static [&'static str] {
        self.paths
    }

    /// Says what the operator can do about it.
    pub fn advice(&self) -> &'static str {
        self.advice
    }

    /// Tells whether a file's text has it: at which line, from 1, or without one where it's left out;
    /// `None` where the text has no such secret any more.
    pub fn found_in(&self, text: &str) -> Option<Option<usize>> {
        let is_comment = |line: &str| line.trim_start().starts_with('#');
        let mut lines = (1..).zip(text.lines());
        match self.sign {
            Sign::Has(parts) => lines
                .find(|(_, line)| !is_comment(line) && parts.iter().all(|p| line.contains(p)))
                .map(|(number, _)| Some(number)),
            Sign::Lacks(part) => {
                let is_there = lines.any(|(_, line)| !is_comment(line) && line.contains(part));
                (!is_there).then_some(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_no_secret_and_no_login_either() {
        let token = DefaultSecret::written("", &[], &["token:", "beef"], "");
        assert_eq!(token.found_in("a: 1\n token: \"beef\"\n"), Some(Some(2)));
        assert_eq!(
            token.found_in("# token: beef\ntoken: ours\nbeef: 1\n"),
            None
        );
        let login = DefaultSecret::left_out("", &[], "authorization:", "");
        assert_eq!(login.found_in("net: a\n#authorization:\n"), Some(None));
        assert_eq!(login.found_in("net: a\nauthorization:\n"), None);
    }
}
