//! The binary as a user calls it: what it prints and how it ends. Nothing here contacts any address
//! but the loopback one.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder with a cluster file, and a state folder.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(text: &str) -> Desk {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("cluster.yml"), text).unwrap();
        Desk { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("cluster.yml")
    }

    /// Runs the tool; returns code, standard output and standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"))
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("PAAS_CLUSTER_FILE")
            .args(["-c", "cluster.yml"])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

fn seed() -> Desk {
    Desk::new(include_str!("fixtures/seed-cluster.yml"))
}

/// A cluster of one host at a loopback port where nothing listens.
fn closed() -> Desk {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    Desk::new(&format!(
        "components: [redis]\njobs_dir: {}/tests/fixtures/site-jobs\nssh: {{port: {port}}}\n\
         server:\n  redis:\n    ip: 127.0.0.1\n",
        env!("CARGO_MANIFEST_DIR")
    ))
}

fn example_release() -> String {
    format!("{}/deploy/paas-release", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_seeds_file_works_as_it_is() {
    // The text in the seed document, byte for byte.
    let digest = paas_cluster_build::plan::sha256_hex(include_bytes!("fixtures/seed-cluster.yml"));
    assert_eq!(
        digest,
        "03f20f2194aa20bb68a3c65c620505fcf67d1e8ff90061bf115a69b6a33f5814"
    );
    let desk = seed();
    let (code, out, _) = desk.run(&["check"]);
    assert_eq!(code, 0);
    assert!(out.contains("9 components on 11 hosts"), "{out}");
    assert!(out.contains("no release is named"), "{out}");

    let (code, out, _) = desk.run(&["plan", "--offline", "--output", "json"]);
    assert_eq!(code, 0);
    let steps: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(steps.len(), 24);
    assert_eq!(
        steps[23]["summary"],
        serde_json::json!({
            "cluster": "cluster", "operation": "build", "steps": 23, "to_run": 23, "to_skip": 0,
        })
    );
    let steps = &steps[..23];
    let mut stages: Vec<&str> = steps.iter().map(|s| s["stage"].as_str().unwrap()).collect();
    stages.dedup();
    let expected = [
        "bootstrap",
        "nats",
        "router",
        "postgres",
        "uaa",
        "cloud_controller_ng",
        "health_manager",
        "dea_ng",
        "mysql_gateway",
        "mysql_node",
    ];
    assert_eq!(stages, expected);

    let (code, out, _) = desk.run(&["--release", &example_release(), "render", "--to", "scripts"]);
    assert_eq!(code, 0, "{out}");
    let scripts = desk.folder.path().join("scripts/10.1.59.176");
    let node = fs::read_to_string(scripts.join("09-mysql_node.sh")).unwrap();
    assert!(node.contains("edit plain node_id mysql_node_1\n"), "{node}");
    let values = fs::read_to_string(scripts.join("09-mysql_node.values.yml")).unwrap();
    assert!(values.contains("nats_ip: 10.1.59.160"), "{values}");
    let uaa = desk
        .folder
        .path()
        .join("scripts/10.1.59.187/04-uaa.values.yml");
    assert!(
        fs::read_to_string(uaa)
            .unwrap()
            .contains("postgres_password: <postgres_password>")
    );
    let (code, _, error) = desk.run(&["render", "--to", "scripts"]);
    assert_eq!(code, 2, "what is there is not overwritten");
    assert!(error.contains("isn't empty"), "{error}");
}

#[test]
fn a_build_without_a_release_says_who_needs_one_and_how_to_name_it() {
    let (code, _, error) = seed().run(&["build"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("no release is named, and nats, router, postgres"),
        "{error}"
    );
    assert!(error.contains("--release PATH"), "{error}");
    let (code, _, error) = seed().run(&["--release", "https://x.example/r.tar.gz", "build"]);
    assert_eq!(code, 2);
    assert!(error.contains("needs its digest"), "{error}");
    let (code, _, error) = seed().run(&["--release", "no/such/folder", "build"]);
    assert_eq!(code, 2);
    assert!(error.contains("no/such/folder can't be read"), "{error}");
}

/// A socket that waits where the cluster's host should be has seen nobody come.
#[test]
fn what_needs_no_host_contacts_none() {
    let waiting = TcpListener::bind("127.0.0.1:0").unwrap();
    waiting.set_nonblocking(true).unwrap();
    let port = waiting.local_addr().unwrap().port();
    let desk = Desk::new(&format!(
        "components: [nats]\nssh: {{port: {port}}}\nserver: {{nats: {{ip: 127.0.0.1}}}}\n"
    ));
    for (arguments, expected) in [
        (&["check"][..], 0),
        (&["plan", "--offline"], 0),
        (&["render", "--to", "scripts"], 0),
        (&["build"], 2),
        (&["bootstrap"], 2),
        (&["build", "nast"], 2),
        (&["--release", "nowhere", "build"], 2),
    ] {
        let (code, out, error) = desk.run(arguments);
        assert_eq!(code, expected, "{arguments:?}: {out}{error}");
        let contact = waiting.accept().err().map(|error| error.kind());
        assert_eq!(contact, Some(ErrorKind::WouldBlock), "{arguments:?}");
    }
}

#[test]
fn bad_input_ends_with_2_and_says_what_to_do() {
    let desk = seed();
    let (code, _, error) = desk.run(&["routr"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("no component `routr`") && error.contains("`router`"),
        "{error}"
    );
    let (code, _, error) = desk.run(&["staus"]);
    assert_eq!(code, 2);
    assert!(error.contains("`status`"), "a misspelt subcommand: {error}");
    let (code, _, error) = desk.run(&["biuld"]);
    assert_eq!(code, 2);
    assert!(error.contains("`build`"), "a misspelt subcommand: {error}");
    let (code, _, error) = desk.run(&["build", "router", "--limit", "10.1.59.1"]);
    assert_eq!(code, 2);
    assert!(
        !error.contains("subcommand"),
        "what is known is not misspelt: {error}"
    );
    let (code, _, error) = desk.run(&["plan", "--ofline"]);
    assert_eq!(code, 2);
    assert!(error.contains("'--offline'"), "{error}");
    let (code, _, error) = desk.run(&["exec", "uptime"]);
    assert_eq!(code, 2, "a command line stands after --: {error}");
    let (code, _, error) = desk.run(&["plan", "--offline", "--limit", "10.1.59.1"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("no component or host `10.1.59.1`"),
        "{error}"
    );
    let (code, _, error) = desk.run(&["--forks", "0"]);
    assert_eq!(code, 2, "{error}");
    fs::remove_file(desk.file()).unwrap();
    let (code, _, error) = desk.run(&["check"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("cluster.yml can't be read") && error.contains("-c FILE"),
        "{error}"
    );
}

#[test]
fn every_problem_of_the_file_is_shown_at_once() {
    let desk = Desk::new(
        "nats: 10.1.59.189\ncomponents: [nats, router, uua]\nserver:\n  nats: {ip: 10.1.59.160}\n  \
         router: {ip: 10.1.59.1888, max_in_fligth: 1}\n  uua: {ip: 10.1.59.3}\n",
    );
    let (code, out, error) = desk.run(&["check"]);
    assert_eq!((code, out.as_str()), (2, ""));
    insta::assert_snapshot!(error);
}

#[test]
fn problems_of_site_jobs_dont_hide_those_of_the_file() {
    let desk =
        Desk::new("jobs_dir: nowhere\ncomponents: [mine]\nserver: {mine: {ip: 10.1.59.1888}}\n");
    let (code, _, error) = desk.run(&["check"]);
    assert_eq!(code, 2);
    assert!(error.contains("nowhere"), "{error}");
    assert!(error.contains("10.1.59.1888"), "{error}");
}

#[test]
fn unreachable_hosts_end_with_3_before_anything_is_changed() {
    let desk = closed();
    for arguments in [
        &["build"][..],
        &["plan"],
        &["status"],
        &["exec", "--", "true"],
        &["bootstrap"],
    ] {
        let (code, out, error) = desk.run(arguments);
        assert_eq!(code, 3, "{arguments:?}: {out}{error}");
        assert!(
            format!("{out}{error}").contains("nothing listens on port"),
            "{out}{error}"
        );
    }
    let (_, _, error) = desk.run(&["build"]);
    assert!(
        error.contains("nothing was changed") && error.contains("--limit"),
        "{error}"
    );
    assert!(
        !desk
            .folder
            .path()
            .join("state/paas-cluster-build/cluster/runs/latest")
            .exists(),
        "only what was asked with exec is kept"
    );
}

#[test]
fn what_only_controls_says_why_a_host_is_unreachable_and_ends_with_3() {
    let desk = closed();
    for command in ["start", "stop", "restart"] {
        let (code, out, error) = desk.run(&[command, "--yes"]);
        assert_eq!(code, 3, "{command}: {out}{error}");
        assert!(
            out.contains("nothing listens on port"),
            "{command}: {out}{error}"
        );
    }
}

#[test]
fn json_is_the_only_thing_on_standard_output_when_asked_for() {
    let desk = closed();
    for arguments in [
        &["plan"][..],
        &["status"],
        &["exec", "--", "true"],
        &["stop", "--yes"],
    ] {
        let (code, out, error) = desk.run(&[&["--output", "json"], arguments].concat());
        assert_eq!(code, 3, "{arguments:?}: {out}{error}");
        assert!(!out.is_empty(), "{arguments:?}: {error}");
        for line in out.lines() {
            let value: Result<serde_json::Value, _> = serde_json::from_str(line);
            assert!(value.is_ok(), "{arguments:?}: {line}");
        }
    }
}

#[test]
fn help_has_examples_and_the_exit_codes() {
    let (code, out, _) = seed().run(&["--help"]);
    assert_eq!(code, 0);
    for part in [
        "Examples:",
        "redeploy two components",
        "Exit codes:",
        "3    hosts unreachable",
        "4    locked by another run",
        "130  cancelled",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn the_schema_in_the_repository_is_the_one_that_is_printed() {
    let (code, out, _) = seed().run(&["schema"]);
    assert_eq!(code, 0);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/cluster.schema.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &out).unwrap();
    }
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        out,
        "accept it with UPDATE_GOLDEN=1"
    );
}

#[test]
fn completions_are_printed() {
    let (code, out, _) = seed().run(&["completions", "bash"]);
    assert_eq!(code, 0);
    assert!(out.contains("paas-cluster-build"));
}
