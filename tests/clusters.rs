//! Two clusters on the same machines, or of the same name: neither's things are the other's. Real
//! sshds on loopback; needs root, and is counted as skipped elsewhere.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::injected;
use common::loopback::Loopback;
use serde_json::Value;

const BUILD: [&str; 2] = ["build", "--yes"];

fn start(hosts: usize) -> Option<Loopback> {
    let loopback = Loopback::start(hosts)?;
    for name in ["svc", "other"] {
        let script = format!(
            "TOKEN={{{{ token }}}}\nprintf '%s\\n' \"$TOKEN\" >\"$PAAS_ROOT/used-{name}\"\n"
        );
        loopback.job(
            name,
            &format!("values: {{token: {{secret: {name}_token}}}}\n"),
            &script,
        );
        let back = loopback.path(&format!("jobs/{name}/{name}.remove.sh"));
        fs::write(back, format!("rm -f \"$PAAS_ROOT/used-{name}\"\n")).unwrap();
    }
    Some(loopback)
}

/// Writes a cluster file: components, each on these hosts.
fn file(loopback: &Loopback, path: &str, name: &str, server: &[(&str, &[usize])]) -> PathBuf {
    let components: Vec<&str> = server.iter().map(|(component, _)| *component).collect();
    let mut text = match name {
        "" => String::new(),
        name => format!("name: {name}\n"),
    };
    text.push_str(&format!(
        "components: [{}]\nserver:\n",
        components.join(", ")
    ));
    for (component, hosts) in server {
        let hosts: Vec<String> = hosts.iter().map(|host| Loopback::address(*host)).collect();
        text.push_str(&format!("  {component}: {{ip: [{}]}}\n", hosts.join(", ")));
    }
    loopback.file(path, &text)
}

