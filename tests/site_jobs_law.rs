//! A site's jobs are held to the law of the built-in ones when they are loaded: what is wrong with
//! them is told all at once, each at its place, before any host hears of it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::{injected, skip};
use paas_cluster_build::job::{Catalog, SiteJobError, read_by_shells};
use tempfile::TempDir;

const YML: &str = "values:\n  greeting: {var: greeting, default: hello}\n  tls: {value: true}\n\
                   units: [page]\n";

/// A folder with a cluster file whose jobs are in `jobs`.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// A cluster of one job `page` with these files.
    fn new(files: &[(&str, &str)]) -> Desk {
        let desk = Desk {
            folder: TempDir::new().unwrap(),
        };
        let cluster = "jobs_dir: jobs\ncomponents: [page]\nserver:\n  page: {ip: 127.0.0.1}\n";
        fs::write(desk.folder.path().join("cluster.yml"), cluster).unwrap();
        fs::create_dir_all(desk.job()).unwrap();
        for (name, text) in files {
            fs::write(desk.job().join(name), text).unwrap();
        }
        desk
    }

    fn job(&self) -> PathBuf {
        self.folder.path().join("jobs/page")
    }

    /// Runs the tool; returns its code and its standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"))
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .args(["-c", "cluster.yml"])
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), error)
    }

    fn check(&self) -> (i32, String) {
        self.run(&["check"])
    }

    /// What is told of the jobs without a shell, and by the shells.
    fn told(&self) -> (String, String) {
        let folder = self.folder.path().join("jobs");
        let read = Catalog::default().with_site_jobs(&folder);
        (
            self.text(&read.err().unwrap_or_default()),
            self.text(&read_by_shells(&folder)),
        )
    }

    fn text(&self, errors: &[SiteJobError]) -> String {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let here = self.folder.path().display().to_string();
        all.join("\n\n").replace(&format!("{here}/"), "")
    }
}

#[test]
fn a_value_that_could_become_code_ends_every_command_with_its_line() {
    let script = "echo ok\ngreeting=\"{{ greeting }}\"\necho \"$greeting\"\n";
    let desk = Desk::new(&[("job.yml", YML), ("page.sh", script)]);
    for arguments in [
        &["check"][..],
        &["plan", "--offline"],
        &["render", "--to", "scripts"],
        &["build", "--yes"],
        &["status"],
    ] {
        let (code, error) = desk.run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains("jobs/page/page.sh:2:11"), "{error}");
        assert!(error.contains("inside double quotes"), "{error}");
        assert!(!error.contains("error: error:"), "{error}");
    }
    injected(5, "commands on a template in which a value would be code");
    fs::write(desk.job().join("page.sh"), script.replace('"', "")).unwrap();
    assert_eq!(desk.check().0, 0, "{}", desk.check().1);
}

/// Both the file and the scripts, so that nobody has to come back for the next mistake.
#[test]
fn everything_that_is_wrong_with_a_job_is_told_at_once() {
    let yml = "\u{feff}needs:\n  - {job: nats, wy: messages}\nvalues:\n  greeting: {vra: x}\n  \
               own_address: {own_address: true}\n  off: {index: false}\n  both: {index: true, secret: x}\n\
               helth: []\nunits: [--now, page]\nhealth:\n  - curl localhost\n  - command: ''\n  - tcp: 70000\n\
               logs: [~/page.log]\n";
    let script = "echo '{{ greeting }}'\n{% if tls %}\necho {{ greeting|upper }}\n";
    let removal = "rm -rf \"/srv/{{ own_address }}\"\nrm {{ greeting }}\n";
    let desk = Desk::new(&[
        ("job.yml", yml),
        ("page.sh", script),
        ("page.remove.sh", removal),
    ]);
    let (told, _) = desk.told();
    insta::assert_snapshot!(told);
    let (code, error) = desk.check();
    assert_eq!(code, 2);
    for file in ["job.yml", "page.sh", "page.remove.sh"] {
        assert!(error.contains(&format!("jobs/page/{file}:")), "{error}");
    }
}

