//! Every problem of shape as a person sees it, and what parsing promises for any text.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The least file without a problem.
const BASE: &str = "components: [nats]\nserver: {nats: {ip: 10.1.59.160}}\n";

fn parse(text: &str) -> (Option<ClusterFile>, Vec<Problem>) {
    ClusterFile::parse(Path::new("cluster.yml"), text)
}

/// Draws the problems of each text, which must have some.
fn draw(texts: &[&str]) -> String {
    let draw = |text: &&str| {
        let (_, problems) = parse(text);
        assert!(!problems.is_empty(), "no problem in:\n{text}");
        render_problems(Path::new("cluster.yml"), text, &problems, false)
    };
    let drawn: Vec<String> = texts.iter().map(draw).collect();
    drawn.join("\n\n- - -\n\n")
}

/// As `draw`, each text after a file that is right.
fn draw_after_base(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|t| format!("{BASE}{t}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    draw(&texts)
}

/// As `draw`, each text in the block of a component.
fn draw_in_server(texts: &[&str]) -> String {
    let in_server = |t: &&str| format!("components: [nats]\nserver:\n  nats:\n    {t}\n");
    let texts: Vec<String> = texts.iter().map(in_server).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    draw(&texts)
}

#[test]
fn texts_that_are_no_yaml() {
    insta::assert_snapshot!(draw(&[
        "",
        "---\n# only a comment\n",
        "components: [nats\nserver: x\n",
        "components:\n  - nats\nserver:\n\tnats:\n",
        "components:\n  - nats\n - router\n",
        "name:seed\ncomponents: [nats]\n",
        "nats:10.1.59.160\n",
        "name: \"open\ncomponents: [nats]\n",
        "components: [nats]\n---\ncomponents: [router]\n",
        "name: *nobody\n",
        "name: a\0b\n",
        "name: a\u{1b}[31mb\n",
        "name: !secret x\n",
        "a: &a [*a]\n",
        "- components\n- server\n",
        "just a text\n",
    ]));
}

#[test]
fn bytes_that_are_no_utf8() {
    let problem = decode(b"name: seed\nserver: \xff\n").unwrap_err();
    assert_eq!(problem.place, Place::new(2, 9));
    assert_eq!(decode(b"\xef\xbb\xbfname: x").as_deref(), Ok("name: x"));
}

#[test]
fn too_long_a_text() {
    let (file, problems) = parse(&"# comment\n".repeat(200_000));
    assert!(file.is_none());
    assert!(
        problems[0].message.contains("2000000 bytes"),
        "{problems:?}"
    );
}

#[test]
fn keys() {
    insta::assert_snapshot!(draw(&[
        "componets: [nats]\nserver: {nats: {ip: 10.1.59.160}}\nvolumes: 3\n",
        "components: [nats]\n",
        "server: {nats: {ip: 10.1.59.160}}\n",
        "name: a\ncomponents: [nats]\nname: b\nserver: {nats: {ip: 10.1.59.160}}\nname: c\n",
        "components: [nats]\nserver:\n  nats: {ip: 10.1.59.160}\n  nats: {ip: 10.1.59.161}\n",
        "components: [Nats-1]\nserver:\n  Nats-1: {ip: 10.1.59.160}\n",
        "components: [nats]\nserver: {nats: {ip: 10.1.59.160}}\n? [a, b]\n: 1\n",
        "components:\nserver:\n  nats:\n",
        "components: []\nserver: {}\n",
        "components: nats\nserver: [nats]\n",
    ]));
}

#[test]
fn values_on_top() {
    insta::assert_snapshot!(draw_after_base(&[
        "name: -x\n",
        "name: true\n",
        "name: [a]\n",
        "nats: 10.1.59.1600\nuaa: uaa.example.org\ncc: 10.1\n",
        "sudo: yes\n",
        "sudo: {keep: true}\n",
        "sudo: {password: {env: 1A}, keep: 1}\n",
        "packages: [python3, Nginx, x, -y]\n",
        "packages: python3\n",
        "max_in_flight: 0\ncanaries: -1\nmax_failures: 1.5\n",
        "max_in_flight: \"3\"\ncanaries: many\n",
        "max_in_flight: 5000000000\n",
        "jobs_dir: ~other/jobs\n",
        "vars: 3\n",
        "vars: {a-b: 1, version: 1.10, mode: 0755, none: , nul: \"a\\0b\", list: [1, 0x10]}\n",
        "vars: {deep: {1: x, a: 1, a: 2}}\n",
    ]));
}

#[test]
fn ssh_and_passwords() {
    insta::assert_snapshot!(draw_after_base(&[
        "ssh: paas@10.1.59.160\n",
        "ssh: {user: -oRoot, port: 0, host_keys: acept-new}\n",
        "ssh: {port: 65536, host_keys: false, known_hosts: , identity: \"\"}\n",
        "ssh: {password: 1qaz@WSX}\n",
        "ssh: {password: {}}\n",
        "ssh: {password: {env: A, file: b}}\n",
        "ssh: {password: {evn: A}}\n",
        "ssh: {jump: -oProxyCommand=sh}\n",
        "ssh: {jump: [ops@gate, \"gate:99999\"]}\n",
        "ssh: {usr: paas}\n",
    ]));
}

#[test]
fn passwords_in_the_file_are_not_in_the_message() {
    let (_, problems) = parse(&format!("{BASE}ssh: {{password: 1qaz@WSX}}\n"));
    for problem in &problems {
        assert!(!format!("{problem:?}").contains("1qaz"), "{problem:?}");
    }
}

#[test]
fn releases() {
    let sha = "0".repeat(64);
    let both =
        format!("release: {{paas_release: {{path: a, url: \"http://x/y\", sha256: {sha}}}}}\n");
    insta::assert_snapshot!(draw_after_base(&[
        "release: ../deploy/paas-release\n",
        "release: {}\n",
        "release: {micro_paas: {path: x}}\n",
        "release: {paas_release: {}}\n",
        both.as_str(),
        "release: {paas_release: {url: \"https://example.org/r.tar.gz\"}}\n",
        "release: {paas_release: {git: \"https://example.org/r.git\"}}\n",
        "release: {paas_release: {path: x, ref: main}}\n",
        "release: {paas_release: {git: --upload-pack=x, ref: -x}}\n",
        "release: {paas_release: {path: x}, micro_paas: {git: x, url: ftp://x, sha256: abc}}\n",
    ]));
}

#[test]
fn components_and_hosts() {
    insta::assert_snapshot!(draw_in_server(&[
        "packages: [nats-server]",
        "ip: []",
        "ip:",
        "ip: 10.1.59.256",
        "ip: [10.1.59.160, 10.1.59.161:22, paas@10.1.59.162, 10.1.59.0/24, db1]",
        "ip: {ip: 10.1.59.160}",
        "ip: [{index: 1}]",
        "ip: [{ip: 10.1.59.160, index: -1, weight: 3}]",
        "{ip: 10.1.59.160, template: nats.yml.erb, tamplate: x}",
        "{ip: 10.1.59.160, jobs: [], max_in_flight: none}",
    ]));
}

#[test]
fn reads_every_key() {
    let text = include_str!("../../tests/fixtures/every-key.yml");
    let (file, problems) = parse(text);
    let drawn = render_problems(Path::new("every-key.yml"), text, &problems, false);
    assert!(problems.is_empty(), "{drawn}");
    insta::assert_debug_snapshot!(file.unwrap());
}

#[test]
fn takes_anchors_and_merge_keys() {
    let text = "components: [nats, router]\nserver:\n  nats: &fast\n    ip: [10.1.59.160]\n    \
                max_in_flight: 2\n  router:\n    <<: *fast\n    ip: [10.1.59.161]\n";
    let (file, problems) = parse(text);
    assert_eq!(problems, []);
    let router = &file.unwrap().server[1];
    assert_eq!(router.rollout.max_in_flight.as_ref().unwrap().value, 2);
    assert_eq!(router.hosts[0].ip.value.to_string(), "10.1.59.161");
}

#[test]
fn reports_a_mistake_behind_an_anchor_once() {
    let text = "components: [a, b]\nserver:\n  a: {ip: 10.1.1.1, ssh: &s {prt: 22}}\n  \
                b: {ip: 10.1.1.2, ssh: *s}\n";
    let (_, problems) = parse(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
}

/// Texts that are nearly cluster files.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "components",
        "server",
        "ssh",
        "ip",
        "nats",
        "vars",
        "release",
        "password",
        "sudo",
        "10.1.59.160",
        "- ",
        ": ",
        "\n",
        "\n  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<",
        "?",
        "!!int ",
        "\"",
        "'",
        "|",
        ">",
        "---",
        "#",
        "0x1",
        ".nan",
        "~",
        "\t",
        "é",
        "\0",
        "1e999",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_or_refused_and_drawn(text in prop_oneof![any::<String>(), nearly()]) {
        let (file, problems) = parse(&text);
        prop_assert!(file.is_some() || !problems.is_empty());
        render_problems(Path::new("x.yml"), &text, &problems, false);
    }

    #[test]
    fn any_bytes_are_text_or_refused(bytes in any::<Vec<u8>>()) {
        if let Ok(text) = decode(&bytes) {
            parse(&text);
        }
    }
}
