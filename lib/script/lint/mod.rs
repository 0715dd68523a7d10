//! The law of every template: a value stands only as an unquoted word of a command, so that quoting
//! it is enough, and no value can become code.
//!
//! One piece of code holds it for the built-in jobs (in the tests) and for a site's jobs (when they
//! are loaded). Every way through a template's blocks is read.

mod code;
mod command;
mod shell;

use shell::{After, Frame, Kind, Shell};

use super::template::{self, Name, Piece};
use crate::cluster_file::{Place, Problem, nearest, sort_problems};

/// Stands for a value in a word; no shell gives it a meaning.
const VALUE: char = '\u{1}';

/// More ways than this through one command's blocks aren't followed.
const MAX_WAYS: usize = 64;

/// The values that a template may name.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// All of them.
    pub known: &'a [&'a str],
    /// What to do about another one, such as where names are declared.
    pub help: &'a str,
}

/// Reports every place where a template's value could become something else than one word, and
/// everything that isn't in the language that both engines share; with `names`, also each value
/// that isn't among them.
pub fn check_template(text: &str, names: Option<Names<'_>>) -> Vec<Problem> {
    let (pieces, mut problems) = template::parse(text);
    if let Some(names) = names {
        let mut items = Vec::new();
        check_names(&pieces, &names, &mut items, &mut problems);
    }
    // What isn't in the language hides the shell around it.
    if problems
        .iter()
        .all(|problem| problem.help.as_deref() != Some(template::LANGUAGE))
    {
        let mut walk = Walk { problems };
        let ways = walk.pieces(&pieces, vec![Shell::new()]);
        walk.finish(ways, template::after(Place::new(1, 1), text));
        problems = walk.problems;
    }
    sort_problems(&mut problems);
    problems.dedup_by(|a, b| a.place == b.place && a.message == b.message);
    problems
}

/// Reports the names that aren't declared; `items` are those of the loops around.
fn check_names<'a>(
    pieces: &'a [Piece],
    names: &Names<'_>,
    items: &mut Vec<&'a str>,
    problems: &mut Vec<Problem>,
) {
    let check = |name: &Name, items: &[&str], problems: &mut Vec<Problem>| {
        let is_known = names.known.contains(&name.name.as_str())
            || items.contains(&name.name.as_str())
            || (name.name == "loop" && !items.is_empty())
            || name.name.is_empty();
        if !is_known {
            let near = nearest(&name.name, names.known.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => names.help.to_owned(),
            };
            let message = format!("there is no value `{}`", name.name);
            problems.push(Problem::new(name.place, name.len, message).help(help));
        }
    };
    for piece in pieces {
        match piece {
            Piece::Text { .. } => {}
            Piece::Value(name) => check(name, items, problems),
            Piece::If {
                condition,
                then,
                otherwise,
                ..
            } => {
                check(condition, items, problems);
                check_names(then, names, items, problems);
                check_names(otherwise, names, items, problems);
            }
            Piece::For {
                item, list, body, ..
            } => {
                check(list, items, problems);
                items.push(item);
                check_names(body, names, items, problems);
                items.pop();
            }
        }
    }
}

/// Goes through a template with every state that the shell may be in.
struct Walk {
    problems: Vec<Problem>,
}

impl Walk {
    fn pieces(&mut self, pieces: &[Piece], mut ways: Vec<Shell>) -> Vec<Shell> {
        for piece in pieces {
            ways = self.piece(piece, ways);
        }
        ways
    }

    fn piece(&mut self, piece: &Piece, mut ways: Vec<Shell>) -> Vec<Shell> {
        match piece {
            Piece::Text { text, place } => {
                for way in &mut ways {
                    way.read(text, *place, &mut self.problems);
                }
                distinct(ways)
            }
            Piece::Value(name) => {
                for way in &mut ways {
                    self.problems.extend(misuse(way, name));
                    way.glue = None;
                    way.after = After::Nothing;
                    if let Some(Frame {
                        kind: Kind::Commands(commands),
                        ..
                    }) = way.frames.last_mut()
                    {
                        commands.quoted_char(VALUE);
                    }
                }
                distinct(ways)
            }
            Piece::If {
                condition,
                then,
                otherwise,
                end,
            } => {
                self.seam(&ways, condition.place, condition.len);
                let mut both = Vec::new();
                for branch in [then, otherwise] {
                    let after = self.pieces(branch, ways.clone());
                    self.stays(&ways, &after, condition);
                    both.extend(after);
                }
                self.joined(distinct(both), *end, condition)
            }
            Piece::For {
                list, body, end, ..
            } => {
                self.seam(&ways, list.place, list.len);
                // Not at all, once, and again after itself.
                let once = self.pieces(body, ways.clone());
                self.stays(&ways, &once, list);
                let twice = self.pieces(body, once.clone());
                self.joined(distinct([ways, once, twice].concat()), *end, list)
            }
        }
    }

    /// A block must not begin or end inside of a sign such as `$(`.
    fn seam(&mut self, ways: &[Shell], place: Place, len: usize) {
        if let Some(glue) = ways.iter().find_map(|way| way.glue) {
            let message = format!("a block's mark stands directly behind `{glue}`");
            let help = "what stands behind it could make another sign of it: put a line or a space \
                        between them";
            self.problems
                .push(Problem::new(place, len, message).help(help));
        }
    }

