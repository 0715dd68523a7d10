//! Cluster files as people really make them: with characters that nobody sees, with anchors kept
//! under `x-…`, with empty lists, from a pipe.

mod common;

use std::fs;

use common::desk::Desk;
use serde_json::Value;

const GOOD: &str = "name: small\ncomponents: [nats]\nserver: {nats: {ip: 127.0.0.1}}\n";

/// The first problem of a file: code point, line and column are in it, the caret's line is drawn.
fn problem(text: &str) -> (String, Value) {
    let desk = Desk::new(text);
    let ended = desk.run(&["check"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    let json = desk.run(&["check", "--output", "json"]);
    assert_eq!((json.code, json.error.as_str()), (2, ""), "{json:?}");
    let error: Value = serde_json::from_str(json.out.trim()).unwrap();
    (ended.error, error["error"]["problems"][0].clone())
}

#[test]
fn a_character_that_misleads_is_named_with_code_point_place_and_caret() {
    let cases = [
        (
            "no-break space in an indentation",
            "server:\n  nats:\n\u{a0}   ip: 127.0.0.1\n",
            "U+00A0",
            5,
            1,
        ),
        (
            "no-break space behind a colon",
            "server:\n  nats:\n    ip:\u{a0}127.0.0.1\n",
            "U+00A0",
            5,
            8,
        ),
        (
            "zero-width space in a key",
            "ser\u{200b}ver: {nats: {ip: 127.0.0.1}}\n",
            "U+200B",
            3,
            4,
        ),
        (
            "zero-width space in quotes",
            "server: {nats: {ip: \"127.0.0.1\u{200b}\"}}\n",
            "U+200B",
            3,
            31,
        ),
        (
            "byte order mark in the middle",
            "\u{feff}server: {nats: {ip: 127.0.0.1}}\n",
            "U+FEFF",
            3,
            1,
        ),
        (
            "full-width colon",
            "server： {nats: {ip: 127.0.0.1}}\n",
            "U+FF1A",
            3,
            7,
        ),
        (
            "curly quotes",
            "server: {nats: {ip: “127.0.0.1”}}\n",
            "U+201C",
            3,
            21,
        ),
        (
            "full-width comma",
            "server: {nats: {ip: 127.0.0.1， max_in_flight: 1}}\n",
            "U+FF0C",
            3,
            30,
        ),
        (
            "dash for a hyphen",
            "server: {nats: {ip: 127.0.0.1}}\nmax\u{2013}failures: 1\n",
            "U+2013",
            4,
            4,
        ),
    ];
    for (what, rest, code, line, column) in cases {
        let (drawn, first) = problem(&format!("name: small\ncomponents: [nats]\n{rest}"));
        let place = format!("cluster.yml:{line}:{column}");
        assert!(
            drawn.contains(code) && drawn.contains(&place),
            "{what}: {drawn}"
        );
        assert!(drawn.contains('^'), "{what}: {drawn}");
        let message = first["message"].as_str().unwrap();
        assert!(message.contains(code), "{what}: {first}");
        assert_eq!(
            (&first["line"], &first["column"]),
            (&line.into(), &column.into()),
            "{what}"
        );
        assert!(first["help"].is_string(), "{what}: {first}");
    }
    common::injected(cases.len(), "characters that look like others");
}

#[test]
fn tabs_are_named_where_they_stand() {
    for (rest, line, column) in [
        ("server:\n\tnats: {ip: 127.0.0.1}\n", 4, 1),
        ("server:\n  nats:\n  \tip: 127.0.0.1\n", 5, 3),
    ] {
        let (drawn, _) = problem(&format!("name: small\ncomponents: [nats]\n{rest}"));
        let place = format!("cluster.yml:{line}:{column}");
        assert!(
            drawn.contains("a tab indents") && drawn.contains(&place),
            "{drawn}"
        );
    }
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let desk = Desk::new("");
    fs::write(
        desk.path("cluster.yml"),
        [&[0xff, 0xfe][..], &utf16].concat(),
    )
    .unwrap();
    let ended = desk.run(&["check"]);
    assert!(
        ended.code == 2 && ended.error.contains("UTF-16"),
        "{ended:?}"
    );
    common::injected(3, "tabs and a foreign encoding");
}

#[test]
fn what_is_meant_stays_as_it_is() {
    let text = format!(
        "\u{feff}{GOOD}# a comment \u{a0}\u{200b} 你好：\n\
         vars: {{motto: \"a\u{a0}b\", greeting: 你好：世界, quoted: 'it’s', dash: a – b}}\n"
    );
    let ended = Desk::new(&text).run(&["check"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn empty_lists_and_a_place_for_anchors_are_taken() {
    let desk = Desk::new(
        "x-login: &login {user: ada, port: 2222}\nx-hosts:\n  - &one 127.0.0.1\nname: small\n\
         components: [nats]\npackages: []\nssh: *login\n\
         server: {nats: {ip: [*one], packages: []}}\n",
    );
    let ended = desk.run(&["check"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let mistaken = Desk::new(&format!("{GOOD}y-login: 1\n")).run(&["check"]);
    assert!(mistaken.error.contains("no key `y-login`"), "{mistaken:?}");
    let inner = GOOD.replace("ip: 127", "x-a: 1, ip: 127");
    let inner = Desk::new(&inner).run(&["check"]);
    assert!(
        inner.error.contains("no key `x-a`"),
        "only at the top: {inner:?}"
    );
    let schema: Value = serde_json::from_str(&desk.run(&["schema"]).out).unwrap();
    assert!(schema["patternProperties"]["^x-"].is_object());
    assert!(schema["properties"]["packages"]["minItems"].is_null());
}

#[test]
fn a_file_from_a_pipe_works_and_its_paths_are_the_working_directorys() {
    let desk = Desk::new("nothing that is read");
    let jobs = common::root().join("tests/fixtures/site-jobs");
    std::os::unix::fs::symlink(jobs, desk.path("jobs")).unwrap();
    let text =
        "name: piped\njobs_dir: jobs\ncomponents: [redis]\nserver: {redis: {ip: 127.0.0.1}}\n";
    for name in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let ended = desk.feed(text, &["-c", name, "check"]);
        assert_eq!(ended.code, 0, "{name}: {ended:?}");
        let bad = desk.feed("name: [\n", &["-c", name, "check"]);
        assert!(
            bad.code == 2 && bad.error.contains("<stdin>:"),
            "{name}: {bad:?}"
        );
    }
    let plan = desk.feed(text, &["-c", "-", "plan", "--offline", "--output", "json"]);
    let summary: Value = serde_json::from_str(plan.out.lines().last().unwrap()).unwrap();
    assert_eq!(summary["summary"]["cluster"], "piped");
}

#[test]
fn without_a_name_nothing_is_kept_for_a_file_from_a_pipe() {
    let desk = Desk::new("");
    let nameless = GOOD.replace("name: small\n", "");
    let ended = desk.feed(&nameless, &["-c", "-", "check"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // Nothing listens at port 1.
    let text = format!("{nameless}ssh: {{port: 1}}\n");
    let ended = desk.feed(&text, &["-c", "-", "start", "--yes"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.error.contains("has no `name`"), "{ended:?}");
    assert_eq!(desk.journals().len(), 0);
    let named = desk.feed(
        &format!("name: piped\n{text}"),
        &["-c", "-", "start", "--yes"],
    );
    assert_eq!(named.code, 3, "{named:?}");
    assert!(
        desk.path("state/paas-cluster-build/piped/runs").exists(),
        "{named:?}"
    );
}
