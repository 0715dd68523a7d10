//! Characters that can't be seen, or that look like one of YAML's own and aren't: editors, chats and
//! office programs put them where a person typed a space, a colon or a quote.

use super::{Place, Problem};

/// A character that isn't what it looks like.
struct Lookalike {
    name: &'static str,
    /// What to write instead; nothing where it's just to be deleted.
    instead: Option<char>,
}

/// What a character is, if it can't be seen at all.
fn invisible(c: char) -> Option<Lookalike> {
    let name = match c {
        '\u{feff}' => "a byte order mark",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{2060}' => "a word joiner",
        '\u{00ad}' => "a soft hyphen",
        '\u{180e}' => "a vowel separator",
        '\u{200e}' | '\u{200f}' | '\u{061c}' => "a mark of the writing direction",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "a change of the writing direction",
        '\u{2061}'..='\u{2064}' | '\u{e0000}'..='\u{e007f}' => "an invisible character",
        _ => return None,
    };
    let instead = None;
    Some(Lookalike { name, instead })
}

/// What a character is, if it looks like a space.
fn blank(c: char) -> Option<Lookalike> {
    let name = match c {
        '\u{00a0}' => "a no-break space",
        '\u{202f}' => "a narrow no-break space",
        '\u{3000}' => "a full-width space",
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' => "a typographic space",
        '\u{2028}' | '\u{2029}' => "a line separator",
        '\u{2800}' | '\u{3164}' | '\u{ffa0}' => "a blank letter",
        _ => return None,
    };
    let instead = Some(' ');
    Some(Lookalike { name, instead })
}

/// What a character is, if it looks like one that YAML or an address is made of.
fn punctuation(c: char) -> Option<Lookalike> {
    let (name, instead) = match c {
        '：' => ("a full-width colon", ':'),
        '，' => ("a full-width comma", ','),
        '．' | '。' => ("a full-width full stop", '.'),
        '［' => ("a full-width bracket", '['),
        '］' => ("a full-width bracket", ']'),
        '｛' => ("a full-width brace", '{'),
        '｝' => ("a full-width brace", '}'),
        '＃' => ("a full-width number sign", '#'),
        '－' => ("a full-width hyphen", '-'),
        '\u{2010}' | '\u{2011}' | '\u{2012}' => ("a typographic hyphen", '-'),
        '\u{2013}' | '\u{2014}' | '\u{2212}' => ("a dash", '-'),
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '＂' => ("a curly quote", '"'),
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '＇' => ("a curly quote", '\''),
        '０'..='９' => {
            let digit = u32::from(c) - u32::from('０');
            (
                "a full-width digit",
                char::from_digit(digit, 10).unwrap_or('0'),
            )
        }
        _ => return None,
    };
    let instead = Some(instead);
    Some(Lookalike { name, instead })
}

impl Lookalike {
    fn problem(&self, c: char, place: Place) -> Problem {
        let message = format!("{} (U+{:04X}) stands here", self.name, u32::from(c));
        let help = match self.instead {
            Some(' ') => "write an ordinary space; in a text that needs this one, put it in quotes"
                .to_owned(),
            Some(instead) => format!("write `{instead}`"),
            None => format!(
                "delete it; a text that needs it is written in double quotes, with \\u{:04X} in its place",
                u32::from(c)
            ),
        };
        Problem::new(place, 1, message).help(help)
    }
}

/// Reports every character that nobody can see: outside of comments, and those that look like a
/// space outside of quotes and block texts as well.
pub(super) fn invisible_ones(text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Most files have none, and needn't be gone through by their quotes.
    if !text
        .chars()
        .any(|c| invisible(c).is_some() || blank(c).is_some())
    {
        return problems;
    }
    for (place, c, part) in parts(text) {
        let found = match part {
            Part::Comment => None,
            Part::Quoted => invisible(c),
            Part::Bare => invisible(c).or_else(|| blank(c)),
        };
        problems.extend(found.map(|found| found.problem(c, place)));
    }
    problems
}

/// Reports the characters of some lines that look like punctuation and aren't: something else is
/// wrong there, and they may be why.
pub(super) fn on_lines(text: &str, lines: &[u32]) -> Vec<Problem> {
    let on_line = |(place, c, part): (Place, char, Part)| {
        let counts = lines.contains(&place.line) && part == Part::Bare;
        punctuation(c)
            .filter(|_| counts)
            .map(|found| found.problem(c, place))
    };
    parts(text).filter_map(on_line).collect()
}

