//! The prelude's editing functions in a real shell, on the example release's own files: they set a
//! value whatever was there before, and a second run changes nothing.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{catalog, cluster, root, secrets, sh};
use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::job::{Action, Context};
use paas_cluster_build::model::{Cluster, Component};
use paas_cluster_build::script::{Values, render_site_template, shell_word};
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
            !ok && said.contains("more than one plain word"),
            "{text}: {said}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_value_that_could_not_be_found_again_or_that_ruby_would_run_is_refused() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("f.yml");
    fs::write(&file, "k: 1\n").unwrap();
    for (value, said_of_it) in [
        ("'secret\nvalue'", "line break"),
        ("\"$(printf 'secret\\r')\"", "control character"),
        ("'<%= secret %>'", "<%"),
    ] {
        for function in ["set_setting", "set_text"] {
            let line = format!("{function} {} k {value}", file.display());
            let (ok, said) = run(home.path(), &line);
            assert!(!ok && said.contains(said_of_it), "{line}: {said}");
            assert!(said.contains("f.yml: the value for k"), "{said}");
            assert!(
                !said.contains("secret"),
                "a value may be a password: {said}"
            );
            assert_eq!(fs::read_to_string(&file).unwrap(), "k: 1\n");
        }
    }
}

/// A password's file is never readable by others, not even while it is written, and what a killed
/// run left beside it is taken over.
#[test]
fn what_is_written_is_private_from_the_first_byte() {
    use std::os::unix::fs::PermissionsExt;
    let home = TempDir::new().unwrap();
    let file = home.path().join("f.yml");
    fs::write(&file, "k: 1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let left = home.path().join("f.yml.new");
    fs::write(&left, "half of").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o666)).unwrap();
    let line = format!(
        "put_in_place() {{ stat -c %a \"$2\"; cat \"$2\"; rm \"$2\"; }}\nset_text {} k 2",
        file.display()
    );
    let (ok, said) = run(home.path(), &line);
    assert!(ok, "{said}");
    assert_eq!(said, "600\nk: '2'\n");
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

/// Renders a component's deployment and runs it up to the first start; returns what it printed.
fn configure(cluster: &Cluster, component: &Component, index: usize) -> String {
    let secrets = secrets();
    let context = Context {
        cluster,
        component,
        instance: &component.instances[index],
        secrets: &secrets,
    };
    let catalog = catalog();
    let job = catalog.get(&component.name).unwrap();
    let values = job.values(&context).unwrap();
    let script = job.render(Action::Deploy, &values).unwrap();
    // Everything is configured before the first service is started.
    let stubs = "paas() { exit 0; }\nprotect() { need_file \"$1\"; chmod 0600 \"$1\"; }\n";
    let (frame, part) = script.split_once("\nwait_healthy() {").unwrap();
    let (rest_of_frame, part) = part.split_once("\n}\n").unwrap();
    let output = sh(&format!(
        "{frame}\nwait_healthy() {{{rest_of_frame}\n}}\n{stubs}{part}"
    ));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{}: {said}", component.name);
    said
}

