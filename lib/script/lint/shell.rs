//! Reads POSIX shell as far as quoting goes: at every character it knows whether it stands in a
//! command, in quotes, in a here-document, in a comment or in an expansion.
//!
//! It isn't a parser: it finds where words begin and end, which word is a command's name, and what a
//! `)` closes. Where a text could be read in two ways, it says so instead of choosing one.

use super::VALUE;
use super::command::{Case, Commands, Here, Redirect};
use crate::cluster_file::{Place, Problem};

/// Where the reading stands; it is copied for each branch of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shell {
    /// The contexts that are open, the innermost last; the first is the script itself.
    pub frames: Vec<Frame>,
    /// What the character before means for the next one.
    pub after: After,
    /// Here-documents that are announced and begin with the next line.
    pub heres: Vec<Here>,
    /// The last character, if the next one could make another sign of it.
    pub glue: Option<char>,
}

/// A context, and where it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: Kind,
    pub opened: Place,
}

/// What a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Commands: the script, a subshell, `$(…)`.
    Commands(Commands),
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `` `…` ``
    Backtick,
    /// `${…}`
    Parameter {
        /// Whether a single quote quotes in it.
        single_quotes: bool,
    },
    /// `$((…))`, with its open parentheses.
    Arithmetic { depth: u32 },
    /// From `#` to the line's end.
    Comment,
    /// The lines of a here-document.
    Document {
        here: Here,
        /// The line so far.
        line: String,
        /// The brackets of expansions that are open in it.
        open: Vec<char>,
    },
}

/// What the character before does to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// It's taken as it is.
    Backslash,
    /// It may begin an expansion.
    Dollar,
}

impl Shell {
    pub fn new() -> Shell {
        Shell {
            frames: vec![Frame {
                kind: Kind::Commands(Commands::new(false, false)),
                opened: Place::new(1, 1),
            }],
            after: After::Nothing,
            heres: Vec::new(),
            glue: None,
        }
    }

    /// Reads a text on from a place.
    pub fn read(&mut self, text: &str, mut place: Place, problems: &mut Vec<Problem>) {
        let mut taken = 0;
        for (at, c) in text.char_indices() {
            if taken > 0 {
                taken -= 1;
            } else {
                taken = self.step(c, &text[at + c.len_utf8()..], place, problems);
            }
            self.glue = "$\\(<>;".contains(c).then_some(c);
            place = match c {
                '\n' => Place::new(place.line.saturating_add(1), 1),
                _ => Place::new(place.line, place.column.saturating_add(1)),
            };
        }
    }

    /// Reads one character; returns how many of the following it took along.
    fn step(&mut self, c: char, rest: &str, place: Place, problems: &mut Vec<Problem>) -> usize {
        let Some(top) = self.frames.last_mut() else {
            return 0;
        };
        match &mut top.kind {
            Kind::Single => {
                match c {
                    '\'' => drop(self.frames.pop()),
                    _ => self.quoted_char(c),
                }
                0
            }
            Kind::Comment => {
                if c != '\n' {
                    return 0;
                }
                self.frames.pop();
                self.step(c, rest, place, problems)
            }
            Kind::Backtick => {
                match (self.after, c) {
                    (After::Backslash, _) => self.after = After::Nothing,
                    (_, '\\') => self.after = After::Backslash,
                    (_, '`') => drop(self.frames.pop()),
                    _ => {}
                }
                0
            }
            Kind::Document { here, line, open } => {
                let ended = here.read(c, line, open, place, problems);
                if ended {
                    self.frames.pop();
                    self.begin_document();
                }
                0
            }
            Kind::Double | Kind::Parameter { .. } | Kind::Arithmetic { .. } => {
                self.quoted(c, rest, place, problems)
            }
            Kind::Commands(_) => self.command(c, rest, place, problems),
        }
    }

    /// Adds a character in quotes to the word that they are a part of.
    fn quoted_char(&mut self, c: char) {
        let below = self.frames.len().checked_sub(2);
        let frame = below.and_then(|below| self.frames.get_mut(below));
        if let Some(commands) = frame.and_then(commands_of) {
            commands.quoted_char(c);
        }
    }

    fn open(&mut self, kind: Kind, opened: Place) {
        self.frames.push(Frame { kind, opened });
    }

