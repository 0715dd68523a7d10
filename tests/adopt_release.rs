//! Whether the release on a host that somebody else prepared is the one that the cluster file names:
//! the same is left alone by whatever bootstrap does later, another one is told with its version and
//! its files, and everything is set anew in the one that takes its place. Real sshds on loopback; needs
//! root, and is counted as skipped elsewhere.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::loopback::{Loopback, alone_with_the_bus};
use common::{injected, root};
use serde_json::Value;

/// A host with a release at its place, which nobody has prepared, and the same release here.
fn start() -> Option<Loopback> {
    let loopback = Loopback::start(1)?;
    fs::create_dir_all(loopback.path("jobs")).unwrap();
    ok(Command::new("cp")
        .arg("-r")
        .arg(root().join("tests/fixtures/plain-release"))
        .arg(loopback.path("release")));
    let bin = loopback.path("release/bin/paas");
    let text = fs::read_to_string(&bin).unwrap();
    let version = "component=$1\nif [ \"$1\" = version ]; then echo 0.1.2; exit; fi\n";
    fs::write(&bin, text.replace("component=$1\n", version)).unwrap();
    Some(loopback)
}

fn ok(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn cluster(loopback: &Loopback, release: &str, more: &str) -> PathBuf {
    loopback.file(
        "cluster.yml",
        &format!(
            "name: byhand\nrelease: {{paas_release: {{{release}}}}}\n{more}\
             components: [nats]\nserver: {{nats: {{ip: 127.0.0.71}}}}\n"
        ),
    )
}

fn path_of(loopback: &Loopback) -> String {
    format!("path: {}", loopback.path("release").display())
}

fn on(loopback: &Loopback, file: &Path, command: &str) -> String {
    loopback.succeeds(file, "by-hand", &["exec", "--root", "--", command])
}

/// Puts the release there by hand, with the bus on the host's own address, and starts the bus.
fn by_hand(loopback: &Loopback, file: &Path) {
    let release = loopback.path("release");
    on(
        loopback,
        file,
        &format!(
            "cp -r {} /root/paas-release.git && cd /root && \
             sed -i 's/net: .*/net: 127.0.0.71/' paas-release.git/jobs/nats/nats.yml.erb && \
             HOME=/root paas-release.git/bin/paas nats start >/dev/null 2>&1 </dev/null\n\
             n=0; until bash -c 'exec 3<>/dev/tcp/127.0.0.71/4222' 2>/dev/null; do \
             n=$((n + 1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done",
            release.display()
        ),
    );
}

fn receipt(loopback: &Loopback, step: &str) -> Value {
    let text = loopback.text_on(0, &format!("receipts/{step}.json"));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// What was set by hand lies in the release's files; a bootstrap that runs for another reason mustn't
/// put pristine ones in their place.
#[test]
fn the_same_release_stays_whatever_bootstrap_does_later() {
    let _alone = alone_with_the_bus();
    let Some(loopback) = start() else {
        return;
    };
    let file = cluster(&loopback, &path_of(&loopback), "");
    by_hand(&loopback, &file);
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    assert!(said.contains("bootstrap on 127.0.0.71: found\n"), "{said}");
    let settings = "cat /root/paas-release.git/jobs/nats/nats.yml.erb";
    let before = on(&loopback, &file, settings);
    assert!(before.contains("net: 127.0.0.71\n"), "{before}");
    let said = loopback.succeeds(&file, "state", &["bootstrap", "--force", "--yes"]);
    assert!(said.contains("ok"), "{said}");
    assert_eq!(on(&loopback, &file, settings), before);
    let plan = loopback.succeeds(&file, "state", &["plan"]);
    assert!(plan.contains("adopted, unchanged"), "{plan}");
}

#[test]
fn another_release_is_told_with_version_and_files_and_everything_is_set_anew() {
    let _alone = alone_with_the_bus();
    let Some(loopback) = start() else {
        return;
    };
    let file = cluster(&loopback, &path_of(&loopback), "");
    by_hand(&loopback, &file);
    on(
        &loopback,
        &file,
        "cd /root/paas-release.git && sed -i s/0.1.2/0.1.1/ bin/paas && echo >>lib/service && \
         mkdir -p /root/build_dir && echo stale >/root/build_dir/.paas-release",
    );
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    let differs = "bootstrap on 127.0.0.71: found; differs\n  the release there (0.1.1) is another \
                   than the cluster file's, in bin/paas, lib/service; the build replaces it\n";
    assert!(said.contains(differs), "{said}");
    let anew = "nats on 127.0.0.71: found; differs\n  the build puts the cluster file's release \
                there, and sets everything in it\n";
    assert!(said.contains(anew), "{said}");
    let plan = loopback.succeeds(&file, "state", &["plan"]);
    assert!(plan.contains("2 to run, 0 to skip"), "{plan}");
    assert!(
        plan.contains("adopted; differs: the release there (0.1.1)"),
        "{plan}"
    );
    // Bootstrap replaces it, though there was a mark.
    loopback.succeeds(&file, "state", &["bootstrap", "--yes"]);
    let version = on(
        &loopback,
        &file,
        "HOME=/root /root/paas-release.git/bin/paas version",
    );
    assert!(version.contains("0.1.2"), "{version}");
    assert_eq!(receipt(&loopback, "bootstrap")["adopted"], Value::Null);
    let plan = loopback.succeeds(&file, "state", &["plan"]);
    assert!(plan.contains("1 to run, 1 to skip"), "{plan}");
    injected(2, "files of another release on a host");
}

#[test]
fn missing_packages_are_a_difference_and_a_missing_release_makes_all_anew() {
    let _alone = alone_with_the_bus();
    let Some(loopback) = start() else {
        return;
    };
    let more = "packages: [pcb-no-such-package]\n";
    let file = cluster(&loopback, &path_of(&loopback), more);
    by_hand(&loopback, &file);
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    let differs = "bootstrap on 127.0.0.71: found; differs\n  packages are missing: \
                   pcb-no-such-package; the build installs them\nnats on 127.0.0.71: found\n";
    assert!(said.contains(differs), "{said}");

    // A service goes on without the release by which it was started.
    fs::remove_dir_all(loopback.on(0, "receipts")).unwrap();
    on(&loopback, &file, "chmod -x /root/paas-release.git/bin/paas");
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    assert!(
        said.contains("bootstrap on 127.0.0.71: not recognised, gets no receipt: "),
        "{said}"
    );
    assert!(
        said.contains("  the build puts the cluster file's release there"),
        "{said}"
    );
    assert_eq!(receipt(&loopback, "bootstrap"), Value::Null);
    let differs = &receipt(&loopback, "nats")["adopted"][0]["differs"];
    assert_eq!(differs, "new_release");
    injected(2, "machines that are prepared in part");
}

#[test]
fn a_clone_is_compared_with_what_the_cluster_file_names_and_what_cannot_be_is_taken_for_it() {
    let _alone = alone_with_the_bus();
    let Some(loopback) = start() else {
        return;
    };
    let git = |words: &[&str]| {
        let who = ["-c", "user.name=t", "-c", "user.email=t@t.example"];
        ok(Command::new("git")
            .arg("-C")
            .arg(loopback.path("release"))
            .args(who)
            .args(words));
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    let release = "git: 'https://git.example/paas', ref: main";
    let file = cluster(&loopback, release, "");
    by_hand(&loopback, &file);
    // The edited file is no difference; another one is.
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    assert!(said.contains("bootstrap on 127.0.0.71: found\n"), "{said}");
    let mark = on(&loopback, &file, "cat /root/build_dir/.paas-release");
    assert!(mark.contains("https://git.example/paas main"), "{mark}");
    fs::remove_dir_all(loopback.on(0, "receipts")).unwrap();
    on(
        &loopback,
        &file,
        "echo >>/root/paas-release.git/lib/service",
    );
    let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
    let differs =
        "the release there (0.1.2) is another than the cluster file's, in lib/service; the";
    assert!(said.contains(differs), "{said}");

    for release in [
        "git: 'https://git.example/paas', ref: v9",
        "url: 'https://releases.example/paas.tar.gz', sha256: \
         '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'",
    ] {
        fs::remove_dir_all(loopback.on(0, "receipts")).unwrap();
        let file = cluster(&loopback, release, "");
        let said = loopback.succeeds(&file, "state", &["adopt", "--yes"]);
        let taken = "bootstrap on 127.0.0.71: found\n  the release there can't be compared with the \
                     cluster file's, and is taken for it\n";
        assert!(said.contains(taken), "{said}");
    }
}
