//! What each built-in job sets in a release of the layout that the first tool's text has (NAME/jobs/…)
//! and with that text's keys, as YAML reads it afterwards. `release_settings` has the real layout.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{after_prelude, catalog, cluster, root, secrets, sh};
use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::job::{Action, Context};
use paas_cluster_build::model::{Cluster, Component};
use paas_cluster_build::script::shell_word;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

/// A copy of such a release's configuration below a folder, as bootstrap leaves it.
fn release(home: &Path) -> PathBuf {
    let release = home.join("paas-release.git");
    for entry in fs::read_dir(root().join("tests/fixtures/seed-layout")).unwrap() {
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
        site_packages: None,
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

/// The settings of a file as the stand-ins' own reader understands them, by their dotted keys.
fn read_back(file: &Path) -> BTreeMap<String, Value> {
    let program = "import json, sys\n\
        from pathlib import Path\n\
        sys.path.insert(0, sys.argv[1])\n\
        from paas.settings import Settings\n\
        def flat(value, path):\n\
        \x20   if not isinstance(value, dict):\n\
        \x20       return {path: value}\n\
        \x20   return {k: v for key, below in value.items()\n\
        \x20           for k, v in flat(below, f'{path}.{key}' if path else key).items()}\n\
        print(json.dumps(flat(Settings.load(Path(sys.argv[2])).mapping(()), '')))\n";
    let output = Command::new("/usr/bin/python3")
        .args(["-B", "-c", program])
        .arg(root().join("deploy/micro-paas/build_dir/target/stand_ins"))
        .arg(file)
        .output()
        .expect("python3 is missing; bin/install-tools installs it");
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
fn every_job_configures_the_layout_of_the_text_and_converges() {
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
            let is = match &read[*key] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(is, *value, "{name}: {key}");
        }
        let keys =
            |settings: &BTreeMap<String, Value>| settings.keys().cloned().collect::<Vec<_>>();
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
    #![proptest_config(ProptestConfig::with_cases(24))]

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
            let (ok, said) = after_prelude(home.path(), &format!(
                "set_text {yaml} database.password {word}\n\
                 set_assignment {script} UAA_URL {word}"
            ));
            prop_assert!(ok, "{}", said);
        }
        let mut expected = pristine;
        expected.insert("database.password".to_owned(), to.clone().into());
        prop_assert_eq!(read_back(&file), expected);
        let text = fs::read_to_string(&control).unwrap();
        let (head, _) = text.split_once("\nexec ").unwrap();
        let said = sh(&format!("{head}\nprintf %s \"$UAA_URL\"\n"));
        prop_assert_eq!(String::from_utf8(said.stdout).unwrap(), to);
    }
}
