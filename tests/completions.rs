//! Completions in a real bash: subcommands and options, and the names that the tool tells it.

mod common;

use std::process::Command;

use common::desk::Desk;

/// What bash offers for a line whose last word is begun.
fn offered(desk: &Desk, line: &str) -> Vec<String> {
    let script = desk.path("completions.bash");
    let printed = desk.run(&["completions", "bash"]);
    assert_eq!(printed.code, 0);
    std::fs::write(&script, printed.out).unwrap();
    let ask = r#"
        set -u
        source "$1"
        binary=$2
        COMP_WORDS=("$binary")
        read -r -a typed <<<"$3"
        COMP_WORDS+=("${typed[@]}")
        if [[ $3 == *' ' ]]; then COMP_WORDS+=(''); fi
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        COMP_LINE="${COMP_WORDS[*]}"
        COMP_POINT=${#COMP_LINE}
        complete -p paas-cluster-build >/dev/null
        _paas-cluster-build-with-names "$binary" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", ask, "bash"])
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_paas-cluster-build"))
        .arg(line)
        .current_dir(desk.folder.path())
        .env("XDG_STATE_HOME", desk.path("state"))
        .env("HOME", desk.folder.path())
        .env("PAAS_CLUSTER_FILE", "cluster.yml")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_components_hosts_and_runs() {
    let desk = Desk::seed();
    assert_eq!(offered(&desk, "plan ro"), ["router"]);
    assert_eq!(
        offered(&desk, "plan --limit 10.1.59.18"),
        ["10.1.59.180", "10.1.59.184", "10.1.59.187", "10.1.59.188"]
    );
    assert_eq!(
        offered(&desk, "stat"),
        ["status"],
        "what is always the same"
    );
    assert_eq!(offered(&desk, "plan --exit"), ["--exit-code"]);
    let components = offered(&desk, "restart ");
    assert!(
        components.contains(&"mysql_node".to_owned()),
        "{components:?}"
    );
    assert!(
        !components.iter().any(|word| word.starts_with('[')),
        "{components:?}"
    );

    // A file with mistakes has names as well; one that isn't there has none.
    std::fs::write(
        desk.path("bad.yml"),
        "components: [redis]\nserver: {redis: {ip: x}}\n",
    )
    .unwrap();
    assert_eq!(offered(&desk, "-c bad.yml plan re"), ["redis"]);
    assert_eq!(offered(&desk, "-c nowhere.yml plan re"), [""]);
    // What is read once is left for the command itself.
    assert_eq!(offered(&desk, "-c - plan re"), [""]);
}

#[test]
fn bash_completes_the_runs_of_this_machine() {
    // Nothing listens at port 1.
    let desk = Desk::at_port(1, "");
    assert_eq!(desk.run(&["start", "--yes"]).code, 3);
    let listed = desk.run(&["runs", "--output", "json"]).out;
    let run: serde_json::Value = serde_json::from_str(listed.trim()).unwrap();
    let offered = offered(&desk, "attach 2");
    assert_eq!(offered, [run["run"].as_str().unwrap()]);
}
