//! What a cluster that somebody else built has for secrets is printed by nothing of `adopt`: not what
//! is found on a host, not what is to come in its place. The looks of all nine jobs run here, on a
//! release with secrets of its own; the real one's too, where PAAS_REAL_RELEASE names its folder.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{catalog, cluster, injected, root, secrets, sh, skip};
use paas_cluster_build::job::{Action, Context, Job};
use paas_cluster_build::plan::{
    Difference, Mode, Reason, Recognised, Recognition, RunIdentity, Stamp, Step, StepId, adoption,
    answers,
};
use paas_cluster_build::script::Values;

/// A secret that a build sets, everywhere.
const WANTED: &str = "a-secret-of-the-tests";

/// What stands in the release's files where a build sets a secret, by the lines' beginning.
const FOUND: &str = "hunter2-found-on-the-host";

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// A home with a copy of a release, in which every secret that a build sets is another one.
fn home(release: &Path) -> (tempfile::TempDir, usize) {
    let home = tempfile::tempdir().unwrap();
    copy(release, &home.path().join("paas-release.git"));
    let mut count = 0;
    let value = regex::Regex::new(
        r#"(?m)^( *(?:pass|password|auth_password|symmetric_secret|signing-key|verification-key): *)["']?[A-Za-z_0-9]+["']? *(\r?)$"#,
    )
    .unwrap();
    let user = regex::Regex::new(r"(?m)^( *- admin\|)\w+\|").unwrap();
    let url = regex::Regex::new(r"(://\w+:)\w+@").unwrap();
    let mut folders = vec![home.path().join("paas-release.git/jobs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "erb") {
                let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
                let text = value.replace_all(&text, format!("${{1}}{FOUND}$2"));
                let text = user.replace_all(&text, format!("${{1}}{FOUND}|"));
                let text = url.replace_all(&text, format!("${{1}}{FOUND}@"));
                // The bus has none in any file of a job without secrets; somebody gave it one.
                let text = match path.ends_with("dea.yml.erb") {
                    true => text
                        .replace("nats://", &format!("nats://bus:{FOUND}@"))
                        .into(),
                    false => text,
                };
                count += text.matches(FOUND).count();
                fs::write(&path, text.as_bytes()).unwrap();
            }
        }
    }
    (home, count)
}

/// The look at a job, with its health taken for granted.
fn look(job: &dyn Job, values: &Values) -> String {
    let script = job.recognise(values).unwrap().unwrap();
    let (before, after) = script.split_once("\nif ! said=$(check_health)").unwrap();
    format!(
        "{before}\ncheck_health() {{ :; }}\nneed_unit() {{ :; }}\nif ! said=$(check_health){after}"
    )
}

fn receipt(step: &str, script: &str, values: &Values) -> String {
    let run = RunIdentity {
        id: "r1".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    Stamp::new(step, "deploy", script, values, &run).open_json()
}

/// Looks at every job of the release in this folder; returns all that is ever shown or kept, and the
/// differences by job.
fn all_that_is_told(release: &Path) -> (String, Vec<(String, Vec<Difference>)>) {
    let catalog = catalog();
    let mut cluster = cluster("config/cluster.yml", &catalog);
    let (home, found) = home(release);
    assert!(found >= 8, "{found}");
    let place = paas_cluster_build::cluster_file::Place::new(1, 1);
    let path = home.path().to_str().unwrap().to_owned();
    cluster
        .vars
        .insert("paas_home".to_owned(), (path.into(), place));
    for host in &mut cluster.hosts {
        host.ssh.user = common::sshd::user();
    }
    let secrets = secrets();
    let mut told = String::new();
    let mut all = Vec::new();
    for component in &cluster.components {
        let instance = &component.instances[0];
        let context = Context {
            cluster: &cluster,
            component,
            instance,
            secrets: &secrets,
            site_packages: None,
        };
        let job = catalog.get(&component.name).unwrap();
        let values = job.values(&context).unwrap();
        let named = values.iter().filter(|(_, input)| input.secret);
        let compared = job.compared_secrets(&values);
        let look = Recognition {
            id: StepId {
                step: component.name.clone(),
                host: instance.address,
            },
            script: look(job, &values),
            compares: true,
            secrets: named
                .map(|(name, _)| name.to_owned())
                .filter(|name| !compared.contains(name))
                .collect(),
            of_release: true,
        };
        let question = &adoption(std::slice::from_ref(&look))[0];
        let output = sh(&question.script);
        let said = String::from_utf8(output.stdout).unwrap();
        told += &said;
        told += &String::from_utf8(output.stderr).unwrap();
        let one = answers(&said, &look).unwrap();
        told += &serde_json::to_string(&one).unwrap();
        let Recognised::Found { differs, .. } = one else {
            panic!("{}: {said}", component.name);
        };
        let script = job.render(Action::Deploy, &values).unwrap();
        let reason = Reason::Asked {
            what: "adopt".into(),
        };
        let step = Step {
            receipt: receipt(&component.name, &script, &values),
            ..Step::without_script(look.id.clone(), Mode::Query, reason)
        };
        for difference in &differs {
            told += &difference.words();
        }
        let receipts = Recognised::receipts(instance.address, &[(&step, &differs)]);
        told += &receipts.unwrap().script;
        all.push((component.name.clone(), differs));
    }
    (told, all)
}

fn assert_no_secret(release: &Path) -> Vec<(String, Vec<Difference>)> {
    let (told, all) = all_that_is_told(release);
    for secret in [WANTED, FOUND] {
        let at = told.find(secret);
        let around = at.map(|at| &told[at.saturating_sub(200)..at + secret.len()]);
        assert_eq!(around, None, "{secret} is told");
    }
    all
}

/// The keys that differ for a job, of which nothing is shown.
fn masked<'d>(all: &'d [(String, Vec<Difference>)], job: &str) -> Vec<&'d str> {
    let (_, differs) = all.iter().find(|(name, _)| name == job).unwrap();
    let key = |one: &'d Difference| match one {
        Difference::Setting {
            key,
            found: None,
            wanted: None,
            ..
        } => Some(key.as_str()),
        _ => None,
    };
    differs.iter().filter_map(key).collect()
}