#[test]
fn a_value_that_is_not_declared_is_told_with_the_nearest_one() {
    let script =
        "echo {{ greting }} {{ paas_home }}\n{% for x in colours %}\necho {{ x }}\n{% endfor %}\n";
    let desk = Desk::new(&[("job.yml", YML), ("page.sh", script)]);
    let (told, _) = desk.told();
    assert!(told.contains("jobs/page/page.sh:1:6"), "{told}");
    assert!(told.contains("there is no value `greting`"), "{told}");
    assert!(told.contains("did you mean `greeting`?"), "{told}");
    assert!(told.contains("there is no value `colours`"), "{told}");
    assert!(told.contains("declare it under `values`"), "{told}");
    assert!(!told.contains("`x`"), "{told}");
    injected(2, "values that no job.yml declares");
}

/// Each branch is read, also one that no cluster file has taken yet.
#[test]
fn the_shell_reads_every_branch_before_a_host_does() {
    let good =
        "echo 1\n{% if tls %}\necho 2\n{% else %}\nif true; then echo 3\n{% endif %}\necho 4\n";
    let desk = Desk::new(&[
        (
            "job.yml",
            "values: {tls: {value: true}}\nunits: [page]\nleader: 'if true'\nhealth:\n  \
             - command: pg_isready\n  - command: test \"a\n",
        ),
        ("page.sh", good),
        ("page.remove.sh", "done\n"),
    ]);
    let (told, by_shells) = desk.told();
    assert_eq!(told, "");
    for part in [
        "jobs/page/job.yml:3:9",
        "jobs/page/job.yml:6:14",
        "jobs/page/page.sh:",
        "jobs/page/page.remove.sh:1:1",
        "the shell can't read this command",
        "the shell can't read this script",
    ] {
        assert!(by_shells.contains(part), "{part}:\n{by_shells}");
    }
    assert!(!by_shells.contains("job.yml:5"), "{by_shells}");
    for arguments in [
        &["check"][..],
        &["plan", "--offline"],
        &["render", "--to", "scripts"],
        &["build", "--yes"],
    ] {
        assert_eq!(desk.run(arguments).0, 2, "{arguments:?}");
    }
    injected(4, "scripts and commands that no shell can read");
    // Who only looks, or has to end something, isn't kept from it.
    let (_, error) = desk.run(&["runs"]);
    assert!(!error.contains("the shell can't read"), "{error}");
}

#[test]
fn what_shellcheck_calls_an_error_is_told_at_its_line() {
    if std::process::Command::new("shellcheck")
        .arg("--version")
        .output()
        .is_err()
    {
        return skip("shellcheck isn't installed");
    }
    let script =
        "x={{ greeting }}\n{% if tls %}\nfor i in \"$x\"; do echo \"$i\"; done\n{% endif %}\n";
    let desk = Desk::new(&[("job.yml", YML), ("page.sh", script)]);
    let (_, by_shells) = desk.told();
    assert!(by_shells.contains("jobs/page/page.sh:3:1"), "{by_shells}");
    assert!(by_shells.contains("shellcheck: "), "{by_shells}");
    assert!(by_shells.contains("SC2066"), "{by_shells}");
    // A value stands for anything: nothing is concluded from it, and advice isn't an error.
    let fine = "x={{ greeting }}\nif [ {{ greeting }} -gt 2 ] || [ -n {{ greeting }} ]; then echo $x; fi\n";
    fs::write(desk.job().join("page.sh"), fine).unwrap();
    assert_eq!(desk.told(), (String::new(), String::new()));
    assert_eq!(desk.check().0, 0, "{}", desk.check().1);
}

/// What looks like a template and is none would reach the host as it is.
#[test]
fn a_mark_in_a_command_of_job_yml_is_told() {
    let yml = "values: {port: {value: 80}}\nunits: [page]\nhealth:\n  \
               - command: curl -s localhost:{{ port }}\nleader: test {{ port }} = 80\nlogs: ['/var/{{ port }}']\n";
    let desk = Desk::new(&[("job.yml", yml), ("page.sh", "echo {{ port }}\n")]);
    let (told, _) = desk.told();
    assert_eq!(told.matches("job.yml is no template").count(), 3, "{told}");
    assert!(told.contains("jobs/page/job.yml:4:14"), "{told}");
    injected(3, "values in places that are no template");
}

