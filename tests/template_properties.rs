//! What the law of the templates promises, asked of real shells: whatever a value holds, in every
//! template that the lint accepts it is one argument, and nothing of it is run.

mod common;

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::injected;
use paas_cluster_build::script::{Values, check_template, render_site_template};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

/// Values that break out of whatever is left open for them, and then run `pwn`.
const HOSTILE: [&str; 24] = [
    "$(pwn)",
    "`pwn`",
    "; pwn;",
    "|pwn",
    "&& pwn #",
    "\npwn\n",
    "'; pwn; '",
    "\"; pwn; \"",
    "a\\'; pwn; '",
    "\\\"; pwn; \\\"",
    "\nE\npwn\n",
    ")\npwn\n(",
    "}\npwn\n{",
    ") pwn ;; esac; pwn",
    "a[$(pwn)]",
    "${y:-$(pwn)}",
    "pwn",
    "esac",
    "E",
    "2",
    "",
    "-n",
    "* ? [a]\t\\",
    "it's \"quoted\" #é",
];

/// Every shell of this machine that may stand in for `sh`.
fn shells() -> Vec<&'static str> {
    let is_there = |shell: &&str| Command::new(shell).args(["-c", ":"]).output().is_ok();
    ["sh", "bash", "dash", "ksh", "busybox"]
        .into_iter()
        .filter(is_there)
        .collect()
}

/// Runs a script, in which `pwn` and `f` are the only commands that do anything; returns what it
/// printed, and whether `pwn` was run.
fn run(shell: &str, folder: &Path, script: &str) -> (Vec<u8>, bool) {
    let before =
        "pwn() { : >pwned; }\nf() { for argument do printf '<%s>' \"$argument\"; done; }\n";
    let mut command = Command::new(shell);
    if shell == "busybox" {
        command.arg("sh");
    }
    let mut child = command
        .arg("-s")
        .current_dir(folder)
        .env_clear()
        // There is nothing else to run.
        .env("PATH", folder)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = format!("{before}{script}\n");
    // A shell that gives up doesn't read to the end.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    let pwned = fs::remove_file(folder.join("pwned")).is_ok();
    (output.stdout, pwned)
}

fn values(value: &str, is_taken: bool) -> Values {
    let mut values = Values::new();
    values.set("v", value);
    values.set("t", is_taken);
    values.set("l", [value, value]);
    values
}

/// Pieces of shell in any order: most of it isn't a script, and what the lint accepts of it is.
const SOUP: [&str; 46] = [
    "{{ v }}",
    "{{ v }}",
    "{{ v }}",
    "{{ v }}",
    "f ",
    "f ",
    "f a ",
    " ",
    " ",
    "\n",
    "\n",
    ";",
    "x=",
    "'",
    "\"",
    "\"",
    "'",
    "`",
    "\\",
    "\\\n",
    "$",
    "$$",
    "$(",
    "$((",
    "((",
    "(",
    ")",
    "${y:-",
    "\"${y#",
    "}",
    "{ ",
    "#",
    "<<E ",
    "<<-'E'\n",
    "\nE\n",
    "\n\tE\n",
    "case a in a) ",
    ";;",
    "esac",
    "|",
    "&& ",
    "for i in ",
    "; do ",
    "done\n",
    "{% if t %}",
    "{% endif %}",
];

fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(SOUP.to_vec());
    prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn no_value_is_run_in_a_template_that_the_lint_accepts() {
    let folder = TempDir::new().unwrap();
    let shells = shells();
    assert!(shells.contains(&"sh"), "{shells:?}");
    let (accepted, runs) = (Cell::new(0), Cell::new(0));
    let config = Config {
        cases: 40_000,
        failure_persistence: None,
        ..Config::default()
    };
    let hostile = prop::sample::select(HOSTILE.to_vec());
    let case = (soup(), hostile, any::<bool>());
    let outcome = TestRunner::new(config).run(&case, |(template, value, is_taken)| {
        if !template.contains("{{ v }}") || !check_template(&template, None).is_empty() {
            return Ok(());
        }
        accepted.set(accepted.get() + 1);
        let Ok(script) = render_site_template("t.sh", &template, &values(value, is_taken)) else {
            return Ok(());
        };
        for shell in &shells {
            runs.set(runs.get() + 1);
            let (_, pwned) = run(shell, folder.path(), &script);
            prop_assert!(
                !pwned,
                "{shell} ran the value {value:?} of\n{template}\n---\n{script}"
            );
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(accepted.get() >= 200, "only {} accepted", accepted.get());
    injected(runs.get(), "hostile values in random templates");
}

/// What may stand around a command without changing it.
const AROUND: [(&str, &str); 22] = [
    ("", ""),
    ("( ", " )"),
    ("{ ", "; }"),
    ("if true; then ", "; fi"),
    ("if false; then :; else ", "; fi"),
    ("case a in a) ", " ;; esac"),
    ("case a in (b) ;; (a | c) ", ";; esac"),
    ("case \"it's\" in *) ", "\nesac"),
    ("for i in 1; do ", "; done"),
    ("true && ", ""),
    ("! false && ", " || :"),
    ("A=1 B='2 3' ", ""),
    (": 'it''s' \"it's\" it\\'s; ", ""),
    (": <<'E'\n'\"`$(\nE\n", ""),
    (": <<-E <<F\n\t'$A'\n\tE\n\"\nF\n", ""),
    (": # it's \"\n", ""),
    (": $((1 + (2))) ${A#\"'\"} ${A:-'}'}; ", ""),
    (": \"${A:-'}\" \"${A#'}'}\"; ", ""),
    (": a#b \\\n  '#'; ", ""),
    ("{% if t %}", "{% else %}f a z{% endif %}"),
    ("x=$( ", " ); printf %s \"$x\""),
    ("g() { ", "; }; g"),
];

/// The value's own word; `V` stands for the value.
const WORDS: [(&str, &str); 7] = [
    ("{{ v }}", "V"),
    ("a{{ v }}", "aV"),
    ("http://{{ v }}:80/", "http://V:80/"),
    ("'a b'{{ v }}\"c d\"", "a bVc d"),
    ("--key={{ v }}", "--key=V"),
    ("{{ v }}{{ v }}", "VV"),
    ("{% for i in l %} {{ i }}{% endfor %}", "V><V"),
];

#[test]
fn a_value_is_one_argument_wherever_the_law_lets_it_stand() {
    let folder = TempDir::new().unwrap();
    let shells = shells();
    let runs = Cell::new(0);
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let around = prop::collection::vec(prop::sample::select(AROUND.to_vec()), 0..4);
    let hostile = prop_oneof![
        prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        "[^\0]{0,12}",
    ];
    let case = (around, prop::sample::select(WORDS.to_vec()), hostile);
    let outcome = TestRunner::new(config).run(&case, |(around, (word, expected), value)| {
        let mut template = format!("f a {word} z");
        for (before, behind) in around {
            template = format!("{before}{template}{behind}");
        }
        let problems = check_template(&template, None);
        prop_assert!(problems.is_empty(), "{template}\n{problems:?}");
        let script = render_site_template("t.sh", &template, &values(&value, true)).unwrap();
        let expected = format!("<a><{}><z>", expected.replace('V', &value));
        for shell in &shells {
            runs.set(runs.get() + 1);
            let (output, pwned) = run(shell, folder.path(), &script);
            prop_assert!(!pwned, "{shell} ran {value:?}:\n{script}");
            let output = String::from_utf8_lossy(&output).into_owned();
            prop_assert_eq!(output, expected.clone(), "{}:\n{}", shell, script);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    injected(runs.get(), "hostile values as arguments of real shells");
}
