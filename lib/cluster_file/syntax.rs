//! What is wrong with a text before it is YAML, and what a parser's complaint means.

use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter};

use super::tree::place_of;
use super::{Place, Problem, lookalike};

/// The longest file that is read; a cluster of a thousand hosts needs some 50 kB.
const MAX_BYTES: usize = 1024 * 1024;

/// Makes text of a file's bytes; a byte order mark is taken off.
///
/// # Errors
/// The place of the first byte that isn't UTF-8.
pub fn decode(bytes: &[u8]) -> Result<String, Problem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| {
        let before = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
        Problem::new(
            place_after(&before),
            1,
            "the file isn't UTF-8 text from here on",
        )
        .help(match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it's UTF-16: save it as UTF-8",
            _ => "save it as UTF-8",
        })
    })
}

/// Reports what makes a text unreadable whatever YAML says to it.
pub(super) fn check_text(text: &str) -> Option<Problem> {
    let start = Place::new(1, 1);
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; {MAX_BYTES} are taken", text.len());
        return Some(Problem::new(start, 1, message));
    }
    if is_without_content(text) {
        return Some(
            Problem::new(start, 1, "the file is empty")
                .help("it needs `components` and `server`; docs/cluster-file.md has an example"),
        );
    }
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    if let Some(at) = text.find(control) {
        let name = match text[at..].chars().next() {
            Some('\0') => "a NUL character".to_owned(),
            c => format!("the control character {:?}", c.unwrap_or_default()),
        };
        let message = format!("{name} stands in the file");
        return Some(Problem::new(place_after(&text[..at]), 1, message).help("delete it"));
    }
    None
}

/// Whether a text has nothing but comments.
pub(super) fn is_without_content(text: &str) -> bool {
    let comment = |line: &str| line.is_empty() || line.starts_with(['#', '%']) || line == "---";
    text.lines().all(|line| comment(line.trim()))
}

/// Turns what serde-saphyr says into a problem.
pub(super) fn from_yaml(text: &str, error: &Error) -> Problem {
    let error = error.without_snippet();
    let place = error.location().map_or(Place::new(1, 1), place_of);
    if let Error::MultipleDocuments { .. } = error {
        let second = document_start(text).unwrap_or(place);
        return Problem::new(second, 3, "the file has more than one YAML document")
            .help("one file describes one cluster: take away the second `---` and what follows");
    }
    let line = |number: u32| text.lines().nth(number as usize - 1).unwrap_or_default();
    // The parser stumbles where the text stops making sense; the slip may be a line above.
    let near = place.line.saturating_sub(1).max(1)..=place.line;
    for number in near {
        let indentation = line(number).len() - line(number).trim_start().len();
        if let Some(tab) = line(number)[..indentation].find('\t') {
            let column = u32::try_from(tab).unwrap_or(u32::MAX).saturating_add(1);
            return Problem::new(Place::new(number, column), 1, "a tab indents this line")
                .help("YAML takes only spaces for that");
        }
        if let Some(problem) = lookalike::on_lines(text, &[number]).into_iter().next() {
            return problem;
        }
        if let Some(key) = missing_space(line(number)) {
            let column = line(number).chars().take_while(|c| *c != ':').count();
            let column = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1);
            return Problem::new(Place::new(number, column), 1, "no space after the colon")
                .help(format!("write `{key}: …`"));
        }
    }
    let (said, help) = explain(error);
    Problem::new(place, 1, said).maybe_help(help.map(str::to_owned))
}

/// Says in plain words what the parser means, where its own words are about YAML's insides.
fn explain(error: &Error) -> (String, Option<&'static str>) {
    let too_much = "the file is larger or deeper nested than a cluster file can be";
    match error {
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => return (too_much.into(), None),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            return ("an anchor contains itself".into(), None);
        }
        _ => {}
    }
    let said = DefaultMessageFormatter.format_message(error);
    let said = said.trim_end_matches('.').to_owned();
    let help = if said.contains("did not find expected") {
        Some("do the entries of this list or mapping begin in the same column?")
    } else if said.contains("':'") || said.contains("mapping values are not allowed") {
        Some("is a bracket or a quote open above, or does a text with `: ` in it need quotes?")
    } else if said.contains("quoted scalar") {
        Some("is a quote open above?")
    } else {
        None
    };
    (said, help)
}

/// Finds `key:value` without a space, which YAML takes for one text.
pub(super) fn missing_space(line: &str) -> Option<&str> {
    let (key, value) = line.trim_start().split_once(':')?;
    let key = key.trim_start_matches("- ");
    let named = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let joined = value.starts_with(|c: char| !c.is_whitespace() && c != ':' && c != '/');
    (named && joined).then_some(key)
}

/// The place of the second `---` (or the first one after content).
fn document_start(text: &str) -> Option<Place> {
    let mut content = false;
    for (number, line) in (1..).zip(text.lines()) {
        if content && (line == "---" || line.starts_with("--- ")) {
            return Some(Place::new(number, 1));
        }
        content |= !line.trim().is_empty() && !line.starts_with(['#', '%']);
    }
    None
}

fn place_after(before: &str) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default();
    Place::new(number(line), number(column.chars().count()))
}
