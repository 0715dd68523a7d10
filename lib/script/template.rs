//! A template as a tree: text, values, and the blocks that choose and repeat. It is the language that
//! both engines share, and nothing else of either.

use crate::cluster_file::{Place, Problem};

/// What the language has, for messages.
pub(super) const LANGUAGE: &str = "the language is `{{ name }}`, `{% if name %}…{% else %}…{% endif %}` and \
                        `{% for item in list %}…{% endfor %}`";

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that stays as it is, from its first character's place.
    Text { text: String, place: Place },
    /// `{{ name }}` or `{{ name.member }}`.
    Value(Name),
    /// `{% if %}`, with its branches; `end` is the place behind `{% endif %}`.
    If {
        condition: Name,
        then: Vec<Piece>,
        otherwise: Vec<Piece>,
        end: Place,
    },
    /// `{% for item in list %}`; `end` is the place behind `{% endfor %}`.
    For {
        item: String,
        list: Name,
        body: Vec<Piece>,
        end: Place,
    },
}

/// A name with the mark that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The value's name, without its member.
    pub name: String,
    /// `name` or `name.member`, as it is written.
    pub written: String,
    /// Where the mark begins.
    pub place: Place,
    /// How many characters the mark has.
    pub len: usize,
}

/// Reads a template; what isn't in the language is left out of the tree and told, all at once.
pub(super) fn parse(text: &str) -> (Vec<Piece>, Vec<Problem>) {
    let mut parser = Parser {
        problems: Vec::new(),
        open: vec![Open::default()],
    };
    let mut rest = text;
    let mut place = Place::new(1, 1);
    while let Some(start) = find_mark(rest) {
        let (before, mark) = rest.split_at(start);
        parser.text(before, place);
        place = after(place, before);
        let (mark, behind) = mark.split_at(mark_len(mark));
        parser.mark(mark, place, after(place, mark));
        place = after(place, mark);
        rest = behind;
    }
    parser.text(rest, place);
    parser.finish()
}

/// The place behind a text that begins at a place.
pub(super) fn after(place: Place, text: &str) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    match text.rsplit_once('\n') {
        None => Place::new(
            place.line,
            place.column.saturating_add(number(text.chars().count())),
        ),
        Some((lines, last)) => Place::new(
            place
                .line
                .saturating_add(number(lines.matches('\n').count() + 1)),
            number(last.chars().count()).saturating_add(1),
        ),
    }
}

