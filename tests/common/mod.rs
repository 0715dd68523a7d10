//! What several test programs share: the cluster of config/cluster.yml, and running real programs.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod account;
pub mod cut;
pub mod deb;
pub mod debian;
pub mod desk;
pub mod example;
pub mod fleet;
pub mod ground;
pub mod looks;
pub mod loopback;
pub mod random;
pub mod rooms;
pub mod site;
pub mod sshd;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use paas_cluster_build::cluster_file::ClusterFile;
use paas_cluster_build::cluster_jobs;
use paas_cluster_build::job::{Catalog, Secrets};
use paas_cluster_build::model::Cluster;
use paas_cluster_build::script::{Values, render_site_template};
use paas_cluster_build::transport::{
    Connection, OnLock, StepCall, StepEnd, StepNews, StepRequest, TransportError,
};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Adds `--yes` to a command line that changes hosts, as there is no terminal to ask on; `remove`
/// says it itself.
pub fn with_yes<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let changes = |word: &&'a str| {
        let verbs = ["build", "bootstrap", "apply", "start", "stop", "restart"];
        verbs.contains(word)
    };
    let mut words = arguments.to_vec();
    let other = ["exec", "lab", "plan"].contains(&arguments[0]);
    if let Some(at) = arguments.iter().position(changes)
        && !other
        && !arguments.contains(&"--yes")
    {
        words.insert(at + 1, "--yes");
    }
    words
}

/// The built-in jobs.
pub fn catalog() -> Catalog {
    Catalog::new(cluster_jobs::all())
}

/// Reads and validates a cluster file of the repository.
pub fn cluster(path: &str, catalog: &Catalog) -> Cluster {
    let path = root().join(path);
    let text = fs::read_to_string(&path).unwrap();
    let (file, problems) = ClusterFile::parse(&path, &text);
    assert!(problems.is_empty(), "{problems:?}");
    Cluster::new(&file.unwrap(), &catalog.facts(), None).unwrap()
}

/// A secret that is recognised wherever it turns up.
pub fn secrets() -> Secrets {
    let names = [
        "postgres_password",
        "uaa_token_secret",
        "uaa_admin_password",
        "router_status_password",
        "health_manager_status_password",
        "bulk_api_password",
        "staging_password",
        "mysql_root_password",
    ];
    let secret = |name: &str| (name.to_owned(), "a-secret-of-the-tests".to_owned().into());
    Secrets::from(names.map(secret))
}

/// Runs a script in a real shell.
pub fn sh(script: &str) -> Output {
    let mut child = Command::new("sh")
        .arg("-s")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// A step to start, of run `r1`, with what the engine would say by default.
pub fn step_request<'a>(run: &'a str, step: &'a str, script: &'a str) -> StepRequest<'a> {
    StepRequest {
        run,
        step,
        script,
        receipt: r#"{"schema":1,"script":"print \"ü\"","run":"r1""#,
        settled_by: 0,
        holder: r#"{"operator":"ada","workstation":"desk","run":"r1","step":"nats"}"#,
        by: "ada at desk",
        redact: "",
        keep_script: false,
        on_lock: OnLock::Refuse,
        deadline: None,
        output_cap: 64 * 1024 * 1024,
        grace: Duration::from_secs(10),
    }
}

/// Starts a step and follows it; what else is heard than its output is passed over.
pub fn run_step<C: Connection + ?Sized>(
    connection: &mut C,
    request: &StepRequest<'_>,
    on_output: &mut dyn FnMut(&[u8]),
) -> Result<StepEnd, TransportError> {
    supervise(connection, &StepCall::Start(request.clone()), on_output)
}

/// Asks for a step and follows it; what else is heard than its output is passed over.
pub fn supervise<C: Connection + ?Sized>(
    connection: &mut C,
    call: &StepCall<'_>,
    on_output: &mut dyn FnMut(&[u8]),
) -> Result<StepEnd, TransportError> {
    connection.supervise(call, &mut |news| {
        if let StepNews::Output(bytes) = news {
            on_output(bytes);
        }
    })
}

/// Runs one line after the prelude, with `home` as the login user's; returns whether it succeeded
/// and what it printed.
pub fn after_prelude(home: &Path, line: &str) -> (bool, String) {
    let mut values = Values::new();
    values.set("paas_user", "root");
    values.set("paas_home", home.display().to_string());
    values.set("own_address", "127.0.0.1");
    let prelude = include_str!("../../cluster_jobs/prelude.sh");
    let prelude = render_site_template("prelude.sh", prelude, &values).unwrap();
    let edit = include_str!("../../cluster_jobs/edit.sh");
    let output = sh(&format!("{prelude}\n{edit}\n{line}\n"));
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Panics unless the real shellcheck finds nothing in these files.
pub fn assert_shellcheck_clean(files: &[PathBuf]) {
    assert_shellcheck_clean_but(files, &[]);
}

/// The same, but for some of its codes.
pub fn assert_shellcheck_clean_but(files: &[PathBuf], codes: &[&str]) {
    let output = Command::new("shellcheck")
        .args(["-s", "sh"])
        .args(codes.iter().flat_map(|code| ["-e", *code]))
        .args(files)
        .output()
        .expect("shellcheck is missing; install Debian's package shellcheck");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Compares a text with a golden file; with UPDATE_GOLDEN=1 the file is written instead.
pub fn assert_golden(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    assert!(
        golden == text,
        "{} differs from what is rendered now; look at the difference, then accept it with \
         UPDATE_GOLDEN=1\n--- now:\n{text}",
        path.display()
    );
}

/// Notes a test that can't run here, for bin/test to count.
pub fn skip(reason: &str) {
    eprintln!("SKIPPED {reason}");
    append("PAAS_TEST_SKIPS", reason);
}

/// Notes faults that were really injected, for bin/test to count.
pub fn injected(count: usize, what: &str) {
    println!("{count} {what}");
    append("PAAS_TEST_FAULTS", &format!("{count} {what}"));
}

/// Adds a line to the file that a variable names, if it does.
fn append(variable: &str, line: &str) {
    if let Some(path) = std::env::var_os(variable) {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
