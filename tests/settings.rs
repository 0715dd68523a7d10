//! The prelude's editing functions in a real shell: they set a value whatever was there before, a
//! second run changes nothing, and what can't be done safely is refused.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;

use common::{after_prelude as run, sh};
use paas_cluster_build::script::shell_word;
use tempfile::TempDir;

fn edited(before: &str, line: &str) -> String {
    let home = TempDir::new().unwrap();
    let file = home.path().join("f.yml");
    fs::write(&file, before).unwrap();
    let (ok, said) = run(
        home.path(),
        &line.replace("FILE", &shell_word(file.to_str().unwrap())),
    );
    assert!(ok, "{line}: {said}");
    fs::read_to_string(&file).unwrap()
}

#[test]
fn a_setting_is_set_whatever_it_was() {
    for before in [
        "0.0.0.0",
        "10.9.9.9",
        "'quoted # it''s'",
        "\"double \\\" # x\"",
        "",
    ] {
        let text = format!("# head\nnet: {before} # keep me\nport: 4222\n");
        let after = edited(&text, "set_setting FILE net 10.1.59.160");
        assert_eq!(
            after, "# head\nnet: 10.1.59.160 # keep me\nport: 4222\n",
            "{before}"
        );
    }
}

#[test]
fn a_nested_setting_is_found_by_its_whole_path() {
    let text = "a:\n  host: 1\n  port: 2\nhost: 3\nb:\n  c:\n    host: 4\n  host: 5\n";
    assert_eq!(
        edited(text, "set_setting FILE a.host X"),
        text.replace("host: 1", "host: X")
    );
    assert_eq!(
        edited(text, "set_setting FILE host X"),
        text.replace("\nhost: 3", "\nhost: X")
    );
    assert_eq!(
        edited(text, "set_setting FILE b.c.host X"),
        text.replace("host: 4", "host: X")
    );
    assert_eq!(
        edited(text, "set_setting FILE b.host X"),
        text.replace("host: 5", "host: X")
    );
}

#[test]
fn what_is_no_plain_scalar_is_quoted() {
    assert_eq!(edited("k: 0\n", "set_setting FILE k 'a: b'"), "k: 'a: b'\n");
    assert_eq!(
        edited("k: 0\n", "set_setting FILE k \"it's # x\""),
        "k: 'it''s # x'\n"
    );
    assert_eq!(edited("k: 0\n", "set_setting FILE k ''"), "k: ''\n");
    assert_eq!(edited("k: 0\n", "set_text FILE k 12"), "k: '12'\n");
    assert_eq!(
        edited("k: 0\n", "set_setting FILE k 'a\\nb'"),
        "k: 'a\\nb'\n"
    );
}

#[test]
fn an_assignment_is_set_whatever_it_was() {
    let text = "#!/bin/sh\nUAA_URL=http://0.0.0.0:8080\nexec true\n";
    let line = "set_assignment FILE UAA_URL http://10.1.59.187:8080";
    let after = edited(text, line);
    assert_eq!(after, text.replace("0.0.0.0", "10.1.59.187"));
    assert_eq!(edited(&after.replace("187", "99"), line), after);
    let hostile = edited(text, "set_assignment FILE UAA_URL \"it's; \\$(id)\"");
    let value = sh(&format!(
        "{}printf %s \"$UAA_URL\"",
        hostile.replace("exec true\n", "")
    ));
    assert_eq!(String::from_utf8_lossy(&value.stdout), "it's; $(id)");
}

