//! The prelude's editing functions in a real shell, on the example release's own files: they set a
//! value whatever was there before, and a second run changes nothing.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::{catalog, cluster, root, secrets, sh};
use paas_cluster_build::job::{Action, Context};
use paas_cluster_build::script::{ShellEscaper, Values, render_site_template, shell_word};
use proptest::prelude::*;
use tempfile::TempDir;

const PRELUDE: &str = include_str!("../cluster_jobs/prelude.sh");

/// The prelude with the login user's home in a folder of the test's.
fn prelude(home: &Path) -> String {
    let mut values = Values::new();
    values.set("paas_user", "root");
    values.set("paas_home", home.display().to_string());
    values.set("own_address", "127.0.0.1");
    render_site_template("prelude.sh", PRELUDE, &values).unwrap() + "\n"
}

/// Runs one line after the prelude; returns whether it succeeded and what it printed.
fn run(home: &Path, line: &str) -> (bool, String) {
    let output = sh(&format!("{}{line}\n", prelude(home)));
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

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

/// A copy of the example release's configuration below a folder, as bootstrap leaves it.
fn release(home: &Path) -> PathBuf {
    let release = home.join("paas-release.git");
    for entry in fs::read_dir(root().join("deploy/release")).unwrap() {
        let jobs = entry.unwrap().path().join("jobs");
        if !jobs.is_dir() {
            continue;
        }
        let component = jobs.parent().unwrap().file_name().unwrap().to_owned();
        let target = release.join(component).join("jobs");
        fs::create_dir_all(&target).unwrap();
        for file in fs::read_dir(&jobs).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
        }
    }
    release
}

/// Each job's own part, with the release's command and the wait for health replaced: it finds every
/// setting that it means in the release's files, converges from other values, and then is content.
#[test]
fn every_job_configures_the_example_release_and_converges() {
    let catalog = catalog();
    let mut cluster = cluster("config/cluster.yml", &catalog);
    let home = TempDir::new().unwrap();
    let release = release(home.path());
    let place = paas_cluster_build::cluster_file::Place::new(1, 1);
    let home_text = home.path().display().to_string();
    cluster
        .vars
        .insert("paas_home".to_owned(), (home_text.into(), place));
    let secrets = secrets();
    for component in &cluster.components {
        // What follows in postgres needs a server; the lab's tests have one.
        if component.name == "postgres" {
            continue;
        }
        let configured = |index: usize| {
            let instance = &component.instances[index];
            let context = Context {
                cluster: &cluster,
                component,
                instance,
                secrets: &secrets,
            };
            let job = catalog.get(&component.name).unwrap();
            let script = job
                .render(Action::Deploy, &job.values(&context).unwrap())
                .unwrap();
            let stubs = "paas() { :; }\nwait_healthy() { :; }\nprotect() { chmod 0600 \"$1\"; }\n";
            let (frame, part) = script.split_once("\nwait_healthy() {").unwrap();
            let (rest_of_frame, part) = part.split_once("\n}\n").unwrap();
            let script = format!("{frame}\nwait_healthy() {{{rest_of_frame}\n}}\n{stubs}{part}");
            let output = sh(&script);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(output.status.success(), "{}: {said}", component.name);
            let file = format!("{0}/jobs/{0}.yml.erb", component.name);
            (said, fs::read_to_string(release.join(file)).unwrap())
        };
        let last = component.instances.len() - 1;
        let (said, first) = configured(0);
        assert!(said.contains("changed"), "{}: {said}", component.name);
        let (said, again) = configured(0);
        assert_eq!((said.as_str(), &again), ("", &first), "{}", component.name);
        let (_, other) = configured(last);
        assert_eq!(
            other != first,
            last > 0,
            "another instance has another index"
        );
        assert_eq!(
            configured(0).1,
            first,
            "{} converges from other values",
            component.name
        );
        assert!(
            !first.contains("0.0.0.0"),
            "{}: an address is still pristine:\n{first}",
            component.name
        );
    }
}

/// A text with what is special to shells.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'"),
        Just("\""),
        Just("$(id)"),
        Just("`id`"),
        Just("\n"),
        Just("\\"),
        Just("-n"),
        Just("*"),
        Just("~"),
        Just("#"),
        Just("; exit 3"),
        Just("é漢"),
        Just(" "),
        Just("a"),
        Just("$HOME"),
        Just("!"),
        Just("\t"),
        Just("|"),
        Just("%s"),
        Just("{a,b}"),
        Just("\r"),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_value_is_one_word_and_never_code(value in hostile()) {
        let mut values = Values::new();
        values.set("value", &value);
        let template = "printf %s- {{ value }} end\nV={{ value }}\nprintf %s \"$V\"";
        let by_minijinja = render_site_template("t", template, &values).unwrap();
        let mut word = String::new();
        askama::filters::Escaper::write_escaped_str(&ShellEscaper, &mut word, &value).unwrap();
        let by_escaper = template.replace("{{ value }}", &word);
        prop_assert_eq!(&by_minijinja, &by_escaper);
        let output = sh(&by_minijinja);
        prop_assert!(output.status.success());
        prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}-end-{value}"));
    }

    #[test]
    fn a_value_in_pieces_is_still_one_word(pieces in proptest::collection::vec(hostile(), 1..4)) {
        let mut word = String::new();
        for piece in &pieces {
            askama::filters::Escaper::write_escaped_str(&ShellEscaper, &mut word, piece).unwrap();
        }
        let output = sh(&format!("printf %s- {word} end"));
        let expected = format!("{}-end-", pieces.concat());
        prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
fn a_nul_is_refused_with_the_values_name() {
    let catalog = catalog();
    let mut cluster = cluster("config/cluster.yml", &catalog);
    let place = paas_cluster_build::cluster_file::Place::new(7, 3);
    cluster
        .vars
        .insert("domain".to_owned(), ("a\0b".into(), place));
    let component = cluster.component("dea_ng").unwrap();
    let secrets = secrets();
    let instance = &component.instances[0];
    let context = Context {
        cluster: &cluster,
        component,
        instance,
        secrets: &secrets,
    };
    let error = catalog.get("dea_ng").unwrap().values(&context).unwrap_err();
    assert!(error.message.contains("domain"), "{error}");
    assert_eq!(error.place, Some(place));
}
