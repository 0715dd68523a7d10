//! Secrets that a release brings and that stay: `check` names each with its place and what to do, and
//! none that the release doesn't have any more. Every secret of the real release is replaced or named;
//! that needs its folder in PAAS_REAL_RELEASE.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::desk::Desk;
use common::{catalog, cluster, root, secrets, skip};
use paas_cluster_build::job::Context;
use serde_json::Value;

/// A release whose files have what the real ones have, as far as it's about secrets.
const FILES: [(&str, &str); 9] = [
    (
        "bin/paas",
        "puts 1\nsystem \"cf login --username admin --password admin\"\n\
         system \"cf create-service-auth-token --label mysql --provider core --token '0xdeadbeef'\"\n",
    ),
    ("jobs/nats/nats.yml.erb", "---\nnet: 0.0.0.0\nport: 4222\n"),
    (
        "jobs/uaa/uaa.yml.erb",
        "oauth:\n  clients:\n    cf:\n      id: cf\nscim:\n  users:\n    - admin|admin|scim\n    \
         - testuser|testuser|scim\n",
    ),
    (
        "jobs/cloud_controller_ng/cloud_controller_ng.yml.erb",
        "---\r\ndb_encryption_key: \"asdfasdfasdf\"\r\n",
    ),
    (
        "jobs/dea_ng/dea.yml.erb",
        "bulk_api:\n  auth_user: bulk_user\n  auth_password: bulk_password\n",
    ),
    (
        "jobs/mysql_gateway/mysql_gateway.yml.erb",
        "token: \"0xdeadbeef\"\nservice_auth_tokens: \n   mysql_core: \"0xdeadbeef\" \n",
    ),
    ("jobs/redis/redis.conf.erb", "port 5454\n# bind 127.0.0.1\n"),
    (
        "jobs/mysql/control.rb",
        "run \"echo | bin/mysql -u root --password='' mysql \"\n",
    ),
    (
        "jobs/postgres/control.rb",
        "run \"#{package_dir}/bin/initdb -D #{data_dir}\"\n",
    ),
];

/// Where each of them stands: component, file, line (none for what is left out).
const NAMED: [(&str, &str, Option<u64>); 12] = [
    ("nats", "jobs/nats/nats.yml.erb", None),
    ("postgres", "jobs/postgres/control.rb", Some(1)),
    ("uaa", "jobs/uaa/uaa.yml.erb", Some(8)),
    ("uaa", "jobs/uaa/uaa.yml.erb", None),
    ("uaa", "bin/paas", Some(2)),
    (
        "cloud_controller_ng",
        "jobs/cloud_controller_ng/cloud_controller_ng.yml.erb",
        Some(2),
    ),
    ("dea_ng", "jobs/dea_ng/dea.yml.erb", Some(3)),
    (
        "mysql_gateway",
        "jobs/mysql_gateway/mysql_gateway.yml.erb",
        Some(1),
    ),
    (
        "mysql_gateway",
        "jobs/mysql_gateway/mysql_gateway.yml.erb",
        Some(3),
    ),
    ("mysql_gateway", "bin/paas", Some(3)),
    ("mysql_gateway", "jobs/redis/redis.conf.erb", None),
    ("mysql_node", "jobs/mysql/control.rb", Some(1)),
];