#[test]
fn an_assignment_keeps_its_comment_and_never_loses_a_command() {
    for old in ["", "a", "'a b'", "\"a \\\" b\"", "a\\ b", "${A:-x}'y'"] {
        let text = format!("URL={old} # keep me\nURLS=1\n");
        let after = edited(&text, "set_assignment FILE URL new");
        assert_eq!(after, "URL=new # keep me\nURLS=1\n", "{old}");
    }
    let home = TempDir::new().unwrap();
    let file = home.path().join("control");
    for text in [
        "URL=a curl b\n",
        "URL=a; exit\n",
        "URL=$(a b)\n",
        "URL='a\nb'\n",
    ] {
        fs::write(&file, text).unwrap();
        let (ok, said) = run(
            home.path(),
            &format!("set_assignment {} URL new", file.display()),
        );
        assert!(
            !ok && said.contains("more than a single value"),
            "{text}: {said}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}

#[test]
fn the_callers_variables_are_its_own() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("f");
    fs::write(&file, "k: 1\nK=1\n").unwrap();
    let file = file.display();
    let (ok, said) = run(
        home.path(),
        &format!(
            "new=a status=b\nset_setting {file} k 2\nset_assignment {file} K 2\n\
             echo \"$new $status $(umask)\""
        ),
    );
    assert!(ok && said.ends_with("a b 0022\n"), "{said}");
}

#[test]
fn an_unchanged_file_is_untouched_and_a_changed_one_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let home = TempDir::new().unwrap();
    let file = home.path().join("f.yml");
    fs::write(&file, "net: 0.0.0.0\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let line = format!("set_setting {} net 10.0.0.1", file.display());
    let (ok, said) = run(home.path(), &line);
    assert!(ok && said.contains("changed f.yml"), "{said}");
    let first = fs::metadata(&file).unwrap();
    assert_eq!(first.mode() & 0o777, 0o640);
    let (ok, said) = run(home.path(), &line);
    assert!(ok && said.is_empty(), "{said}");
    let second = fs::metadata(&file).unwrap();
    assert_eq!(
        (first.ino(), first.mtime_nsec()),
        (second.ino(), second.mtime_nsec())
    );
    assert_eq!(
        fs::read_dir(home.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn a_setting_is_found_past_template_code_and_lists() {
    // Code at the line's beginning ends no mapping; keys below an item of a list are not the top's.
    let text = "database:\n<% if true %>\n  host: 1\n<% end %>\nlist:\n- name: a\n  port: 2\nhost: 3\nport: 4\n";
    assert_eq!(
        edited(text, "set_setting FILE database.host X"),
        text.replace("host: 1", "host: X")
    );
    assert_eq!(
        edited(text, "set_setting FILE host X"),
        text.replace("host: 3", "host: X")
    );
    assert_eq!(
        edited(text, "set_setting FILE port X"),
        text.replace("port: 4", "port: X")
    );
}

#[test]
fn what_cannot_be_set_safely_is_refused_and_nothing_changes() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("f.yml");
    for (text, line, reason) in [
        // The release reads the file as a template, so this value would become code there.
        (
            "k: 1\n",
            "set_text FILE k '<%= `id` %>'",
            "the release would run as code",
        ),
        (
            "k: 1\n",
            "set_text FILE k 'a\nj: 2'",
            "a line break or control character",
        ),
        (
            "k:\n  j: 1\n",
            "set_text FILE k 2",
            "more than a single value",
        ),
        (
            "k: |\n  j\n\nl: 1\n",
            "set_text FILE k 2",
            "more than a single value",
        ),
        (
            "k:\n# some\n- j\n",
            "set_text FILE k 2",
            "more than a single value",
        ),
        (
            "K=1\n",
            "set_assignment FILE K 'a\nid'",
            "a line break or control character",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let line = line.replace("FILE", file.to_str().unwrap());
        let (ok, said) = run(home.path(), &line);
        assert!(
            !ok && said.contains(reason) && said.contains("f.yml"),
            "{line}: {said}"
        );
        assert!(!said.contains("id"), "a refused value is shown: {said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}

/// The file may hold a password: while it's written anew, nobody else can read it; and what a killed
/// run has left doesn't get in the way.
#[test]
fn a_file_is_never_readable_while_it_is_written() {
    use std::os::unix::fs::PermissionsExt;
    let home = TempDir::new().unwrap();
    let file = home.path().join("f.yml");
    fs::write(&file, "password: old\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let left = home.path().join("f.yml.new");
    fs::write(&left, "of a killed run").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
    let looks = "chmod() { stat -c 'mode %a' \"$2\"; command chmod \"$@\"; }";
    let line = format!("{looks}\nset_text {} password new", file.display());
    let (ok, said) = run(home.path(), &line);
    assert!(ok && said.contains("mode 600"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "password: 'new'\n");
    assert!(!left.exists());
}

#[test]
fn a_missing_key_or_file_is_named_and_nothing_changes() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("f.yml");
    fs::write(&file, "net: 1\n").unwrap();
    let (ok, said) = run(
        home.path(),
        &format!("set_setting {} nett 2", file.display()),
    );
    assert!(!ok && said.contains("f.yml has no setting nett"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "net: 1\n");
    let (ok, said) = run(home.path(), "set_setting /nowhere/x.yml net 2");
    assert!(!ok && said.contains("/nowhere/x.yml is missing"), "{said}");
    let (ok, said) = run(
        home.path(),
        &format!("set_assignment {} NAME 2", file.display()),
    );
    assert!(!ok && said.contains("f.yml has no line NAME="), "{said}");
}
