//! Passwords that the tool makes: one for a cluster, whoever runs it from wherever, and none made
//! while one may exist. Real sshds on loopback; needs root, and is counted as skipped elsewhere.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::loopback::Loopback;
use common::{assert_golden, assert_shellcheck_clean, injected, root};
use paas_cluster_build::plan::{ClusterNote, HostFacts, Keepsake};

/// Notes the token that it was given; the tool has kept it before.
const SCRIPT: &str = "TOKEN={{ token }}\nset -- \"$PAAS_ROOT\"/secrets/*/token\n\
                      test -f \"$1\"\nprintf '%s\\n' \"$TOKEN\" >\"$PAAS_ROOT/used\"\n";

const BUILD: [&str; 2] = ["build", "--yes"];

fn site(hosts: usize) -> Option<(Loopback, PathBuf)> {
    let loopback = Loopback::start(hosts)?;
    loopback.job("svc", "values: {token: {secret: token}}\n", SCRIPT);
    let addresses: Vec<String> = (0..hosts).map(Loopback::address).collect();
    let text = format!(
        "name: kept\ncomponents: [svc]\nserver: {{svc: {{ip: [{}]}}}}\n",
        addresses.join(", ")
    );
    let file = loopback.file("cluster.yml", &text);
    Some((loopback, file))
}