/// The release in a folder.
fn write(release: &Path) {
    for (path, text) in FILES {
        let file = release.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

/// A desk with the eleven machines' file, whose release is at this path.
fn desk(release: &str) -> Desk {
    let seed = include_str!("fixtures/seed-cluster.yml");
    Desk::new(&format!(
        "{seed}\nrelease: {{paas_release: {{path: {release}}}}}\n"
    ))
}

/// What `check` says as JSON: the secrets, and the last line.
fn as_json(desk: &Desk) -> (Vec<Value>, Value) {
    let ended = desk.run(&["check", "--output", "json"]);
    assert_eq!((ended.code, ended.error.as_str()), (0, ""), "{ended:?}");
    let mut lines: Vec<Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap()["summary"].clone();
    let secrets = lines.iter().map(|line| line["default_secret"].clone());
    (secrets.collect(), summary)
}

fn places(secrets: &[Value]) -> Vec<(String, String, Option<u64>)> {
    let place = |secret: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let files = secret["files"].as_array().unwrap();
        assert_eq!(files.len(), 1, "it's known which one: {secret}");
        (
            text(&secret["component"]),
            text(&files[0]),
            secret["line"].as_u64(),
        )
    };
    secrets.iter().map(place).collect()
}

fn named() -> Vec<(String, String, Option<u64>)> {
    let owned = |(component, file, line): (&str, &str, _)| (component.into(), file.into(), line);
    NAMED.map(owned).to_vec()
}

#[test]
fn each_is_named_with_its_place_and_what_to_do() {
    let desk = desk("release");
    write(&desk.path("release"));
    let (secrets, summary) = as_json(&desk);
    assert_eq!(places(&secrets), named());
    assert_eq!(summary["default_secrets"], NAMED.len());
    for secret in &secrets {
        assert_eq!(secret["seen"], true, "{secret}");
        for text in ["what", "to_do"] {
            assert!(secret[text].as_str().unwrap().len() > 20, "{secret}");
        }
    }
    let ended = desk.run(&["check"]);
    assert_eq!((ended.code, ended.error.as_str()), (0, ""), "{ended:?}");
    for (secret, (component, file, line)) in secrets.iter().zip(NAMED) {
        let place = line.map_or(file.to_owned(), |line| format!("{file}:{line}"));
        let words = format!(
            "  {component}: {}\n    at: {place}\n    to do: {}\n",
            secret["what"].as_str().unwrap(),
            secret["to_do"].as_str().unwrap()
        );
        assert!(ended.out.contains(&words), "{words}{}", ended.out);
    }
    // A plan says that there are some; only to people.
    let plan = desk.run(&["plan", "--offline"]);
    let note = "note: 12 secrets stay as the release has them; `check` names them\n";
    assert!(plan.error.contains(note), "{}", plan.error);
    let plan = desk.run(&["plan", "--offline", "--output", "json"]);
    assert_eq!((plan.code, plan.error.as_str()), (0, ""));
}

#[test]
fn what_the_operator_has_changed_is_not_named_any_more() {
    let desk = desk("release");
    let release = desk.path("release");
    write(&release);
    let change = |path: &str, from: &str, to: &str| {
        let file = release.join(path);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).unwrap();
    };
    change("bin/paas", "puts 1", "exit\n__END__\n");
    change("bin/paas", "--password admin", "--password $PASSWORD");
    change("bin/paas", "0xdeadbeef", "ours");
    change("jobs/nats/nats.yml.erb", "---", "authorization:\n  user: a");
    change("jobs/uaa/uaa.yml.erb", "    - testuser", "    #- testuser");
    change("jobs/uaa/uaa.yml.erb", "    cf:", "    admin:\n    cf:");
    let key = "jobs/cloud_controller_ng/cloud_controller_ng.yml.erb";
    change(key, "asdfasdfasdf", "ours");
    change("jobs/dea_ng/dea.yml.erb", "bulk_password", "ours");
    change(
        "jobs/mysql_gateway/mysql_gateway.yml.erb",
        "0xdeadbeef",
        "ours",
    );
    change("jobs/redis/redis.conf.erb", "# bind", "bind");
    change(
        "jobs/mysql/control.rb",
        "--password=''",
        "--password=\"$P\"",
    );
    // A file that isn't there has no secret in it.
    fs::remove_file(release.join("jobs/postgres/control.rb")).unwrap();
    let (secrets, summary) = as_json(&desk);
    assert_eq!(secrets, Vec::<Value>::new());
    assert_eq!(summary["default_secrets"], 0);
    let ended = desk.run(&["check"]);
    assert!(!ended.out.contains("secrets that stay"), "{}", ended.out);
    let plan = desk.run(&["plan", "--offline"]);
    assert!(!plan.error.contains("as the release has"), "{}", plan.error);
}

#[test]
fn an_archive_is_read_like_a_folder_wherever_its_top_is() {
    for (folder, inside) in [(".", "inner/release"), ("inner", ".")] {
        let desk = desk("release.tar.gz");
        write(&desk.path("inner/release"));
        let base = desk.path("inner/release");
        let base = if folder == "." {
            base
        } else {
            desk.path(folder)
        };
        let packed = Command::new("tar")
            .args(["-czf"])
            .arg(desk.path("release.tar.gz"))
            .arg("-C")
            .arg(base)
            .arg(if inside == "." { "release" } else { "." })
            .status();
        assert!(packed.unwrap().success());
        assert_eq!(places(&as_json(&desk).0), named(), "{folder}");
    }
    // A folder in a folder, as bootstrap takes it.
    let desk = desk("outer");
    write(&desk.path("outer/release"));
    assert_eq!(places(&as_json(&desk).0), named());
}

#[test]
fn of_a_release_that_is_not_here_it_says_where_they_would_be() {
    for release in [
        "",
        "\nrelease: {paas_release: {git: https://x, ref: main}}\n",
    ] {
        let seed = include_str!("fixtures/seed-cluster.yml");
        let desk = Desk::new(&format!("{seed}{release}"));
        let (secrets, _) = as_json(&desk);
        assert_eq!(secrets.len(), NAMED.len());
        assert!(secrets.iter().all(|secret| secret["seen"] == false));
        assert!(secrets.iter().all(|secret| secret["line"].is_null()));
        let out = desk.run(&["check"]).out;
        assert!(
            out.contains("yours isn't here to be read, and may have others:\n"),
            "{out}"
        );
        assert!(
            out.contains("    at: nats/jobs/nats.yml.erb, or jobs/nats/nats.yml.erb\n"),
            "{out}"
        );
    }
    // What has no job of the release has none of its secrets.
    let desk = Desk::at_port(1, "");
    assert_eq!(as_json(&desk).0, Vec::<Value>::new());
}