/// What a character belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Bare,
    /// A quoted text or a block of text.
    Quoted,
    Comment,
}

/// Goes through a text; tells of each character where it stands and what it belongs to, as far as
/// that can be told without understanding the file.
fn parts(text: &str) -> impl Iterator<Item = (Place, char, Part)> {
    let mut reader = Reader::default();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
    text.lines().enumerate().flat_map(move |(row, line)| {
        let parts = reader.line(line);
        let chars = line.chars().zip(parts).enumerate();
        let placed =
            chars.map(|(column, (c, part))| (Place::new(number(row), number(column)), c, part));
        placed.collect::<Vec<_>>()
    })
}

/// What a line inherits from those above.
#[derive(Default)]
struct Reader {
    /// The quote that is open.
    quote: Option<char>,
    /// A block of text goes on below lines that are indented deeper than this.
    block: Option<usize>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Vec<Part> {
        let indentation = line.len() - line.trim_start_matches(' ').len();
        if self
            .block
            .is_some_and(|outer| indentation > outer || line.trim().is_empty())
        {
            return vec![Part::Quoted; line.chars().count()];
        }
        self.block = None;
        let mut parts = Vec::new();
        let mut before = ' ';
        let mut is_escaped = false;
        let mut in_comment = false;
        for c in line.chars() {
            let part = match self.quote {
                _ if in_comment => Part::Comment,
                Some(quote) => {
                    if c == quote && !is_escaped {
                        self.quote = None;
                    }
                    is_escaped = quote == '"' && c == '\\' && !is_escaped;
                    Part::Quoted
                }
                None if c == '#' && before.is_whitespace() => {
                    in_comment = true;
                    Part::Comment
                }
                None if matches!(c, '"' | '\'')
                    && (before.is_whitespace() || "[{,:".contains(before)
                        // A quote within quotes is written twice.
                        || (c == '\'' && before == '\'')) =>
                {
                    self.quote = Some(c);
                    Part::Quoted
                }
                None => Part::Bare,
            };
            parts.push(part);
            before = c;
        }
        let bare: String = line
            .chars()
            .zip(&parts)
            .filter(|(_, part)| **part == Part::Bare)
            .map(|(c, _)| c)
            .collect();
        let last = bare.split_whitespace().last().unwrap_or_default();
        let is_block = last.starts_with(['|', '>']) && last.len() <= 3;
        if self.quote.is_none() && is_block {
            self.block = Some(indentation);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u32, u32, String)> {
        let problems = invisible_ones(text).into_iter();
        problems
            .map(|p| (p.place.line, p.place.column, p.message))
            .collect()
    }

    #[test]
    fn what_cant_be_seen_is_named_with_its_code_point_and_place() {
        for (c, name) in [
            ('\u{a0}', "a no-break space (U+00A0)"),
            ('\u{200b}', "a zero-width space (U+200B)"),
            ('\u{feff}', "a byte order mark (U+FEFF)"),
            ('\u{3000}', "a full-width space (U+3000)"),
            ('\u{202e}', "a change of the writing direction (U+202E)"),
        ] {
            let said = found(&format!("a: b\nna{c}ts: 1 # {c}\n"));
            assert_eq!(said, [(2, 3, format!("{name} stands here"))]);
        }
    }

    #[test]
    fn texts_in_quotes_and_blocks_may_hold_other_spaces() {
        assert_eq!(found("a: \"x\u{a0}y\"\nb: 'it''s\u{a0}'\n"), []);
        assert_eq!(
            found("a: |\n  x\u{a0}y '\n\n  z\u{a0}\nb: 1\u{a0}\n").len(),
            1
        );
        assert_eq!(found("a: \"x\\\"\u{a0}\ny\u{a0}\"\nb: c\u{a0}\n").len(), 1);
        assert_eq!(
            found("a: \"x\u{200b}\"\n").len(),
            1,
            "nobody sees it there either"
        );
        assert_eq!(
            found("a: don't\u{a0}\n").len(),
            1,
            "an apostrophe opens nothing"
        );
    }

    #[test]
    fn lookalikes_are_named_only_where_something_is_wrong() {
        let text = "greeting: 你好：世界\nname： demo\n";
        let said = on_lines(text, &[2]);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].message, "a full-width colon (U+FF1A) stands here");
        assert_eq!(said[0].place, Place::new(2, 5));
        assert_eq!(said[0].help.as_deref(), Some("write `:`"));
    }
}
