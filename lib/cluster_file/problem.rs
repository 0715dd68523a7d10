//! What is wrong with a cluster file, at which place, and how that is drawn for a person.
//!
//! A problem is data; drawing it is one function, and printing the drawing is the binary's.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::Place;

/// One thing that is wrong with a cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// How many characters from there are underlined (at least one is).
    pub len: usize,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What should stand there instead, shown at the caret.
    pub expected: Option<String>,
    /// What to do about it, such as the nearest known name.
    pub help: Option<String>,
    /// Other places that have to do with it, each with what stands there.
    pub also: Vec<(Place, String)>,
}

impl Problem {
    /// Makes a problem with a message at a place; the rest is added by the methods below.
    pub fn new(place: Place, len: usize, message: impl Into<String>) -> Self {
        Problem {
            place,
            len,
            message: message.into(),
            expected: None,
            help: None,
            also: Vec::new(),
        }
    }

    /// Says what should stand there.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do about it, if there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Shows another place that has to do with it.
    #[must_use]
    pub fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also.push((place, label.into()));
        self
    }
}

/// Puts problems into the order of the file and drops exact repetitions.
///
/// The same mistake can be met twice when an anchored mapping is used in several places.
pub fn sort_problems(problems: &mut Vec<Problem>) {
    problems.sort_by(|a, b| (a.place, &a.message).cmp(&(b.place, &b.message)));
    problems.dedup();
}

/// Draws problems for a person: file, line and column, the source line with a caret, what was
/// expected, the other places, and what to do; a blank line between two problems.
///
/// `colour` adds terminal escapes; without it the text is plain. It ends without a newline.
/// A password that somebody wrote into the file is drawn as asterisks.
pub fn render_problems(path: &Path, text: &str, problems: &[Problem], colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .decor_style(DecorStyle::Ascii);
    let path = path.display().to_string();
    let text = mask_passwords(text);
    let lines = Lines::new(&text);
    let drawn: Vec<String> = problems
        .iter()
        .map(|p| renderer.render(&[report(&path, &lines, p)]))
        .collect();
    drawn.join("\n\n")
}

/// Replaces what stands behind each `password:` by as many asterisks, unless it begins a mapping.
fn mask_passwords(text: &str) -> String {
    text.split_inclusive('\n').map(mask_line).collect()
}

fn mask_line(line: &str) -> String {
    let stars = |c: char| if c == '\n' || c == '\r' { c } else { '*' };
    for (at, key) in line.match_indices("password") {
        let after = &line[at + key.len()..];
        let value = after.trim_start_matches(['"', '\'', ':', '=', ' ']);
        // An anchor may stand before a mapping as well as before a password.
        let anchored = match value.strip_prefix('&') {
            Some(rest) => rest
                .split_once(' ')
                .map_or("", |(_, value)| value.trim_start()),
            None => value,
        };
        if !anchored.trim().is_empty() && !anchored.starts_with(['{', '#', '*']) {
            let shown = &line[..line.len() - value.len()];
            return format!("{shown}{}", value.chars().map(stars).collect::<String>());
        }
    }
    line.to_owned()
}

