//! What programs and beginners meet: no terminal, words of other tools, exit codes, JSON.

mod common;

use std::fs;

use common::desk::Desk;
use common::sshd::{Server, user};
use serde_json::Value;

/// A cluster on a real sshd of this machine; nothing of it is installed there.
fn on_sshd(test: &str) -> Option<(Server, Desk)> {
    if user() != "root" {
        common::skip(&format!("{test}: needs root's rights on this machine"));
        return None;
    }
    let server = Server::start();
    let ssh = format!(
        ", user: root, identity: {}, known_hosts: {}",
        server.path("client").display(),
        server.path("known").display()
    );
    let desk = Desk::at_port(server.port, &ssh);
    Some((server, desk))
}

fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn without_a_terminal_and_yes_nothing_is_begun() {
    let Some((_server, desk)) = on_sshd("without a terminal") else {
        return;
    };
    let plan = desk.path("plan.json");
    let plan = plan.to_str().unwrap();
    let kept = desk.run(&["plan", "--out", plan]);
    assert_eq!(kept.code, 0, "{kept:?}");
    for arguments in [
        &["redis"][..],
        &["build"],
        &["bootstrap"],
        &["apply", plan],
        &["build", "--output", "json"],
    ] {
        let ended = desk.run(arguments);
        let said = format!("{}{}", ended.out, ended.error);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(said.contains("there is no terminal to ask on"), "{said}");
        assert!(said.contains("nothing was changed"), "{said}");
        let typed = format!("paas-cluster-build {} --yes", arguments.join(" "));
        assert!(said.contains(&typed), "{typed}: {said}");
    }
    assert_eq!(desk.journals().len(), 0, "no run was begun");
    common::injected(5, "changes without a terminal to ask on");
}

#[test]
fn what_has_nothing_to_do_needs_no_yes() {
    let Some((_server, desk)) = on_sshd("nothing to do") else {
        return;
    };
    let ended = desk.run(&["stop"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_plan_tells_programs_whether_there_is_something_to_do() {
    let Some((_server, desk)) = on_sshd("plan --exit-code") else {
        return;
    };
    assert_eq!(desk.run(&["plan"]).code, 0);
    let ended = desk.run(&["plan", "--exit-code", "--output", "json"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    let lines = json_lines(&ended.out);
    let (summary, steps) = lines.split_last().unwrap();
    assert_eq!(summary["summary"]["to_run"], 2, "{summary}");
    assert_eq!(steps.len(), 2);
    for step in steps {
        assert!(step["reasons"].is_array(), "{step}");
        assert!(step["reasons"][0]["reason"].is_string(), "{step}");
    }
    let unreachable = Desk::at_port(1, "");
    assert_eq!(unreachable.run(&["plan", "--exit-code"]).code, 3);
}

#[test]
fn a_kept_plan_from_another_state_has_a_code_of_its_own() {
    let Some((_server, desk)) = on_sshd("a stale plan") else {
        return;
    };
    let kept = desk.run(&["plan", "--out", "plan.json"]);
    assert_eq!(kept.code, 0, "{kept:?}");
    let file = desk.path("cluster.yml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}packages: [jq]\n")).unwrap();
    let ended = desk.run(&["apply", "plan.json", "--yes", "--output", "json"]);
    assert_eq!(ended.code, 6, "{ended:?}");
    let error = &json_lines(&ended.out)[0]["error"];
    assert_eq!(
        (&error["code"], &error["kind"]),
        (&6.into(), &"stale".into())
    );
    assert!(
        error["help"][0]
            .as_str()
            .unwrap()
            .contains("make the plan again"),
        "{error}"
    );
    common::injected(1, "kept plans of another state");
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let desk = Desk::at_port(1, "");
    for (arguments, code, kind) in [
        (&["build", "nope"][..], 2, "usage"),
        (&["plan", "--ofline"], 2, "usage"),
        (&["build"], 3, "unreachable"),
        (&["apply", "nowhere.json"], 2, "usage"),
    ] {
        let ended = desk.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        let lines = json_lines(&ended.out);
        let error = &lines.last().unwrap()["error"];
        assert_eq!(error["kind"], kind, "{arguments:?}: {ended:?}");
        assert_eq!(error["code"], code, "{arguments:?}");
        assert!(
            !error["message"].as_str().unwrap().is_empty(),
            "{arguments:?}"
        );
        assert!(
            error["help"].is_array() && error["problems"].is_array(),
            "{error}"
        );
        assert_eq!(ended.error, "", "{arguments:?}");
    }
}

#[test]
fn changes_alone_are_shown_when_asked_for() {
    let desk = Desk::seed();
    let ended = desk.run(&["plan", "--offline", "--changes"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("23 steps: 23 to run, 0 to skip"),
        "{ended:?}"
    );
}

#[test]
fn a_word_that_is_no_subcommand_is_told_what_it_may_mean() {
    let seed = Desk::seed();
    let empty = Desk::seed();
    fs::remove_file(empty.path("cluster.yml")).unwrap();
    for (word, help) in [
        ("init", "write a cluster file"),
        ("rollback", "nothing is rolled back"),
        ("history", "`runs` lists what ran"),
        ("deploy", "`build` makes"),
        ("destroy", "`remove COMPONENT|HOST`"),
        ("ps", "`status` shows"),
        ("ssh", "`exec --limit HOST"),
        ("show", "`plan` shows what would run"),
        ("staus", "the subcommand `status`"),
    ] {
        for (desk, about) in [
            (&seed, format!("the cluster has no component `{word}`")),
            (
                &empty,
                format!("`{word}` is no subcommand, and whether it's a component can't be told"),
            ),
        ] {
            let ended = desk.run(&[word]);
            assert_eq!(ended.code, 2, "{word}: {ended:?}");
            assert!(ended.error.contains(&about), "{word}: {ended:?}");
            assert!(ended.error.contains(help), "{word}: {ended:?}");
            assert!(!ended.error.contains("`stop`"), "{word}: {ended:?}");
        }
    }
    let broken = Desk::new("components: [nats\n").run(&["rollback"]);
    assert!(
        broken.error.contains("nothing is rolled back"),
        "{broken:?}"
    );
    let router = empty.run(&["router"]);
    assert!(router.error.contains("-c FILE router"), "{router:?}");
}

#[test]
fn exec_says_where_its_words_belong_and_what_root_would_do() {
    let desk = Desk::seed();
    let ended = desk.run(&["exec", "router", "--", "ls", "-l"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.error.contains("exec --limit router -- ls -l"),
        "{ended:?}"
    );
    let ended = desk.run(&["exec", "uptime"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.error.contains("exec -- uptime"), "{ended:?}");
    assert_eq!(desk.run(&["exec"]).code, 2);
}
