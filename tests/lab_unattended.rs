//! On real machines: changes that nobody is there to confirm, who is held back, the history of the
//! lab, and a run that another machine looks at when it's over. Needs root and what `lab up` asks
//! for; counted as skipped elsewhere.

mod common;

use std::process::{Command, Stdio};

use common::site::{Site, said};

const HOSTS: [&str; 2] = ["10.77.71.1", "10.77.71.2"];

const WORD: (&str, &str, &str) = (
    "word",
    "values: {word: {var: word}}\nunits: [test-word]\n",
    r#"WORD={{ word }}
cat >/etc/systemd/system/test-word.service <<'END'
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet test-word
systemctl restart test-word
echo "the word is $WORD"
"#,
);

/// The binary as a script calls it: nobody answers, and nobody has answered beforehand.
fn unattended(site: &Site, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"))
        .arg("-c")
        .arg(&site.file)
        .arg("--state-dir")
        .arg(site.path("state"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code().unwrap(), said(&output))
}

#[test]
fn machines_that_nobody_watches() {
    let text = format!(
        "name: unattended\ncomponents: [word]\nserver:\n  word: {{ip: [{}], min_up: 1}}\n\
         vars: {{word: one}}\n",
        HOSTS.join(", ")
    );
    let Some(site) = Site::boot(&text, &[WORD]) else {
        return;
    };
    // Without a terminal and --yes nothing is begun.
    let plan = site.path("plan.json");
    let plan = plan.to_str().unwrap();
    site.succeeds(&["plan", "--out", plan]);
    for arguments in [&["word"][..], &["build"], &["bootstrap"], &["apply", plan]] {
        let (code, said) = unattended(&site, arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains("there is no terminal to ask on"), "{said}");
        assert!(said.contains("nothing was changed"), "{said}");
        assert!(said.contains("--yes"), "{said}");
    }
    let receipts = site.on(
        HOSTS[0],
        "ls /var/lib/paas-cluster-build/receipts 2>/dev/null | wc -l",
    );
    assert_eq!(receipts.trim(), "0", "nothing ran");
    let (code, said) = unattended(&site, &["build", "--yes"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = unattended(&site, &["build"]);
    assert_eq!(code, 0, "what has nothing to do asks nothing: {said}");
    let (code, said) = unattended(&site, &["plan", "--exit-code"]);
    assert_eq!(code, 0, "{said}");
    for verb in ["restart", "stop"] {
        let (code, said) = unattended(&site, &[verb]);
        assert_eq!(code, 2, "{verb}: {said}");
    }
    common::injected(6, "changes without a terminal to ask on");

    // One of two may be down at once, and the other is told so.
    let (code, said) = unattended(&site, &["restart", "--yes", "--output", "plain"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("held back, min_up: 1 of word may be down at once"),
        "{said}"
    );

    // The second build ran nothing; exec and the lab are in the history; the newest comes first.
    let listed = site.succeeds(&["runs"]);
    assert!(
        listed.contains("0 ran") && listed.contains("4 ran"),
        "{listed}"
    );
    for operation in ["exec", "lab up", "restart"] {
        assert!(listed.contains(operation), "{operation}: {listed}");
    }
    let restart = listed.lines().nth(1).unwrap();
    assert!(
        restart.contains("restart") && restart.contains("2 ran"),
        "{listed}"
    );

    // From a machine that has no journal of it, a run that is over is shown with its own times.
    let id = restart.split_whitespace().next().unwrap();
    let output = site.command_from("far", &["attach", id]).output().unwrap();
    let shown = common::site::said(&output);
    assert!(output.status.success(), "{shown}");
    assert!(
        shown.contains(&format!("run {id} has ended, at")),
        "{shown}"
    );
    assert!(
        shown.contains("STARTED") && shown.contains("succeeded ("),
        "{shown}"
    );
    let (code, shown) = unattended(&site, &["attach", id]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("is done after"), "{shown}");

    // Denied for want of root's rights, exec says how to have them.
    let (code, said) = unattended(&site, &["exec", "--", "cat /etc/shadow"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("exec --root --"), "{said}");
}