/// A release of which a file can't be read is no release without secrets.
#[test]
fn a_release_that_cannot_be_read_is_an_error() {
    let desk = desk("release.tar.gz");
    write(&desk.path("release"));
    let file = desk.path("release.tar.gz");
    let packed = Command::new("tar")
        .arg("-czf")
        .arg(&file)
        .arg("-C")
        .arg(desk.folder.path())
        .arg("release")
        .status();
    assert!(packed.unwrap().success());
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let ended = desk.run(&["check"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.error.contains("the release can't be read"),
        "{ended:?}"
    );
    common::injected(1, "an archive of a release that ends too early");
}

/// The lines of a release's own files that look like a secret: file, line, key.
fn suspicious(release: &Path) -> Vec<(PathBuf, usize, String)> {
    // What sounds so and is none.
    const NONE: [&str; 9] = [
        "auth_user",
        "auth",
        "authorized-grant-types",
        "authorities",
        "resource_directory_key",
        "droplet_directory_key",
        "trace_key",
        "access-token-validity",
        "download_url_template",
    ];
    let line = regex::Regex::new(
        r#"^\s*(?:- )?"?([A-Za-z0-9_.-]*(?:pass|secret|token|key|auth)[A-Za-z0-9_.-]*)"?:\s*["']?[^\s"'#]"#,
    )
    .unwrap();
    let user = regex::Regex::new(r"^\s*- (\w+\|)\w+\|").unwrap();
    let command = regex::Regex::new(r"--(?:password|token)[= ]").unwrap();
    let mut found = Vec::new();
    let mut folders = vec![release.join("jobs"), release.join("bin")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            for (number, text) in (1..).zip(text.lines()) {
                if text.trim_start().starts_with('#') {
                    continue;
                }
                let keys = line.captures(text).or_else(|| user.captures(text));
                let key = match keys {
                    Some(keys) => keys[1].to_owned(),
                    None if command.is_match(text) => String::new(),
                    None => continue,
                };
                // A block of them is looked at line by line.
                if !NONE.contains(&key.as_str()) {
                    found.push((path.clone(), number, key));
                }
            }
        }
    }
    found.sort();
    found
}

/// The keys that the jobs of config/cluster.yml set, by the folder of the release.
fn set_keys() -> BTreeSet<(String, String)> {
    let catalog = catalog();
    let cluster = cluster("config/cluster.yml", &catalog);
    let secrets = secrets();
    let key = regex::Regex::new(r"([^ ]+) = <|for \* in the line with - ([^*]+)\*").unwrap();
    let mut keys = BTreeSet::new();
    for component in &cluster.components {
        let context = Context {
            cluster: &cluster,
            component,
            instance: &component.instances[0],
            secrets: &secrets,
            site_packages: None,
        };
        let job = catalog.get(&component.name).unwrap();
        let values = job.values(&context).unwrap();
        for line in job.edits(&values).unwrap() {
            for found in key.captures_iter(&line) {
                let path = found.get(1).or(found.get(2)).unwrap().as_str();
                let last = path.rsplit('.').next().unwrap();
                keys.insert((component.name.clone(), last.to_owned()));
            }
        }
    }
    keys
}

#[test]
fn every_secret_of_the_real_release_is_replaced_or_named() {
    let Some(real) = std::env::var_os("PAAS_REAL_RELEASE") else {
        skip("the real release's secrets: PAAS_REAL_RELEASE names no folder of it");
        return;
    };
    let real = PathBuf::from(real);
    let desk = desk(real.to_str().unwrap());
    let secrets = places(&as_json(&desk).0);
    let place = |(component, file, _): (String, String, _)| (component, file);
    let wanted: Vec<_> = named().into_iter().map(place).collect();
    let found: Vec<_> = secrets.iter().cloned().map(place).collect();
    assert_eq!(found, wanted, "each is where it's looked for");

    assert!(assert_replaced_or_named(&real, &secrets) >= 15);
}

/// Panics unless every secret of a release is set by a job or among the named ones; returns how many
/// there are.
fn assert_replaced_or_named(release: &Path, named: &[(String, String, Option<u64>)]) -> usize {
    let set = set_keys();
    let suspicious = suspicious(release);
    for (path, line, key) in &suspicious {
        let file = path.strip_prefix(release).unwrap();
        let component = file.components().nth(1).unwrap().as_os_str();
        let component = component.to_str().unwrap().to_owned();
        let is_it = |(_, named, at): &(String, String, Option<u64>)| {
            Path::new(named) == file && *at == Some(*line as u64)
        };
        assert!(
            named.iter().any(is_it) || set.contains(&(component, key.clone())),
            "{}:{line}: {key} is neither set nor named",
            file.display()
        );
    }
    suspicious.len()
}

/// The same for the release in this repository.
#[test]
fn the_example_release_is_known_as_well() {
    let release = root().join("deploy/paas-release");
    let desk = desk(release.to_str().unwrap());
    let secrets = places(&as_json(&desk).0);
    assert!(assert_replaced_or_named(&release, &secrets) >= 1);
}