fn find_mark(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(1))
        .find(|at| bytes[*at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
}

/// How long the mark at the start of a text is; one that isn't closed on its line is two bytes.
fn mark_len(text: &str) -> usize {
    let end = match &text[..2] {
        "{{" => "}}",
        "{%" => "%}",
        _ => "#}",
    };
    let line = text.lines().next().unwrap_or_default();
    line[2..].find(end).map_or(2, |at| 2 + at + end.len())
}

/// A block that is open.
#[derive(Default)]
struct Open {
    /// What began it; nothing for the template itself.
    begin: Option<Begin>,
    /// Where its mark is, and how long.
    mark: (Option<Place>, usize),
    /// The branch before `{% else %}`, once that came.
    first: Option<Vec<Piece>>,
    pieces: Vec<Piece>,
}

enum Begin {
    If(Name),
    For(String, Name),
}

struct Parser {
    problems: Vec<Problem>,
    open: Vec<Open>,
}

impl Parser {
    fn push(&mut self, piece: Piece) {
        if let Some(open) = self.open.last_mut() {
            open.pieces.push(piece);
        }
    }

    fn text(&mut self, text: &str, place: Place) {
        if !text.is_empty() {
            let text = text.to_owned();
            self.push(Piece::Text { text, place });
        }
    }

    fn problem(&mut self, place: Place, mark: &str, message: String) {
        let problem = Problem::new(place, mark.chars().count(), message);
        self.problems.push(problem.help(LANGUAGE));
    }

    fn mark(&mut self, mark: &str, place: Place, end: Place) {
        if mark.len() == 2 {
            let message = format!("`{mark}` begins something that its line doesn't end");
            let mut problem = Problem::new(place, 2, message);
            problem.help = Some(match mark {
                "{#" => "both template engines take it for a comment; in `${#name}` the shell \
                         means a length, which `expr \"x$name\" : '.*'` can count (one too many)"
                    .to_owned(),
                _ => LANGUAGE.to_owned(),
            });
            self.problems.push(problem);
            return;
        }
        let inside = &mark[2..mark.len() - 2];
        if mark.starts_with("{#") {
            let message = "a template's comments aren't in both engines' language".to_owned();
            return self.problem(place, mark, message);
        }
        if inside.starts_with(['-', '+']) || inside.ends_with(['-', '+']) {
            let message = format!("`{mark}` cuts off white space, which can join two words");
            self.problem(place, mark, message);
        }
        let inside = inside.trim_matches(['-', '+']);
        let len = mark.chars().count();
        let name = |text: &str| name_of(text, place, len);
        let words: Vec<&str> = inside.split_ascii_whitespace().collect();
        match (mark.starts_with("{{"), &words[..]) {
            (true, [word]) if is_no_constant(word) => match name(word) {
                Some(name) => self.push(Piece::Value(name)),
                None => self.unknown(mark, place),
            },
            (false, ["if", condition]) => match name(condition) {
                Some(condition) => self.begin(Begin::If(condition), place, len),
                None => self.unknown(mark, place),
            },
            (false, ["for", item, "in", list]) => match name(list) {
                Some(list) if is_name(item) => {
                    self.begin(Begin::For((*item).to_owned(), list), place, len);
                }
                _ => self.unknown(mark, place),
            },
            (false, ["else"]) => self.otherwise(mark, place),
            (false, ["endif"]) => self.end(true, mark, place, end),
            (false, ["endfor"]) => self.end(false, mark, place, end),
            _ => self.unknown(mark, place),
        }
    }

    fn unknown(&mut self, mark: &str, place: Place) {
        let message = match mark.contains('|') && mark.starts_with("{{") {
            true => format!("`{mark}` has a filter, and a template has none"),
            false => format!("`{mark}` isn't in a template's language"),
        };
        self.problem(place, mark, message);
        // What stands inside is read all the same.
        let inside = mark[2..mark.len() - 2].trim_start();
        if mark.starts_with("{%") && (inside.starts_with("if ") || inside.starts_with("for ")) {
            let nothing = Name {
                name: String::new(),
                written: String::new(),
                place,
                len: 1,
            };
            let begin = match inside.starts_with("if ") {
                true => Begin::If(nothing),
                false => Begin::For(String::new(), nothing),
            };
            self.begin(begin, place, mark.chars().count());
        }
    }

    fn begin(&mut self, begin: Begin, place: Place, len: usize) {
        self.open.push(Open {
            begin: Some(begin),
            mark: (Some(place), len),
            ..Open::default()
        });
    }

    fn otherwise(&mut self, mark: &str, place: Place) {
        match self.open.last_mut() {
            Some(Open {
                begin: Some(Begin::If(_)),
                first: first @ None,
                pieces,
                ..
            }) => *first = Some(std::mem::take(pieces)),
            _ => self.problem(place, mark, "there is no `{% if %}` for this".to_owned()),
        }
    }

    fn end(&mut self, is_if: bool, mark: &str, place: Place, end: Place) {
        let fits = match self.open.last().and_then(|open| open.begin.as_ref()) {
            Some(Begin::If(_)) => is_if,
            Some(Begin::For(..)) => !is_if,
            None => false,
        };
        if !fits {
            let word = if is_if { "if" } else { "for" };
            let message = format!("there is no open `{{% {word} %}}` that this could end");
            return self.problem(place, mark, message);
        }
        let Some(open) = self.open.pop() else { return };
        let piece = match open.begin {
            Some(Begin::If(condition)) => {
                let (then, otherwise) = match open.first {
                    Some(then) => (then, open.pieces),
                    None => (open.pieces, Vec::new()),
                };
                Piece::If {
                    condition,
                    then,
                    otherwise,
                    end,
                }
            }
            Some(Begin::For(item, list)) => Piece::For {
                item,
                list,
                body: open.pieces,
                end,
            },
            None => return,
        };
        self.push(piece);
    }

    fn finish(mut self) -> (Vec<Piece>, Vec<Problem>) {
        while self.open.len() > 1 {
            let Some(open) = self.open.pop() else { break };
            if let (Some(place), len) = open.mark {
                let word = match open.begin {
                    Some(Begin::If(_)) => "if",
                    _ => "for",
                };
                let message = format!("this block has no `{{% end{word} %}}`");
                self.problems.push(Problem::new(place, len, message));
            }
            // For the names inside; the block itself is told.
            self.open
                .last_mut()
                .expect("the template itself is never closed")
                .pieces
                .extend(
                    open.first
                        .unwrap_or_default()
                        .into_iter()
                        .chain(open.pieces),
                );
        }
        (self.open.remove(0).pieces, self.problems)
    }
}

fn name_of(text: &str, place: Place, len: usize) -> Option<Name> {
    let (name, member) = match text.split_once('.') {
        Some((name, member)) => (name, Some(member)),
        None => (text, None),
    };
    (is_name(name) && member.is_none_or(is_name)).then(|| Name {
        name: name.to_owned(),
        written: text.to_owned(),
        place,
        len,
    })
}

/// Tells whether both engines take a word for a name, and not for a constant.
fn is_no_constant(word: &str) -> bool {
    !["true", "false", "none", "True", "False", "None"].contains(&word)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(u32, u32, String)> {
        let (_, problems) = parse(text);
        problems
            .into_iter()
            .map(|p| (p.place.line, p.place.column, p.message))
            .collect()
    }

    #[test]
    fn blocks_nest_and_keep_places() {
        let (pieces, problems) =
            parse("a\n{% for x in xs %}é{% if x.y %}{{ x.z }}{% else %}-{% endif %}{% endfor %}");
        assert_eq!(problems, []);
        let [_, Piece::For { item, body, .. }] = &pieces[..] else {
            panic!("{pieces:?}")
        };
        assert_eq!(item, "x");
        let [
            _,
            Piece::If {
                then, otherwise, ..
            },
        ] = &body[..]
        else {
            panic!("{body:?}")
        };
        let [Piece::Value(value)] = &then[..] else {
            panic!("{then:?}")
        };
        assert_eq!((value.name.as_str(), value.written.as_str()), ("x", "x.z"));
        assert_eq!(value.place, Place::new(2, 31));
        assert_eq!(otherwise.len(), 1);
    }

    #[test]
    fn everything_that_is_not_in_the_language_is_told_at_its_place() {
        for (text, column) in [
            ("x {{ x|safe }}", 3),
            ("{{ x", 1),
            ("{{ x | upper }}", 1),
            ("{{ 'x' }}", 1),
            ("{{ true }}", 1),
            ("{{ x[0] }}", 1),
            ("{{- x }}", 1),
            ("{%- if x %}{% endif %}", 1),
            ("{# x #}", 1),
            ("echo ${#x}", 7),
            ("{% include \"x\" %}", 1),
            ("{% if not x %}{% endif %}", 1),
            ("{% if x %}", 1),
            ("{% endfor %}", 1),
            ("{% else %}", 1),
            ("{% if x %}{% endfor %}{% endif %}", 11),
            ("{% for x in y %}{% else %}{% endfor %}", 17),
        ] {
            let told = told(text);
            assert_eq!(told.len(), 1, "{text}: {told:?}");
            assert_eq!(told[0].1, column, "{text}: {told:?}");
        }
        assert_eq!(told("{{x}} {{ x.y }}"), []);
    }
}