    /// Starts the next of the announced here-documents.
    fn begin_document(&mut self) {
        if !self.heres.is_empty() {
            let here = self.heres.remove(0);
            let (line, open, opened) = (String::new(), Vec::new(), here.opened);
            self.open(Kind::Document { here, line, open }, opened);
        }
    }

    /// Reads what a backslash, a dollar or a backtick means everywhere but in single quotes; `None`
    /// where the character has to be read as any other.
    fn expansion(&mut self, c: char, rest: &str, place: Place) -> Option<usize> {
        match (self.after, c) {
            (After::Backslash, _) => self.after = After::Nothing,
            (After::Dollar, '(') => {
                self.after = After::Nothing;
                if rest.starts_with('(') {
                    self.open(Kind::Arithmetic { depth: 0 }, place);
                    return Some(1);
                }
                self.open(Kind::Commands(Commands::new(true, true)), place);
            }
            (After::Dollar, '{') => {
                self.after = After::Nothing;
                let single_quotes = is_pattern(rest) || !self.is_in_double_quotes();
                self.open(Kind::Parameter { single_quotes }, place);
                // The name may begin with `#`, which asks for a length.
                return Some(usize::from(rest.starts_with('#')));
            }
            // `$$`, `$#` and their like.
            (After::Dollar, '$' | '#' | '?' | '!' | '@' | '*' | '-') => {
                self.after = After::Nothing;
            }
            (_, '\\') => self.after = After::Backslash,
            (_, '$') => self.after = After::Dollar,
            (_, '`') => {
                self.after = After::Nothing;
                self.open(Kind::Backtick, place);
            }
            _ => {
                self.after = After::Nothing;
                return None;
            }
        }
        Some(0)
    }

    /// Whether the innermost quotes are double ones.
    fn is_in_double_quotes(&self) -> bool {
        let kinds = self.frames.iter().rev().map(|frame| &frame.kind);
        let mut kinds = kinds.skip_while(|kind| matches!(kind, Kind::Parameter { .. }));
        matches!(kinds.next(), Some(Kind::Double | Kind::Arithmetic { .. }))
    }

    /// Reads a character in `"…"`, `${…}` or `$((…))`.
    fn quoted(&mut self, c: char, rest: &str, place: Place, problems: &mut Vec<Problem>) -> usize {
        if let Some(taken) = self.expansion(c, rest, place) {
            return taken;
        }
        let Some(top) = self.frames.last_mut() else {
            return 0;
        };
        match (&mut top.kind, c) {
            (Kind::Double, '"') | (Kind::Parameter { .. }, '}') => drop(self.frames.pop()),
            (Kind::Double, _) => self.quoted_char(c),
            (Kind::Parameter { .. }, '"') => self.open(Kind::Double, place),
            (
                Kind::Parameter {
                    single_quotes: true,
                },
                '\'',
            ) => self.open(Kind::Single, place),
            (Kind::Arithmetic { depth }, '(') => *depth += 1,
            (Kind::Arithmetic { depth }, ')') if *depth > 0 => *depth -= 1,
            (Kind::Arithmetic { .. }, ')') => {
                let opened = top.opened;
                self.frames.pop();
                if rest.starts_with(')') {
                    return 1;
                }
                problems.push(
                    Problem::new(opened, 2, "`((` may begin arithmetic or two subshells")
                        .help("write `( (` with a space, if it's a subshell in another"),
                );
            }
            _ => {}
        }
        0
    }

