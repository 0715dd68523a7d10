//! A release that the hosts fetch by themselves, on machines of the lab. Needs root and what `lab up`
//! asks for; counted as skipped elsewhere.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::example::cluster_text;
use common::root;
use common::site::Site;

/// The host fetches a release by itself: an archive at a URL, checked, or a git repository. A new
/// release replaces the old one, and the component that was configured in it follows.
#[test]
fn a_release_is_fetched_by_the_host_itself() {
    let file = "config/four-machines.yml";
    let text = cluster_text(file, "e2e-url", "10.1.60.", "10.77.61.");
    let Some(site) = Site::prepared(&text, |_| ()) else {
        return;
    };
    site.succeeds(&["lab", "up"]);
    let served = site.path("served");
    let repository = root().join("deploy/paas-release");
    let program = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (served_text, repository) = (
        served.display().to_string(),
        repository.display().to_string(),
    );
    let archive = format!("{served_text}/release.tar.gz");
    let (work, bare) = (
        format!("{served_text}/work"),
        format!("{served_text}/release.git"),
    );
    fs::create_dir(&served).unwrap();
    // It brings its own micro-paas, as `--release` names nothing else.
    let packages = Path::new(&repository).with_file_name("micro-paas");
    program("cp", &["-r", &repository, &work]);
    program(
        "cp",
        &[
            "-r",
            packages.to_str().unwrap(),
            &format!("{work}/micro-paas"),
        ],
    );
    // With a folder of its own on top, as archives of a tag have it.
    program(
        "tar",
        &[
            "-czf",
            &archive,
            "--transform",
            "s,^./,release-1/,",
            "-C",
            &work,
            ".",
        ],
    );
    let digest = program("sha256sum", &[&archive])[..64].to_owned();
    program("git", &["-C", &work, "init", "-q"]);
    program("git", &["-C", &work, "add", "-A"]);
    let author = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    program(
        "git",
        &[&["-C", &work], &author[..], &["commit", "-qm", "one"]].concat(),
    );
    program("git", &["-C", &work, "tag", "v1"]);
    program("git", &["clone", "-q", "--bare", &work, &bare]);
    program("git", &["-C", &bare, "update-server-info"]);

    // The bridge's own address is the machines' gateway.
    let gateway = "10.77.61.254";
    let mut server = Command::new("python3")
        .args([
            "-u",
            "-m",
            "http.server",
            "--bind",
            gateway,
            "--directory",
            &served_text,
            "0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port = line
        .split("port ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let url = format!("http://{gateway}:{port}");

    let limit = ["--limit", "10.77.61.11"];
    let release = |named: &str| {
        [&["--release", named, "build"][..], &limit]
            .concat()
            .join(" ")
    };
    let build = |named: &str| {
        let line = release(named);
        site.run(
            &[
                &line.split(' ').collect::<Vec<_>>()[..],
                &["--output", "plain"],
            ]
            .concat(),
        )
    };
    let wrong = build(&format!("{url}/release.tar.gz#sha256={}", "0".repeat(64)));
    let right = build(&format!("{url}/release.tar.gz#sha256={digest}"));
    let git = format!("    git: {url}/release.git\n    ref: v1\n");
    let text = fs::read_to_string(&site.file).unwrap();
    fs::write(
        &site.file,
        text.replace(&format!("    path: {repository}\n"), &git),
    )
    .unwrap();
    let by_git = site.run(&["build", "--limit", "10.77.61.11", "--output", "plain"]);
    let again = site.run(&["build", "--limit", "10.77.61.11", "--output", "json"]);
    server.kill().unwrap();
    server.wait().unwrap();

    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(said(&wrong).contains("but 0000"), "{}", said(&wrong));
    assert_eq!(right.status.code(), Some(0), "{}", said(&right));
    assert!(
        said(&right).contains("paas-release: installed"),
        "{}",
        said(&right)
    );
    assert_eq!(by_git.status.code(), Some(0), "{}", said(&by_git));
    assert!(
        said(&by_git).contains("paas-release: installed"),
        "{}",
        said(&by_git)
    );
    assert!(
        said(&by_git).contains("nats: succeeded"),
        "its configuration is new:\n{}",
        said(&by_git)
    );
    assert_eq!(again.status.code(), Some(0));
    assert!(!said(&again).contains("step_started"), "{}", said(&again));
}