/// The settings of a file as the example release's own reader understands them.
fn read_back(file: &Path) -> BTreeMap<String, String> {
    let program = "import json, sys\n\
        from pathlib import Path\n\
        sys.path.insert(0, sys.argv[1])\n\
        from paas.settings import parse\n\
        text = Path(sys.argv[2]).read_text(encoding='utf-8')\n\
        print(json.dumps(parse(text, sys.argv[2])))\n";
    let output = Command::new("python3")
        .args(["-B", "-c", program])
        .arg(root().join("deploy/release/lib"))
        .arg(file)
        .output()
        .expect("python3 is missing; install Debian's package python3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", file.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The cluster of config/cluster.yml, with a login user whose home is this folder.
fn cluster_at(home: &Path) -> Cluster {
    let mut cluster = cluster("config/cluster.yml", &catalog());
    let home = home.display().to_string();
    let place = Place::new(1, 1);
    cluster
        .vars
        .insert("paas_home".to_owned(), (home.into(), place));
    cluster
}

/// What the seed lists, and what it means in each component's file.
const WIRING: [(&str, &[(&str, &str)]); 9] = [
    ("nats", &[("net", "10.1.59.160"), ("port", "4222")]),
    (
        "router",
        &[("mbus", "nats://10.1.59.160:4222"), ("index", "1")],
    ),
    ("postgres", &[("listen", "0.0.0.0"), ("port", "5432")]),
    (
        "uaa",
        &[
            ("mbus", "nats://10.1.59.160:4222"),
            ("index", "0"),
            ("database.host", "10.1.59.174"),
            ("database.name", "uaa"),
            ("database.user", "root"),
            ("database.password", "a-secret-of-the-tests"),
        ],
    ),
    (
        "cloud_controller_ng",
        &[
            ("message_bus_uri", "nats://10.1.59.160:4222"),
            ("uaa.url", "http://10.1.59.187:8080"),
            ("external_domain", "api.paas.local"),
            ("database.host", "10.1.59.174"),
            ("database.name", "cloud_controller"),
            ("database.password", "a-secret-of-the-tests"),
        ],
    ),
    ("health_manager", &[("mbus", "nats://10.1.59.160:4222")]),
    (
        "dea_ng",
        &[("nats_uri", "nats://10.1.59.160:4222"), ("index", "1")],
    ),
    (
        "mysql_gateway",
        &[
            ("mbus", "nats://10.1.59.160:4222"),
            ("cloud_controller_url", "http://10.1.59.180:9022"),
            ("uaa_url", "http://10.1.59.187:8080"),
        ],
    ),
    (
        "mysql_node",
        &[
            ("mbus", "nats://10.1.59.160:4222"),
            ("index", "1"),
            ("node_id", "mysql_node_1"),
        ],
    ),
];

/// Each job finds every setting that it means in the release's files, the release reads what was
/// meant, the job converges from another instance's values, and a second run changes nothing.
#[test]
fn every_job_configures_the_example_release_and_converges() {
    let home = TempDir::new().unwrap();
    let release = release(home.path());
    let cluster = cluster_at(home.path());
    let names: Vec<&str> = cluster.components.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, WIRING.map(|(name, _)| name));
    for (component, (name, wiring)) in cluster.components.iter().zip(WIRING) {
        let file = release.join(format!("{name}/jobs/{name}.yml.erb"));
        let last = component.instances.len() - 1;
        let pristine = read_back(&file);
        let said = configure(&cluster, component, last);
        assert!(said.contains(&format!("{name}.yml.erb")), "{name}: {said}");
        let read = read_back(&file);
        for (key, value) in wiring {
            assert_eq!(read.get(*key).map(String::as_str), Some(*value), "{name}");
        }
        let keys =
            |settings: &BTreeMap<String, String>| settings.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            keys(&read),
            keys(&pristine),
            "{name}: nothing comes or goes"
        );

        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(configure(&cluster, component, last), "", "{name}");
        configure(&cluster, component, 0);
        let other = fs::read_to_string(&file).unwrap();
        assert_eq!(other != text, last > 0, "{name}: each has its own index");
        configure(&cluster, component, last);
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{name}");
    }
    for name in ["mysql_gateway", "mysql_node"] {
        let control = release.join(format!("{name}/jobs/control"));
        let text = fs::read_to_string(&control).unwrap();
        assert!(
            text.contains("\nUAA_URL=http://10.1.59.187:8080\n"),
            "{text}"
        );
        assert_eq!(
            fs::metadata(&control).unwrap().mode() & 0o111,
            0o111,
            "still a program"
        );
    }
}

/// A password's worth of what is special to YAML and to shells.
fn awkward() -> impl Strategy<Value = String> {
    let special = "'\"\\\\#:%&*!|>@`,?{}\\[\\]$~; -";
    proptest::string::string_regex(&format!("[a-z0-9é漢{special}]{{0,12}}")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// From any value to any other: the release reads what was meant, both in YAML and in shell.
    #[test]
    fn the_release_reads_what_was_set(from in awkward(), to in awkward()) {
        let home = TempDir::new().unwrap();
        let release = release(home.path());
        let file = release.join("uaa/jobs/uaa.yml.erb");
        let control = release.join("mysql_node/jobs/control");
        let pristine = read_back(&file);
        for value in [&from, &to] {
            let (yaml, script) = (file.to_str().unwrap(), control.to_str().unwrap());
            let (yaml, script, word) = (shell_word(yaml), shell_word(script), shell_word(value));
            let (ok, said) = run(home.path(), &format!(
                "set_text {yaml} database.password {word}\n\
                 set_setting {yaml} database.user {word}\n\
                 set_assignment {script} UAA_URL {word}"
            ));
            prop_assert!(ok, "{}", said);
        }
        let mut expected = pristine;
        expected.insert("database.password".to_owned(), to.clone());
        expected.insert("database.user".to_owned(), to.clone());
        prop_assert_eq!(read_back(&file), expected);
        let text = fs::read_to_string(&control).unwrap();
        let (head, _) = text.split_once("\nrelease=").unwrap();
        let said = sh(&format!("{head}\nprintf %s \"$UAA_URL\"\n"));
        prop_assert_eq!(String::from_utf8(said.stdout).unwrap(), to);
    }
}
