//! One command as far as it's read: which word is its name, and what the words before mean for the
//! next one.

use super::VALUE;
use crate::cluster_file::{Place, Problem};

/// Commands one after the other, with the one that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commands {
    /// Whether a `)` ends them.
    pub in_parentheses: bool,
    /// Whether they are `$(…)`, a part of a word.
    pub is_word: bool,
    /// Whether the next word is a command's name, an assignment before it, or a reserved word.
    pub start: bool,
    /// The command's words so far, without assignments and redirections.
    pub words: Vec<String>,
    /// The word that is being read.
    pub word: Option<Word>,
    /// What the next word is for, if it's no argument.
    pub redirect: Option<Redirect>,
    /// The `case`s that are open.
    pub cases: Vec<Case>,
    /// Whether the next word is the variable of a `for`.
    pub is_for_name: bool,
}

/// A word without its quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub is_quoted: bool,
}

/// What a redirection's word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redirect {
    File,
    /// The end of a here-document; with `<<-`, tabs before its lines are taken away.
    Here {
        strip: bool,
        opened: Place,
    },
}

/// How far a `case` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Subject,
    In,
    Pattern { is_first: bool },
    Body,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    /// The line that ends it.
    pub end: String,
    pub strip: bool,
    /// Where its `<<` is.
    pub opened: Place,
    /// Whether `$` and backticks mean something in it.
    pub expands: bool,
}

impl Word {
    /// Whether it could be the number before a redirection.
    pub fn is_number_or_value(&self) -> bool {
        let is_one = |c: char| c.is_ascii_digit() || c == VALUE;
        !self.text.is_empty() && self.text.chars().all(is_one)
    }

    /// Whether it sets a variable, as far as it's read.
    pub fn is_assignment(&self) -> bool {
        let Some((name, _)) = self.text.split_once('=') else {
            return false;
        };
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}

impl Commands {
    pub fn new(in_parentheses: bool, is_word: bool) -> Commands {
        Commands {
            in_parentheses,
            is_word,
            start: true,
            words: Vec::new(),
            word: None,
            redirect: None,
            cases: Vec::new(),
            is_for_name: false,
        }
    }

    pub fn is_in_pattern(&self) -> bool {
        matches!(self.cases.last(), Some(Case::Pattern { .. }))
    }

    pub fn word_char(&mut self, c: char) {
        self.word.get_or_insert_default().text.push(c);
    }

    pub fn quoted_char(&mut self, c: char) {
        self.word_char(c);
        self.quote();
    }

    /// Notes that a part of the word is quoted.
    pub fn quote(&mut self) {
        self.word.get_or_insert_default().is_quoted = true;
    }

    /// Ends the word, if there is one.
    pub fn end_word(&mut self, heres: &mut Vec<Here>) {
        let Some(word) = self.word.take() else { return };
        match self.redirect.take() {
            None => {}
            Some(Redirect::File) => return,
            Some(Redirect::Here { strip, opened }) => {
                heres.push(Here {
                    end: word.text,
                    strip,
                    opened,
                    expands: !word.is_quoted,
                });
                return;
            }
        }
        if std::mem::take(&mut self.is_for_name) || self.is_of_case(&word) {
            return;
        }
        if self.start {
            if self.is_reserved(&word) || word.is_assignment() {
                return;
            }
            self.start = false;
        }
        self.words.push(word.text);
    }

    /// Takes a word that stands between `case` and a `)`.
    fn is_of_case(&mut self, word: &Word) -> bool {
        let Some(case) = self.cases.last_mut() else {
            return false;
        };
        match case {
            Case::Subject => *case = Case::In,
            Case::In => *case = Case::Pattern { is_first: true },
            Case::Pattern { is_first: true } if word.text == "esac" && !word.is_quoted => {
                self.cases.pop();
                self.start = false;
            }
            Case::Pattern { is_first } => *is_first = false,
            Case::Body => return false,
        }
        true
    }

    /// Takes a reserved word in a command's place.
    fn is_reserved(&mut self, word: &Word) -> bool {
        if word.is_quoted {
            return false;
        }
        match word.text.as_str() {
            "if" | "then" | "else" | "elif" | "while" | "until" | "do" | "!" | "{" => {}
            "for" => {
                self.is_for_name = true;
                self.start = false;
            }
            "case" => {
                self.cases.push(Case::Subject);
                self.start = false;
            }
            "esac" => {
                self.cases.pop();
                self.start = false;
            }
            "fi" | "done" | "}" => self.start = false,
            _ => return false,
        }
        true
    }

    /// Ends the command: what follows is another.
    pub fn end_command(&mut self, heres: &mut Vec<Here>) {
        self.end_word(heres);
        self.words.clear();
        self.redirect = None;
        self.is_for_name = false;
        self.start = true;
    }
}

impl Here {
    /// Reads one character of its lines; returns whether it ended the document.
    pub fn read(
        &self,
        c: char,
        line: &mut String,
        open: &mut Vec<char>,
        place: Place,
        problems: &mut Vec<Problem>,
    ) -> bool {
        if c != '\n' {
            if self.expands {
                follow_brackets(c, line, open);
            }
            line.push(c);
            return false;
        }
        // In lines whose expansions count, a backslash at the end joins the next line.
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if self.expands && backslashes % 2 == 1 {
            line.push(c);
            return false;
        }
        let whole = std::mem::take(line);
        let bare = match self.strip {
            true => whole.trim_start_matches('\t'),
            false => &whole,
        };
        if bare != self.end {
            return false;
        }
        if !open.is_empty() {
            let start = Place::new(place.line, 1);
            let message = "a here-document ends while an expansion in it is open";
            problems.push(
                Problem::new(start, self.end.chars().count(), message)
                    .help("shells disagree about where it ends: close the expansion before"),
            );
        }
        true
    }
}

/// Keeps the brackets of `$(`, `${` and backticks that are open in a here-document.
fn follow_brackets(c: char, line: &str, open: &mut Vec<char>) {
    let before = line.chars().next_back();
    let escapes = line.len() - line.trim_end_matches('\\').len();
    if escapes % 2 == 1 {
        return;
    }
    let is_dollar = before == Some('$');
    match c {
        '(' if is_dollar || open.last() == Some(&')') => open.push(')'),
        '{' if is_dollar => open.push('}'),
        '`' if open.last() == Some(&'`') => drop(open.pop()),
        '`' => open.push('`'),
        _ if open.last() == Some(&c) => drop(open.pop()),
        _ => {}
    }
}