    fn joined(&mut self, mut ways: Vec<Shell>, end: Place, block: &Name) -> Vec<Shell> {
        // The mark that ends a block is drawn by its last character.
        let last = Place::new(end.line, end.column.saturating_sub(1));
        self.seam(&ways, last, 1);
        if ways.len() > MAX_WAYS {
            let message = "one command has too many blocks: not every way through can be looked at";
            let problem = Problem::new(block.place, block.len, message);
            self.problems
                .push(problem.help("put the parts into variables first, each on its line"));
            ways.truncate(1);
        }
        ways
    }

    /// A block leaves the shell in the context in which it found it.
    fn stays(&mut self, before: &[Shell], after: &[Shell], block: &Name) {
        let context = |way: &Shell| {
            let frames: Vec<_> = way.frames.iter().map(Frame::context).collect();
            (frames, way.heres.clone())
        };
        let contexts: Vec<_> = before.iter().map(context).collect();
        let Some(other) = after.iter().find(|way| !contexts.contains(&context(way))) else {
            return;
        };
        let message = "this block doesn't end in the context in which it begins";
        let mut problem = Problem::new(block.place, block.len, message)
            .help("begin and end quotes, brackets, `case` and here-documents in the same branch");
        let top = other.frames.last().filter(|_| other.frames.len() > 1);
        if let Some(frame) = top.filter(|frame| frame.opened > block.place) {
            problem = problem.also(frame.opened, format!("{} here", frame.kind.opening()));
        }
        self.problems.push(problem);
    }

    /// At its end, a template has closed what it opened.
    fn finish(&mut self, mut ways: Vec<Shell>, end: Place) {
        for way in &mut ways {
            way.read("\n", end, &mut self.problems);
            if let Some(here) = way.heres.first() {
                let message = format!("the here-document has no line `{}` that ends it", here.end);
                self.problems.push(Problem::new(end, 1, message));
            }
            for frame in &way.frames[1..] {
                let message = match &frame.kind {
                    Kind::Document { here, .. } => {
                        let end = here.end.as_str();
                        format!("the here-document that begins here has no line `{end}`")
                    }
                    kind => format!("{} here and never closed", kind.opening()),
                };
                self.problems.push(Problem::new(frame.opened, 1, message));
            }
        }
    }
}

fn distinct(ways: Vec<Shell>) -> Vec<Shell> {
    let mut kept: Vec<Shell> = Vec::new();
    for way in ways {
        if !kept.contains(&way) {
            kept.push(way);
        }
    }
    kept
}

/// Says why a value can't stand where it does, if it can't.
fn misuse(shell: &Shell, name: &Name) -> Option<Problem> {
    let written = &name.written;
    let problem = |what: &str| {
        let message = format!("the value `{written}` stands {what}");
        Problem::new(name.place, name.len, message)
    };
    let own = name.written.rsplit('.').next().unwrap_or_default();
    let first = format!(
        "it is quoted by itself: write `{own}={{{{ {written} }}}}` on a line of its own, and then \
         \"${own}\""
    );
    let inner = shell.frames[1..].iter().rev();
    let inner = inner.filter_map(|frame| frame.kind.refuses().map(|what| (frame, what)));
    if let Some((frame, what)) = inner.last() {
        return Some(
            problem(&format!("{what}, where it could become code"))
                .help(first)
                .also(frame.opened, format!("{} here", frame.kind.opening())),
        );
    }
    match shell.after {
        After::Backslash => {
            return Some(problem("behind a backslash, which takes its quotes away").help(first));
        }
        After::Dollar => {
            return Some(problem("behind a `$`, which gives it another meaning").help(first));
        }
        After::Nothing => {}
    }
    let Some(Kind::Commands(commands)) = shell.frames.last().map(|frame| &frame.kind) else {
        return None;
    };
    if let Some((what, help)) = code::misuse(commands) {
        let help = help.map_or(first, str::to_owned);
        return Some(problem(what).help(help));
    }
    None
}

impl Frame {
    /// What has to be alike where a block begins and where it ends.
    fn context(&self) -> (String, usize) {
        match &self.kind {
            Kind::Commands(commands) => ("commands".to_owned(), commands.cases.len()),
            Kind::Document { here, .. } => (format!("document {}", here.end), 0),
            Kind::Arithmetic { depth } => ("arithmetic".to_owned(), *depth as usize),
            kind => (kind.opening().to_owned(), 0),
        }
    }
}

impl Kind {
    /// Where a value would stand, if it may not stand there.
    fn refuses(&self) -> Option<&'static str> {
        match self {
            Kind::Commands(_) => None,
            Kind::Single => Some("inside single quotes"),
            Kind::Double => Some("inside double quotes"),
            Kind::Backtick => Some("inside backticks"),
            Kind::Parameter { .. } => Some("inside `${…}`"),
            Kind::Arithmetic { .. } => Some("in arithmetic"),
            Kind::Comment => Some("in a comment"),
            Kind::Document { .. } => Some("in a here-document"),
        }
    }

    fn opening(&self) -> &'static str {
        match self {
            Kind::Commands(_) => "a parenthesis is opened",
            Kind::Single | Kind::Double => "the quotes are opened",
            Kind::Backtick => "the backticks are opened",
            Kind::Parameter { .. } => "`${` is opened",
            Kind::Arithmetic { .. } => "the arithmetic begins",
            Kind::Comment => "the comment begins",
            Kind::Document { .. } => "the here-document begins",
        }
    }
}