/// The files below a folder whose name is a secret's.
fn tokens(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map_while(Result::ok)
    {
        let path = entry.path();
        if path.is_dir() {
            found.extend(tokens(&path));
        } else if path.file_name().is_some_and(|name| name == "token") {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_only_looks_makes_no_secret_and_a_run_keeps_it_on_every_keeper() {
    let Some((loopback, file)) = site(2) else {
        return;
    };
    let to = loopback.path("rendered");
    for command in [
        &["plan"][..],
        &["plan", "--offline"],
        &["status"],
        &["check"],
        &["render", "--to", to.to_str().unwrap()],
    ] {
        let (code, said) = loopback.run(&file, "mine", command);
        assert!(code == 0 || command[0] == "status", "{command:?}: {said}");
        assert!(tokens(&loopback.path("mine")).is_empty(), "{command:?}");
        for host in 0..2 {
            assert!(!loopback.on(host, "secrets").exists(), "{command:?}");
        }
    }
    loopback.succeeds(&file, "mine", &BUILD);
    let used = loopback.text_on(0, "used");
    assert_eq!(used.trim().len(), 32, "{used}");
    for host in 0..2 {
        assert_eq!(loopback.text_on(host, "used"), used);
        let kept = tokens(&loopback.on(host, "secrets"));
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(fs::read_to_string(&kept[0]).unwrap(), used);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kept[0]), 0o600);
        assert_eq!(mode(kept[0].parent().unwrap()), 0o700);
    }
    // The workstation burns: from another one nothing has changed, and what is forced is the same.
    let plan = loopback.succeeds(&file, "far", &["plan"]);
    assert!(plan.contains("unchanged"), "{plan}");
    loopback.succeeds(&file, "far", &["build", "--yes", "--force"]);
    for host in 0..2 {
        assert_eq!(loopback.text_on(host, "used"), used);
    }
    // A secret that the file says isn't kept, and what was made before is stale.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}vars: {{token: said by the file}}\n")).unwrap();
    loopback.job(
        "svc",
        "values: {token: {secret: token}}\n",
        &SCRIPT.replace("test -f", "! test -f"),
    );
    loopback.succeeds(&file, "far", &BUILD);
    assert_eq!(loopback.text_on(1, "used"), "said by the file\n");
    assert!(tokens(&loopback.on(1, "secrets")).is_empty());
}

#[test]
fn none_is_made_while_one_may_exist() {
    let Some((mut loopback, file)) = site(2) else {
        return;
    };
    let first = Loopback::address(0);
    let narrow = ["build", "--yes", "--limit", first.as_str()];
    // A host that may keep it can't be asked.
    loopback.down(1);
    // What needs none goes on.
    let machines = ["bootstrap", "--yes", "--limit", first.as_str()];
    loopback.succeeds(&file, "mine", &machines);
    let (code, said) = loopback.run(&file, "mine", &narrow);
    assert_eq!(code, 1, "{said}");
    for word in ["token", "127.0.0.72", "vars.token", "nothing was changed"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let (_, said) = loopback.run(&file, "mine", &["plan", "--limit", &first]);
    assert!(said.contains("a build is refused"), "{said}");
    assert!(tokens(&loopback.path("mine")).is_empty());
    assert!(tokens(&loopback.on(0, "")).is_empty());

    loopback.up(1);
    loopback.succeeds(&file, "mine", &BUILD);
    let used = loopback.text_on(0, "used");
    // With one keeper away, the other one's word is enough, also for a stranger.
    loopback.down(1);
    let force = [&narrow[..], &["--force", "--below-min-up"]].concat();
    loopback.succeeds(&file, "stranger", &force);
    assert_eq!(loopback.text_on(0, "used"), used);
    loopback.up(1);

    // Hosts that an older version built keep nothing: a stranger makes none, the owner has it.
    for host in 0..2 {
        fs::remove_dir_all(loopback.on(host, "secrets")).unwrap();
    }
    let (code, said) = loopback.run(&file, "another", &BUILD);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("was built by") && said.contains("vars.token"),
        "{said}"
    );
    loopback.succeeds(&file, "mine", &BUILD);
    assert_eq!(tokens(&loopback.on(1, "secrets")).len(), 1, "it's kept now");
    loopback.succeeds(&file, "another", &["build", "--yes", "--force"]);
    assert_eq!(loopback.text_on(1, "used"), used);

    // Two keepers differ.
    let kept = tokens(&loopback.on(1, "secrets"));
    fs::write(&kept[0], "another-one\n").unwrap();
    let (code, said) = loopback.run(&file, "mine", &["build", "--yes", "--force"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("127.0.0.71 and 127.0.0.72 keep different values"),
        "{said}"
    );
    assert!(
        !said.contains("another-one") && !said.contains(used.trim()),
        "{said}"
    );
    assert_eq!(loopback.text_on(1, "used"), used);
    injected(4, "keepers of secrets that were away, forgetful or at odds");
}

#[test]
fn who_comes_second_at_the_same_time_is_told_no() {
    let folder = tempfile::tempdir().unwrap();
    let note = |id: &str| ClusterNote {
        format: 1,
        id: id.to_owned(),
        name: "n".to_owned(),
        members: BTreeMap::new(),
    };
    // Both looked at a host on which there was nothing.
    let seen = HostFacts::default();
    let keep = |id: &str, secret: &str| {
        let (note, secret) = (note(id), secret.to_owned().into());
        let keepsake = Keepsake {
            host: "127.0.0.1".parse().unwrap(),
            note: &note,
            secrets: vec![("token", &secret)],
            configured: Vec::new(),
        };
        let script = keepsake.step(&seen).unwrap().script;
        let output = Command::new("sh")
            .args(["-c", &script])
            .env("PAAS_ROOT", folder.path())
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let host = "127.0.0.1".parse().unwrap();
    let (shown, secret) = (note("a1"), "a secret of the test".to_owned().into());
    let keepsake = Keepsake {
        host,
        note: &shown,
        secrets: vec![("token", &secret)],
        configured: vec!["said"],
    };
    let golden = root().join("tests/golden/keep.sh");
    assert_golden(&golden, &keepsake.step(&seen).unwrap().script);
    assert_shellcheck_clean(&[golden]);
    assert_eq!(keep("a1", "first of them").0, 0);
    let (code, said) = keep("b2", "second of them");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("another run"), "{said}");
    let kept = folder.path().join("secrets/a1/token");
    assert_eq!(fs::read_to_string(kept).unwrap(), "first of them\n");
    assert!(!folder.path().join("clusters/b2.json").exists());
    injected(1, "workstations that came second");
}