fn report<'a>(path: &'a str, lines: &Lines<'a>, problem: &'a Problem) -> Group<'a> {
    let mut caret = AnnotationKind::Primary.span(lines.range(problem.place, problem.len));
    if let Some(expected) = &problem.expected {
        caret = caret.label(format!("expected {expected}"));
    }
    let mut snippet = Snippet::source(lines.text).path(path).annotation(caret);
    for (place, label) in &problem.also {
        let word = lines.word_at(*place);
        snippet = snippet.annotation(AnnotationKind::Context.span(word).label(label));
    }
    let group = Level::ERROR
        .primary_title(problem.message.as_str())
        .element(snippet);
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// Where each line of a text begins, to turn places into byte ranges.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(newlines).collect();
        Lines { text, starts }
    }

    /// A line with its offset, without its line break; the last one if there is no such line.
    fn line(&self, number: u32) -> (usize, &'a str) {
        let index = (number.max(1) as usize - 1).min(self.starts.len() - 1);
        let start = self.starts[index];
        let end = self.starts.get(index + 1).copied();
        let line = &self.text[start..end.unwrap_or(self.text.len())];
        (start, line.trim_end_matches(['\n', '\r']))
    }

    /// The byte range of `len` characters from a place, never beyond its line.
    fn range(&self, place: Place, len: usize) -> Range<usize> {
        let (start, line) = self.line(place.line);
        let byte = |chars: usize| {
            line.char_indices()
                .nth(chars)
                .map_or(line.len(), |(b, _)| b)
        };
        let first = place.column.max(1) as usize - 1;
        let from = byte(first);
        start + from..start + byte(first.saturating_add(len.max(1))).max(from)
    }

    /// The byte range of the word at a place; a key's colon isn't part of it, an address's is.
    fn word_at(&self, place: Place) -> Range<usize> {
        let (_, line) = self.line(place.line);
        let from = line.chars().skip(place.column.max(1) as usize - 1);
        let next = from.clone().skip(1).chain([' ']);
        let ends = |c: char, next: char| {
            c.is_whitespace() || ",]}".contains(c) || (c == ':' && next.is_whitespace())
        };
        let word = from
            .zip(next)
            .take_while(|(c, next)| !ends(*c, *next))
            .count();
        self.range(place, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "nats: 10.1.59.160\nname: 集群 x\r\nserver:\n  nats:\n    ip: 10.1.59.161";

    fn draw(problem: Problem) -> String {
        render_problems(Path::new("config/cluster.yml"), TEXT, &[problem], false)
    }

    #[test]
    fn shows_both_lines_the_caret_and_the_help() {
        let problem = Problem::new(Place::new(1, 7), 11, "two addresses for nats")
            .expected("10.1.59.161")
            .help("write the same address in both places")
            .also(Place::new(5, 9), "`server` says this one");
        insta::assert_snapshot!(draw(problem));
    }

    #[test]
    fn counts_columns_in_characters() {
        let drawn = draw(Problem::new(Place::new(2, 7), 2, "two characters"));
        assert!(drawn.contains("config/cluster.yml:2:7"), "{drawn}");
        assert!(drawn.contains("集群"), "{drawn}");
    }

    #[test]
    fn bears_places_beyond_the_text() {
        for (line, column) in [(0, 0), (99, 1), (5, 999), (u32::MAX, u32::MAX)] {
            let drawn = draw(Problem::new(Place::new(line, column), usize::MAX, "beyond"));
            assert!(drawn.contains("beyond"), "{drawn}");
        }
        let drawn = render_problems(
            Path::new("x.yml"),
            "",
            &[Problem::new(Place::new(1, 1), 0, "empty")],
            false,
        );
        assert!(drawn.contains("x.yml:1:1"), "{drawn}");
    }

    #[test]
    fn other_places_are_underlined_as_far_as_the_word_goes() {
        let text = "a: [fd00::1, x]\nkey: v\n{b: end}";
        let lines = Lines::new(text);
        for (line, column, word) in [
            (1, 5, "fd00::1"),
            (1, 14, "x"),
            (2, 1, "key"),
            (2, 6, "v"),
            (3, 5, "end"),
        ] {
            assert_eq!(&text[lines.word_at(Place::new(line, column))], word);
        }
    }

    #[test]
    fn masks_passwords_and_nothing_else() {
        let text = "password: 1qaz\r\npassword: {env: A}\n  db_password: 'é'\nx: {password: y}";
        let masked = "password: ****\r\npassword: {env: A}\n  db_password: '**\nx: {password: **";
        assert_eq!(mask_passwords(text), masked);
        // Behind a mapping there may be another one; an anchor hides nothing.
        let text =
            "a: {password: {env: A}}, b: {password: y}\npassword: &p y\npassword: &p {env: A}";
        let masked =
            "a: {password: {env: A}}, b: {password: **\npassword: ****\npassword: &p {env: A}";
        assert_eq!(mask_passwords(text), masked);
    }

    #[test]
    fn colours_only_when_asked() {
        let problem = [Problem::new(Place::new(1, 1), 4, "colour")];
        let path = Path::new("x.yml");
        assert!(!render_problems(path, TEXT, &problem, false).contains('\u{1b}'));
        assert!(render_problems(path, TEXT, &problem, true).contains('\u{1b}'));
    }
}
