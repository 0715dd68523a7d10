//! Places in a command where a word is more than an argument: a command's name, a pattern, or a
//! program in another language.

use super::command::{Case, Commands, Redirect};

/// Programs that take code behind one of their options: the option's last letter, or its long form.
const INTERPRETERS: [(&str, char, &str); 19] = [
    ("sh", 'c', ""),
    ("bash", 'c', ""),
    ("dash", 'c', ""),
    ("ash", 'c', ""),
    ("ksh", 'c', ""),
    ("zsh", 'c', ""),
    ("su", 'c', "--command"),
    ("runuser", 'c', "--command"),
    ("script", 'c', "--command"),
    ("python", 'c', ""),
    ("python3", 'c', ""),
    ("perl", 'e', ""),
    ("ruby", 'e', ""),
    ("node", 'e', "--eval"),
    ("php", 'r', "--run"),
    ("lua", 'e', ""),
    ("psql", 'c', "--command"),
    ("mysql", 'e', "--execute"),
    ("mariadb", 'e', "--execute"),
];

/// Commands that run their first word, or the file that it names.
const RUNNERS: [&str; 10] = [
    ".",
    "source",
    "exec",
    "command",
    "builtin",
    "nohup",
    "setsid",
    "env",
    "as_user",
    "pipe_as_user",
];

/// Programs whose first operand is a program in their own language, with the options that bring one
/// instead and those that take a word.
const LANGUAGES: [(&str, &[&str], &[&str]); 5] = [
    ("sed", &["-e", "--expression", "-f", "--file"], &["-l"]),
    ("awk", &["-f"], &["-v", "-F"]),
    ("gawk", &["-f", "-e"], &["-v", "-F"]),
    ("mawk", &["-f"], &["-v", "-F"]),
    ("jq", &["-f", "--from-file"], &["--indent"]),
];

/// Options of ssh that take a word.
const SSH_OPTIONS: &str = "bcDEeFIiJLlmOopQRSWw";

type Misuse = (&'static str, Option<&'static str>);

/// Says why a value can't be the next part of a command, if it can't, and what to do instead where
/// that isn't the usual.
pub(super) fn misuse(commands: &Commands) -> Option<Misuse> {
    let before = commands.word.as_ref();
    match commands.redirect {
        Some(Redirect::File) => return None,
        Some(Redirect::Here { .. }) => {
            return Some((
                "as the end of a here-document",
                Some("choose a word that stays the same"),
            ));
        }
        None => {}
    }
    if commands.is_for_name {
        return Some(("as the name of a variable", None));
    }
    match commands.cases.last() {
        Some(Case::Pattern { .. }) => return Some(("in a pattern of `case`", None)),
        Some(Case::Subject | Case::In) => return None,
        Some(Case::Body) | None => {}
    }
    if commands.start {
        return match before {
            Some(word) if word.is_assignment() => None,
            _ => Some((
                "as a command",
                Some("a value may be an argument; which command runs is the template's to say"),
            )),
        };
    }
    let prefix = before.map_or("", |word| word.text.as_str());
    of_arguments(&commands.words, prefix)
}

/// Looks at the words before, with the beginning of the value's own word.
fn of_arguments(words: &[String], prefix: &str) -> Option<Misuse> {
    let as_code = Some((
        "where a program is expected, and would be code",
        Some("give it to that program as an argument: sh -c 'echo \"$1\"' sh {{ value }}"),
    ));
    let name = base(words.first()?);
    if name == "eval" {
        return Some(("behind `eval`, which makes code of it", None));
    }
    if matches!(name, "trap" | "alias") && words.len() == 1 {
        return as_code;
    }
    if RUNNERS.contains(&name) && words.len() == 1 && !prefix.contains('=') {
        return Some((
            "where a command is expected",
            Some("a value may be an argument; which command runs is the template's to say"),
        ));
    }
    for (at, word) in words.iter().enumerate() {
        let name = base(word);
        let arguments = &words[at + 1..];
        let is_code = INTERPRETERS.iter().any(|(known, letter, long)| {
            *known == name && is_option(arguments, prefix, *letter, long)
        });
        if is_code {
            return as_code;
        }
        let language = LANGUAGES.iter().find(|(known, ..)| *known == name);
        if let Some((_, programs, others)) = language
            && is_program(arguments, prefix, programs, others)
        {
            return Some((
                "in a program of sed, awk or jq, where it could become code",
                Some(
                    "hand it over as data: `awk -v name=\"$name\"`, or the functions set_setting, \
                     set_text and set_assignment",
                ),
            ));
        }
        if name == "ssh" && has_operand(arguments) {
            return Some((
                "behind `ssh`, whose other side reads it as code",
                Some("send it on standard input"),
            ));
        }
    }
    None
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Whether the word before, or the word's own beginning, is the option for code.
fn is_option(arguments: &[String], prefix: &str, letter: char, long: &str) -> bool {
    let is_short =
        |word: &str| word.starts_with('-') && !word.starts_with("--") && word.ends_with(letter);
    let is_long = |word: &str| !long.is_empty() && word == long;
    let own = prefix.strip_suffix('=').is_some_and(is_long);
    let before = arguments.last().map_or("", String::as_str);
    own || is_short(prefix) || is_short(before) || is_long(before)
}

/// Whether the next word is a program: behind an option for one, or the first operand.
fn is_program(arguments: &[String], prefix: &str, programs: &[&str], others: &[&str]) -> bool {
    let is_joined = |option: &&str| !prefix.is_empty() && prefix.starts_with(*option);
    if programs.iter().any(is_joined) {
        return true;
    }
    let (mut has_program, mut skip) = (false, false);
    for word in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        let option = programs.iter().find(|option| word.starts_with(**option));
        if let Some(option) = option {
            if word == option {
                skip = true;
            }
            has_program = true;
        } else if others.contains(&word.as_str()) {
            skip = true;
        } else if !word.starts_with('-') || word == "-" {
            has_program = true;
        }
    }
    match arguments.last() {
        // The value is the word of the option before.
        Some(last) if skip => programs.contains(&last.as_str()),
        _ => !has_program && !prefix.starts_with('-'),
    }
}

/// Whether ssh's host was already named.
fn has_operand(arguments: &[String]) -> bool {
    let mut skip = false;
    for word in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() => {
                let last = letters.chars().last().unwrap_or_default();
                skip = SSH_OPTIONS.contains(last) && letters.chars().count() == 1;
            }
            _ => return true,
        }
    }
    false
}