#[test]
fn no_secret_is_told_by_the_looks_the_answers_or_the_receipts() {
    let all = assert_no_secret(&root().join("tests/fixtures/release"));
    assert!(masked(&all, "router").contains(&"status.pass"), "{all:?}");
    let uaa = masked(&all, "uaa");
    assert!(uaa.contains(&"jwt.token.signing-key"), "{all:?}");
    assert!(uaa.contains(&"scim.users"), "{all:?}");
    assert!(
        masked(&all, "cloud_controller_ng").contains(&"db.database"),
        "{all:?}"
    );
    assert_eq!(masked(&all, "dea_ng"), ["nats_uri"], "{all:?}");
    // An address is none, also in a file that holds secrets.
    let cc = masked(&all, "cloud_controller_ng");
    assert!(
        !cc.contains(&"message_bus_uri") && !cc.contains(&"uaa.url"),
        "{all:?}"
    );
    // What is no secret is shown.
    let (_, gateway) = all.iter().find(|(name, _)| name == "nats").unwrap();
    let shown = gateway.iter().any(|one| {
        one.words() == "jobs/nats/nats.yml.erb: net is 0.0.0.0, the build sets 10.1.59.160"
    });
    assert!(shown, "{gateway:?}");
    injected(9, "jobs with secrets of somebody else in their files");
}

#[test]
fn no_secret_of_the_real_release_is_told() {
    let Some(real) = std::env::var_os("PAAS_REAL_RELEASE") else {
        skip("adopting the real release: PAAS_REAL_RELEASE names no folder of it");
        return;
    };
    let all = assert_no_secret(&PathBuf::from(real));
    for (job, key) in [
        ("router", "status.pass"),
        ("uaa", "database.password"),
        ("health_manager", "status.password"),
        ("mysql_node", "mysql.5.5.pass"),
        ("mysql_gateway", "uaa_client_auth_credentials.password"),
        ("cloud_controller_ng", "bulk_api.auth_password"),
    ] {
        assert!(masked(&all, job).contains(&key), "{job} {key}: {all:?}");
    }
}

/// Secrets that stand in files are compared; a cluster file that says what is there changes nothing.
#[test]
fn a_secret_that_is_the_same_is_no_difference() {
    let release = root().join("tests/fixtures/release");
    let (_, all) = all_that_is_told(&release);
    let (_, router) = all.iter().find(|(name, _)| name == "router").unwrap();
    let unread = |one: &Difference| matches!(one, Difference::Secret { .. });
    assert!(!router.iter().any(unread), "{router:?}");
    let (_, postgres) = all.iter().find(|(name, _)| name == "postgres").unwrap();
    assert!(postgres.iter().any(unread), "{postgres:?}");
}

/// A command line may hold a password: a program is named by its paths alone.
#[test]
fn a_command_line_is_told_without_its_options() {
    let components = include_str!("../cluster_jobs/components.sh");
    let folder = tempfile::tempdir().unwrap();
    let output = sh(&format!(
        "set -eu\nPAAS_HOME=/nowhere RELEASE=/nowhere\n{components}\nmkfifo {pipe}\n\
         sh -c 'read -r _' sh --token {FOUND} /etc/hosts -p{FOUND} <>{pipe} &\n\
         until command_of $! | grep -q hosts; do sleep 0.1; done\ncommand_of $!\nkill $!\n",
        pipe = folder.path().join("pipe").display()
    ));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !said.contains(FOUND) && said.contains("sh /etc/hosts"),
        "{said}"
    );
}