    /// Reads a character where commands stand.
    fn command(&mut self, c: char, rest: &str, place: Place, problems: &mut Vec<Problem>) -> usize {
        // A line that ends with a backslash goes on: the word isn't over, and none has begun.
        let joins = self.after == After::Backslash && c == '\n';
        let after_dollar = self.after == After::Dollar;
        let was_escaped = self.after == After::Backslash;
        let depth = self.frames.len();
        if after_dollar && c == '\'' {
            problems.push(
                Problem::new(
                    place,
                    1,
                    "`$'…'` isn't POSIX: shells read it in different ways",
                )
                .help("leave the dollar out; `printf` makes control characters"),
            );
        }
        let taken = self.expansion(c, rest, place);
        let Some(commands) = commands_of(&mut self.frames[depth - 1]) else {
            return 0;
        };
        if let Some(taken) = taken {
            if was_escaped && !joins {
                commands.quoted_char(c);
            } else if !was_escaped && c != '\\' {
                commands.word_char(c);
            }
            return taken;
        }
        match c {
            '\'' => {
                commands.quote();
                self.open(Kind::Single, place);
            }
            '"' => {
                commands.quote();
                self.open(Kind::Double, place);
            }
            '#' if commands.word.is_none() => self.open(Kind::Comment, place),
            ' ' | '\t' => commands.end_word(&mut self.heres),
            '\n' => {
                commands.end_command(&mut self.heres);
                self.begin_document();
            }
            ';' => {
                commands.end_command(&mut self.heres);
                let is_double = rest.starts_with(';');
                if is_double && let Some(case @ Case::Body) = commands.cases.last_mut() {
                    *case = Case::Pattern { is_first: true };
                }
                return usize::from(is_double);
            }
            '|' if commands.is_in_pattern() => commands.end_word(&mut self.heres),
            '&' | '|' => commands.end_command(&mut self.heres),
            '(' => return self.parenthesis(rest, place),
            ')' => self.close(),
            '<' | '>' => return self.redirect(c, rest, place, problems),
            _ => commands.word_char(c),
        }
        0
    }

    /// Reads `(` between commands.
    fn parenthesis(&mut self, rest: &str, place: Place) -> usize {
        let Some(commands) = self.frames.last_mut().and_then(commands_of) else {
            return 0;
        };
        if commands.is_in_pattern() {
            return 0;
        }
        // `name()` defines a function; a command follows.
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if rest[blanks..].starts_with(')') && (commands.word.is_some() || !commands.start) {
            commands.end_command(&mut self.heres);
            return blanks + 1;
        }
        commands.end_word(&mut self.heres);
        if rest.starts_with('(') {
            self.open(Kind::Arithmetic { depth: 0 }, place);
            return 1;
        }
        self.open(Kind::Commands(Commands::new(true, false)), place);
        0
    }

    /// Reads `)` between commands.
    fn close(&mut self) {
        let Some(commands) = self.frames.last_mut().and_then(commands_of) else {
            return;
        };
        if commands.is_in_pattern() {
            // The word may be `esac`, and no pattern.
            commands.end_word(&mut self.heres);
            if commands.is_in_pattern()
                && let Some(case) = commands.cases.last_mut()
            {
                *case = Case::Body;
                commands.start = true;
                return;
            }
        }
        commands.end_command(&mut self.heres);
        let (is_closed, is_word) = (commands.in_parentheses, commands.is_word);
        if is_closed {
            self.frames.pop();
            if !is_word && let Some(below) = self.frames.last_mut().and_then(commands_of) {
                below.start = false;
            }
        }
    }

    /// Reads `<` or `>`, with what belongs to the operator.
    fn redirect(
        &mut self,
        c: char,
        rest: &str,
        place: Place,
        problems: &mut Vec<Problem>,
    ) -> usize {
        let Some(commands) = self.frames.last_mut().and_then(commands_of) else {
            return 0;
        };
        match &commands.word {
            Some(word) if word.is_number_or_value() => {
                if word.text.contains(VALUE) {
                    problems.push(
                        Problem::new(place, 1, "a value stands directly before a redirection")
                            .help(
                                "put a space between them: the shell would take a value such as 2 \
                                 for the number of what is redirected",
                            ),
                    );
                }
                commands.word = None;
            }
            _ => commands.end_word(&mut self.heres),
        }
        let here = |strip| Redirect::Here {
            strip,
            opened: place,
        };
        let (redirect, taken) = match (c, rest.as_bytes()) {
            // `<<<` isn't POSIX; what follows is a word in any case.
            ('<', [b'<', b'<', ..]) => (Redirect::File, 2),
            ('<', [b'<', b'-', ..]) => (here(true), 2),
            ('<', [b'<', ..]) => (here(false), 1),
            ('<', [b'&' | b'>', ..]) | ('>', [b'>' | b'&' | b'|', ..]) => (Redirect::File, 1),
            _ => (Redirect::File, 0),
        };
        commands.redirect = Some(redirect);
        taken
    }
}

fn commands_of(frame: &mut Frame) -> Option<&mut Commands> {
    match &mut frame.kind {
        Kind::Commands(commands) => Some(commands),
        _ => None,
    }
}

/// Whether `${` opens one that cuts off a pattern, in which quotes quote in any case.
fn is_pattern(inside: &str) -> bool {
    let name = inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    name.len() < inside.len() && name.starts_with(['#', '%'])
}
