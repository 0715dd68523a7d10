//! On a real terminal, which `script` (util-linux) makes: a poor one gets plain lines, a narrow one
//! tables without broken words.

mod common;

use std::process::{Command, Stdio};

use common::desk::Desk;

/// What the binary prints on a terminal of so many columns.
fn on_terminal(desk: &Desk, term: &str, columns: u16, arguments: &str) -> String {
    let line = format!(
        "stty cols {columns} rows 40 <&1 && {} {arguments}",
        env!("CARGO_BIN_EXE_paas-cluster-build")
    );
    let output = Command::new("script")
        .args(["--quiet", "--command", &line, "/dev/null"])
        .current_dir(desk.folder.path())
        .env("TERM", term)
        .env("NO_COLOR", "1")
        .env("HOME", desk.folder.path())
        .env("XDG_STATE_HOME", desk.path("state"))
        .env("PAAS_CLUSTER_FILE", "cluster.yml")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

#[test]
fn a_dumb_terminal_is_shown_plain_lines_while_a_run_goes_on() {
    // Nothing listens at port 1.
    let desk = Desk::at_port(1, "");
    let said = on_terminal(&desk, "dumb", 200, "start --yes");
    assert!(said.contains("stage redis: started"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let said = on_terminal(&desk, "xterm", 200, "start --yes");
    assert!(!said.contains("stage redis: started"), "{said}");
}

#[test]
fn no_word_of_a_plan_is_broken_on_a_narrow_terminal() {
    let desk = Desk::seed();
    for columns in [60, 80, 200] {
        let said = on_terminal(&desk, "xterm", columns, "plan --offline");
        let table: Vec<&str> = said
            .lines()
            .take_while(|line| !line.contains("steps:"))
            .collect();
        assert!(table.len() > 23, "{said}");
        for line in &table {
            assert!(
                line.chars().count() <= usize::from(columns),
                "{columns}: {line}"
            );
        }
    }
}
