//! The law of every template: a value stands only as an unquoted shell word that is an argument or
//! is assigned, so that quoting it is enough; and the language is what both engines share.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::root;
use regex::Regex;

/// Stands for a value in what the lint reads; no shell gives it a meaning.
const VALUE: char = '\u{1}';

/// What is wrong with how a template uses its values, if anything.
fn misuse(template: &str) -> Option<String> {
    misuse_of_language(template).or_else(|| {
        let tag = Regex::new(r"\{%.*?%\}").unwrap();
        let value = Regex::new(r"\{\{.*?\}\}").unwrap();
        let shell = value.replace_all(template, "\u{1}");
        misuse_of_shell(&tag.replace_all(&shell, ""))
    })
}

/// Only `{{ name }}`, `if`, `else`, `for`: both engines write the same bytes for these.
fn misuse_of_language(template: &str) -> Option<String> {
    let mark = Regex::new(r"(?s)\{\{.*?\}\}|\{%.*?%\}|\{[{%#]").unwrap();
    let known = Regex::new(
        r"^(\{\{ [a-z_0-9]+(\.[a-z_]+)? \}\}|\{% (if [a-z_]+|else|endif|for [a-z_]+ in [a-z_]+|endfor) %\})$",
    )
    .unwrap();
    let bad = mark
        .find_iter(template)
        .find(|m| !known.is_match(m.as_str()))?;
    Some(format!("{} isn't in both engines' language", bad.as_str()))
}

/// Reads the shell as far as quoting goes.
fn misuse_of_shell(shell: &str) -> Option<String> {
    let here = Regex::new(r#"<<-?\s*['"\\]?([A-Za-z_0-9]+)"#).unwrap();
    let forbidden = [
        ("\\$\\(\\(([^)]|\\)[^)])*\u{1}", "in arithmetic"),
        ("(^|[;&|(`])\\s*\u{1}", "as a command"),
        ("\\b(eval|sh -c)\\s+\u{1}", "as code"),
    ]
    .map(|(pattern, what)| (Regex::new(pattern).unwrap(), what));
    let (mut quote, mut heredoc): (Option<char>, Option<String>) = (None, None);
    let mut goes_on = false;
    for (number, line) in shell.lines().enumerate() {
        let at = |what: &str| Some(format!("line {}: a value {what}", number + 1));
        if let Some(end) = &heredoc {
            if line.contains(VALUE) {
                return at("in a here-document");
            }
            if line.trim_start() == end {
                heredoc = None;
            }
            continue;
        }
        // The line before ended with a backslash: this is the middle of a command.
        let command = if goes_on {
            format!("f {line}")
        } else {
            line.to_owned()
        };
        goes_on = line.ends_with('\\');
        let (mut escaped, mut before) = (false, ' ');
        for (position, c) in line.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quote != Some('\'') => escaped = true,
                VALUE if quote.is_some() => return at("inside quotes"),
                '#' if quote.is_none() && (before.is_whitespace() || ";&|()".contains(before)) => {
                    if line[position..].contains(VALUE) {
                        return at("in a comment");
                    }
                    break;
                }
                '\'' | '"' | '`' if quote == Some(c) => quote = None,
                '\'' | '"' | '`' if quote.is_none() => quote = Some(c),
                _ => {}
            }
            before = c;
        }
        if quote.is_none()
            && let Some(found) = here.captures(line)
        {
            heredoc = Some(found[1].to_owned());
        }
        if let Some((_, what)) = forbidden.iter().find(|(bad, _)| bad.is_match(&command)) {
            return at(what);
        }
    }
    None
}

fn templates(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(templates(&path));
        } else if path.extension().is_some_and(|e| e == "sh") {
            found.push(path);
        }
    }
    found
}

#[test]
fn in_every_template_a_value_is_an_unquoted_word() {
    let mut all = templates(&root().join("cluster_jobs"));
    all.extend(
        [
            "deploy/init.sh",
            "deploy/installed.sh",
            "deploy/packages.sh",
            "deploy/probe.sh",
        ]
        .map(|file| root().join(file)),
    );
    all.extend(templates(&root().join("deploy/ks")));
    all.extend(templates(&root().join("tests/fixtures/site-jobs")));
    assert!(all.len() >= 15, "{all:?}");
    for path in all {
        let misuse = misuse(&fs::read_to_string(&path).unwrap());
        assert_eq!(misuse, None, "{}", path.display());
    }
}

#[test]
fn the_lint_finds_each_misuse() {
    for bad in [
        "echo \"{{ x }}\"",
        "echo '{{ x }}'",
        "echo 'a\n{{ x }}'",
        "# {{ x }}",
        "true # {{ x }}",
        "cat <<END\n{{ x }}\nEND",
        "cat <<-'END'\n\t{{ x }}\n\tEND",
        "echo $((1 + {{ x }}))",
        "echo `echo {{ x }}`",
        "echo {{ x|safe }}",
        "echo {{ x | upper }}",
        "{% include \"x\" %}",
        "{% set a = 1 %}",
        "{# {{ x }} #}",
        "echo ${#x} {{ x }}", // a comment to both engines
        "echo {{\nx }}",
        "echo {{- x }}",
        "{%- if x %}",
        "true\t# {{ x }}",
        "true;# {{ x }}",
        "cat <<\\END1\n{{ x }}\nEND1",
        "echo $((f(1) + {{ x }}))",
        "echo \"${a:-{{ x }}}\"",
        "{{ x }} --now",
        "true && {{ x }}",
        "echo $({{ x }})",
        "eval {{ x }}",
        "exec sh -c {{ x }}",
    ] {
        assert!(misuse(bad).is_some(), "{bad}");
    }
    for good in [
        "A={{ x }}",
        "set_setting \"$f\" k nats://{{ x }}:4222",
        "install{% for p in packages %} {{ p }}{% endfor %}",
        "echo it\\'s {{ x }}",
        "f ${a#b} {{ x }}",
        "echo \"it's\" {{ x }} # why",
        "cat <<END\ntext\nEND\necho {{ x }}",
        "{% if a %}x={{ a }}{% else %}x={{ b }}{% endif %}",
        "f a \\\n\t{{ x }}",
    ] {
        assert_eq!(misuse(good), None, "{good}");
    }
}