#[test]
fn files_under_another_name_or_from_another_system_are_told() {
    for (files, said) in [
        (
            &[("job.yaml", YML), ("page.sh", "true\n")][..],
            "there is job.yaml; rename it",
        ),
        (
            &[("job.yml", YML), ("install.sh", "true\n")],
            "there is install.sh; rename it",
        ),
        (
            &[
                ("job.yml", YML),
                ("page.sh", "true\n"),
                ("remove.sh", "true\n"),
            ],
            "the way back of this job is named page.remove.sh",
        ),
        (
            &[("job.yml", YML), ("page.sh", "true\r\necho x\r\n")],
            "jobs/page/page.sh:1:5",
        ),
        (
            &[("job.yml", YML), ("page.sh", "true\0\n")],
            "a NUL character",
        ),
        (
            &[
                ("job.yml", "values:\n\ta: {index: true}\n"),
                ("page.sh", "true\n"),
            ],
            "a tab indents this line",
        ),
    ] {
        let desk = Desk::new(files);
        let (told, _) = desk.told();
        assert!(told.contains(said), "{said}:\n{told}");
        assert_eq!(desk.check().0, 2);
    }
    injected(6, "job folders with a misnamed or foreign file");
    // A byte order mark and the line ends of Windows are nothing that YAML minds.
    let desk = Desk::new(&[
        ("job.yml", &format!("\u{feff}{}", YML.replace('\n', "\r\n"))),
        ("page.sh", "\u{feff}true\n"),
    ]);
    assert_eq!(desk.told(), (String::new(), String::new()));
}

#[test]
fn a_folder_of_jobs_that_is_not_there_is_told_at_its_line() {
    let desk = Desk::new(&[]);
    fs::remove_dir_all(desk.folder.path().join("jobs")).unwrap();
    let (code, error) = desk.check();
    assert_eq!(code, 2);
    assert!(error.contains("cluster.yml:1:11"), "{error}");
    assert!(error.contains("No such file or directory"), "{error}");
    assert_eq!(error.matches("error:").count(), 1, "{error}");
    fs::write(desk.folder.path().join("jobs"), "").unwrap();
    let (code, error) = desk.check();
    assert_eq!(code, 2);
    assert!(error.contains("cluster.yml:1:11"), "{error}");
    assert!(error.contains("Not a directory"), "{error}");
    injected(2, "folders of jobs that aren't there");
}

/// The built-in templates are read the same way, so that a site may begin with one of them.
#[test]
fn every_branch_of_a_built_in_template_is_shell() {
    let jobs = common::root().join("cluster_jobs");
    let folder = TempDir::new().unwrap();
    let mut count = 0;
    for entry in fs::read_dir(jobs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let template = path.join(format!("{name}.sh"));
        if !template.exists() {
            continue;
        }
        let text = fs::read_to_string(&template).unwrap();
        let job = folder.path().join(name);
        fs::create_dir(&job).unwrap();
        fs::write(job.join(format!("{name}.sh")), text).unwrap();
        fs::write(job.join("job.yml"), declared(&template)).unwrap();
        count += 1;
    }
    assert!(count >= 15, "{count}");
    let read = Catalog::default().with_site_jobs(folder.path());
    let wrong: Vec<String> = read
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let wrong: Vec<String> = read_by_shells(folder.path())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A job.yml that declares what a template names.
fn declared(template: &Path) -> String {
    let text = fs::read_to_string(template).unwrap();
    let named = regex::Regex::new(r"\{\{ (\w+)|\{% if (\w+)|\{% for \w+ in (\w+)").unwrap();
    let names: std::collections::BTreeSet<&str> = named
        .captures_iter(&text)
        .filter_map(|found| (1..4).find_map(|at| found.get(at)))
        .map(|name| name.as_str())
        .filter(|name| !["paas_user", "paas_home", "own_address"].contains(name))
        .collect();
    let values = names.iter().map(|name| format!("  {name}: {{value: x}}\n"));
    match names.is_empty() {
        true => "units: [x]\n".to_owned(),
        false => format!("units: [x]\nvalues:\n{}", values.collect::<String>()),
    }
}