fn id_of(loopback: &Loopback, host: usize, step: &str) -> String {
    let text = loopback.text_on(host, &format!("receipts/{step}.json"));
    let receipt: Value = serde_json::from_str(&text).unwrap();
    receipt["cluster_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_machine_that_two_clusters_share_is_safe_from_either() {
    let Some(loopback) = start(2) else {
        return;
    };
    let a = file(&loopback, "a.yml", "a", &[("svc", &[0, 1])]);
    let b = file(&loopback, "b.yml", "b", &[("other", &[1])]);
    loopback.succeeds(&a, "state", &BUILD);
    let plan = loopback.succeeds(&b, "state", &["plan"]);
    assert!(!plan.contains("left over"), "{plan}");
    assert!(
        plan.contains("also on 127.0.0.72: svc of the cluster a"),
        "{plan}"
    );
    loopback.succeeds(&b, "state", &BUILD);
    let plan = loopback.succeeds(&a, "state", &["plan"]);
    assert!(
        !plan.contains("left over") && plan.contains("of the cluster b"),
        "{plan}"
    );

    // What is another's is taken away, or replaced, only where it's named.
    let c = file(&loopback, "c.yml", "c", &[("svc", &[1])]);
    for (which, command) in [
        (&b, &["remove", "svc", "--yes"][..]),
        (&b, &["remove", "127.0.0.72", "--yes"]),
        (&c, &BUILD),
        (&c, &["restart", "svc", "--yes"]),
    ] {
        let (code, said) = loopback.run(which, "state", command);
        assert_eq!(code, 2, "{command:?}: {said}");
        assert!(
            said.contains("svc on 127.0.0.72 belongs to the cluster a"),
            "{said}"
        );
        assert!(said.contains("--adopt a"), "{said}");
        assert!(!loopback.text_on(1, "used-svc").is_empty());
    }
    let (_, status) = loopback.run(&c, "state", &["status"]);
    assert!(status.contains("the cluster a has it"), "{status}");
    let before = loopback.text_on(1, "used-svc");
    loopback.succeeds(&c, "state", &["build", "--yes", "--adopt", "a"]);
    assert_ne!(
        loopback.text_on(1, "used-svc"),
        before,
        "it's c's, with c's password"
    );
    let (code, said) = loopback.run(&a, "state", &["build", "--yes", "--force"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("belongs to the cluster c"), "{said}");
    injected(
        5,
        "runs that would have changed another cluster's components",
    );
}

#[test]
fn receipts_of_an_older_version_belong_to_the_cluster_that_their_run_names() {
    let Some(loopback) = start(1) else {
        return;
    };
    let a = file(&loopback, "a.yml", "a", &[("svc", &[0])]);
    loopback.succeeds(&a, "state", &BUILD);
    // As an older version left it: no id anywhere.
    fs::remove_dir_all(loopback.on(0, "clusters")).unwrap();
    let path = loopback.on(0, "receipts/svc.json");
    let mut receipt: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let members = receipt.as_object_mut().unwrap();
    assert!(members.remove("cluster_id").is_some() && members.remove("cluster_name").is_some());
    fs::write(&path, receipt.to_string()).unwrap();
    fs::remove_file(loopback.path("state/a/cluster.json")).unwrap();

    let b = file(&loopback, "b.yml", "b", &[("svc", &[0])]);
    let (code, said) = loopback.run(&b, "state", &BUILD);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("svc on 127.0.0.71 belongs to the cluster a"),
        "{said}"
    );
    let plan = loopback.succeeds(&a, "state", &["plan"]);
    assert!(plan.contains("unchanged"), "{plan}");
    loopback.succeeds(&a, "state", &["build", "--yes", "--force"]);
    assert!(!id_of(&loopback, 0, "svc").is_empty());
}

#[test]
fn files_of_one_name_for_other_machines_share_nothing() {
    // A copy that was edited; two that name nothing; two whose names have no ASCII letter.
    for (one, two, name) in [
        ("one/prod.yml", "two/prod.yml", "prod"),
        ("one/cluster.yml", "two/cluster.yml", ""),
        ("生产.yml", "测试.yml", ""),
    ] {
        let Some(loopback) = start(2) else {
            return;
        };
        let one = file(&loopback, one, name, &[("svc", &[0])]);
        let two = file(&loopback, two, name, &[("svc", &[1])]);
        loopback.succeeds(&one, "state", &BUILD);
        let said = loopback.succeeds(&two, "state", &BUILD);
        assert!(
            said.contains("is known here") && said.contains("--adopt"),
            "{said}"
        );
        assert_ne!(
            loopback.text_on(0, "used-svc"),
            loopback.text_on(1, "used-svc")
        );
        assert_ne!(id_of(&loopback, 0, "svc"), id_of(&loopback, 1, "svc"));
        let listed = |file: &Path| loopback.succeeds(file, "state", &["runs"]);
        for file in [&one, &two] {
            let runs = listed(file);
            assert_eq!(runs.matches(" build ").count(), 1, "a run of each: {runs}");
        }
        // Who says that they are one has them as one.
        let said = loopback.succeeds(
            &two,
            "state",
            &["plan", "--adopt", "prod", "--adopt", "cluster"],
        );
        assert!(!said.contains("is known here"), "{said}");
    }
    injected(3, "pairs of files that share a name");
}

#[test]
fn a_colleague_with_nothing_knows_the_same_cluster_and_what_left_it() {
    let Some(loopback) = start(3) else {
        return;
    };
    let mine = file(&loopback, "mine/cluster.yml", "", &[("svc", &[0, 1, 2])]);
    loopback.succeeds(&mine, "mine-state", &BUILD);
    let id = id_of(&loopback, 0, "svc");
    let theirs = file(&loopback, "theirs/cluster.yml", "", &[("svc", &[0, 1])]);
    let plan = loopback.succeeds(&theirs, "their-state", &["plan"]);
    assert!(
        plan.contains("no longer in the file: 127.0.0.73 (svc)"),
        "{plan}"
    );
    loopback.succeeds(&theirs, "their-state", &["build", "--yes", "--force"]);
    assert_eq!(id_of(&loopback, 0, "svc"), id);
    // Also when the run with which it left was another's, and the next colleague comes with nothing.
    let plan = loopback.succeeds(&theirs, "third-state", &["plan"]);
    assert!(
        plan.contains("no longer in the file: 127.0.0.73 (svc)"),
        "{plan}"
    );
    // Put back and taken down, it's told no more, from anywhere.
    loopback.succeeds(&mine, "mine-state", &["remove", "127.0.0.73", "--yes"]);
    assert!(loopback.text_on(2, "used-svc").is_empty());
    for state in ["mine-state", "their-state", "fourth-state"] {
        let plan = loopback.succeeds(&theirs, state, &["plan"]);
        assert!(!plan.contains("no longer in the file"), "{state}: {plan}");
    }
    injected(
        1,
        "hosts that left the file, seen from an empty state folder",
    );
}
