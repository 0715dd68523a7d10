//! Completions in a real bash, zsh and fish: subcommands and options, and the names that the tool tells.

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

/// Tells whether a shell is there; without it, its test is skipped and counted as such.
fn installed(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        common::skip(&format!("{shell} isn't installed"));
    }
    found
}

/// A folder whose `paas-cluster-build` is the one under test.
fn on_path(desk: &Desk) -> std::path::PathBuf {
    let folder = desk.path("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let name = folder.join("paas-cluster-build");
    if !name.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_paas-cluster-build"), name).unwrap();
    }
    folder
}

/// Runs a shell at the desk with the tool on its PATH, and gives what it prints.
fn shell(desk: &Desk, program: &str, arguments: &[&str]) -> String {
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(desk.folder.path())
        .env("PATH", format!("{}:{path}", on_path(desk).display()))
        .env("XDG_STATE_HOME", desk.path("state"))
        .env("HOME", desk.folder.path())
        .env("PAAS_CLUSTER_FILE", "cluster.yml")
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn fish_completes_names_too() {
    if !installed("fish") {
        return;
    }
    let desk = Desk::seed();
    let offered = |line: &str| -> Vec<String> {
        let ask = format!("paas-cluster-build completions fish | source; complete -C '{line}'");
        let said = shell(&desk, "fish", &["--no-config", "-c", &ask]);
        let words = said.lines().map(|line| line.split('\t').next().unwrap());
        words.map(str::to_owned).collect()
    };
    assert_eq!(offered("paas-cluster-build plan ro"), ["router"]);
    assert_eq!(
        offered("paas-cluster-build plan --limit 10.1.59.18"),
        ["10.1.59.180", "10.1.59.184", "10.1.59.187", "10.1.59.188"]
    );
    assert_eq!(offered("paas-cluster-build stat"), ["status"]);
    assert_eq!(
        offered("paas-cluster-build plan --exit"),
        ["--exit-code"],
        "what is always the same"
    );
}

#[test]
fn zsh_completes_names_too() {
    if !installed("zsh") {
        return;
    }
    let desk = Desk::seed();
    shell(
        &desk,
        "sh",
        &[
            "-c",
            "paas-cluster-build completions zsh >_paas-cluster-build",
        ],
    );
    // Read by hand, and from a folder of fpath as a package installs it: there twice, since the first
    // call replaces the function that the file is.
    let by_hand = "autoload -U compinit; compinit -u -D; source ./_paas-cluster-build";
    let installed = "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D";
    for setup in [by_hand, installed] {
        for (typed, completed) in [
            ("plan ro", "plan router "),
            ("plan --limit 10.", "plan --limit 10.1.59.1"),
            ("plan --limit dea", "plan --limit dea_ng "),
            ("sta", "sta"),
            ("stat", "status "),
            ("plan --exit", "plan --exit-code "),
            ("-c nowhere.yml plan ro", "-c nowhere.yml plan ro"),
        ] {
            let line = on_line(&desk, setup, &format!("paas-cluster-build {typed}"));
            assert_eq!(line, format!("paas-cluster-build {completed}"), "{setup}");
        }
    }
}

/// What stands on zsh's line after a tab was pressed twice, on a terminal of its own.
fn on_line(desk: &Desk, setup: &str, typed: &str) -> String {
    let ask = r#"
        zmodload zsh/zpty
        zpty terminal zsh -f -i
        zpty -w terminal "PS1='<ready>'; unsetopt beep automenu autolist; bindkey -e; $1"
        zpty -w terminal 'tell() { print -r -- $BUFFER >line.new; mv line.new line; BUFFER= }'
        zpty -w terminal "zle -N tell; bindkey '^T' tell; print set""-up"
        zpty -r terminal seen '*set-up*<ready>*'
        zpty -w -n terminal "$2"$'\t\t\x14'
        for pause in {1..200}; do
            if [[ -e line ]]; then break; fi
            zpty -r -t terminal seen
            sleep 0.05
        done
        cat line
        rm -f line
        zpty -d terminal
    "#;
    let line = shell(desk, "zsh", &["-f", "-c", ask, "zsh", setup, typed]);
    line.trim_end_matches('\n').to_owned()
}
