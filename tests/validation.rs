//! Every problem that a cluster file can have as the operator sees it: shape and meaning together,
//! in the order of the file. What the shape alone can have wrong in more detail is shown in
//! `lib/cluster_file/tests.rs`.

use std::path::Path;

use paas_cluster_build::cluster_file::{ClusterFile, Problem, render_problems, sort_problems};
use paas_cluster_build::cluster_jobs;
use paas_cluster_build::job::Catalog;
use paas_cluster_build::model::{Cluster, JobFacts, Port};

const NATS: &str = "components: [nats]\nserver: {nats: {ip: 10.0.0.1}}\n";

/// Finds all that is wrong with a text, as the binary does. Besides the built-in jobs there is one
/// of the site's own, for no two of the built-in ones share a port.
fn problems(text: &str) -> Vec<Problem> {
    let (file, mut problems) = ClusterFile::parse(Path::new("cluster.yml"), text);
    if let Some(file) = file {
        let mut facts = Catalog::new(cluster_jobs::all()).facts();
        facts.push(JobFacts {
            name: "site_web".to_owned(),
            needs: Vec::new(),
            provides: vec![Port {
                name: "http".to_owned(),
                number: 80,
            }],
            needs_release: false,
        });
        problems.extend(Cluster::new(&file, &facts, None).err().unwrap_or_default());
    }
    sort_problems(&mut problems);
    problems
}

/// Draws the problems of each text, which must have some.
fn draw(texts: &[&str]) -> String {
    let draw = |text: &&str| {
        let problems = problems(text);
        assert!(!problems.is_empty(), "no problem in:\n{text}");
        render_problems(Path::new("cluster.yml"), text, &problems, false)
    };
    texts
        .iter()
        .map(draw)
        .collect::<Vec<_>>()
        .join("\n\n- - -\n\n")
}

/// As `draw`, each text after a file that is right.
fn draw_after_nats(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{NATS}{text}")).collect();
    draw(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_file_that_others_are_made_of_is_right() {
    assert_eq!(problems(NATS), []);
}

#[test]
fn components_and_blocks_that_miss_each_other() {
    insta::assert_snapshot!(draw(&[
        "components: [nats, router]\nserver:\n  nats: {ip: 10.0.0.1}\n  ruoter: {ip: 10.0.0.2}\n",
        "components: [nats]\nserver:\n  nats: {ip: 10.0.0.1}\n  uaa: {ip: 10.0.0.2}\n",
        "components:\n  - nats\n  - nats\nserver:\n  nats: {ip: 10.0.0.1}\n",
        "components: [nats, bootstrap]\nserver:\n  nats: {ip: 10.0.0.1}\n  \
         bootstrap: {ip: 10.0.0.1, jobs: [router]}\n",
    ]));
}

#[test]
fn addresses() {
    insta::assert_snapshot!(draw(&[
        "components: [nats]\nserver: {nats: {ip: 10.0.0.256}}\n",
        "components: [nats]\nserver:\n  nats:\n    ip: [10.0.0.1, 10.0.0.2, 10.0.0.1]\n",
        "components: [nats]\nserver:\n  nats:\n    ip: [10.0.0.1, \"::ffff:10.0.0.1\"]\n",
        "components: [nats]\nserver: {nats: {ip: []}}\n",
        "components: [nats]\nserver: {nats: {packages: [nats-server]}}\n",
    ]));
}

#[test]
fn addresses_on_top_that_disagree() {
    insta::assert_snapshot!(draw(&[
        "nats: 10.0.0.9\ncomponents: [nats]\nserver:\n  nats:\n    ip: 10.0.0.1\n",
        "uaa: 10.0.0.9\ncomponents: [nats, postgres, uaa]\nserver:\n  nats: {ip: 10.0.0.1}\n  \
         postgres: {ip: 10.0.0.2}\n  uaa:\n    ip:\n      - 10.0.0.3\n      - 10.0.0.4\n",
        "cc: 10.0.0.9\ncomponents: [nats, data]\nserver:\n  nats: {ip: 10.0.0.1}\n  data:\n    \
         jobs: [postgres, uaa, cloud_controller_ng]\n    ip: 10.0.0.2\n",
        "nats: 10.0.0.9\nuaa: 10.0.0.9\ncc: 10.0.0.9\ncomponents: [all]\nserver:\n  all:\n    \
         jobs: [nats, postgres, uaa, cloud_controller_ng]\n    ip: 10.0.0.2\n",
    ]));
}

#[test]
fn addresses_on_top_may_name_any_host_of_the_job() {
    let text = "nats: 10.0.0.2\ncomponents: [nats]\nserver: {nats: {ip: [10.0.0.1, 10.0.0.2]}}\n";
    assert_eq!(problems(text), []);
}

#[test]
fn jobs() {
    insta::assert_snapshot!(draw(&[
        "components: [nast]\nserver: {nast: {ip: 10.0.0.1}}\n",
        "components: [messaging]\nserver: {messaging: {ip: 10.0.0.1}}\n",
        "components: [m]\nserver:\n  m: {ip: 10.0.0.1, jobs: [nats, ruoter]}\n",
        "components: [m]\nserver:\n  m: {ip: 10.0.0.1, jobs: []}\n",
        "components: [m]\nserver:\n  m: {ip: 10.0.0.1, jobs: nats}\n",
        "components: [m]\nserver:\n  m:\n    ip: 10.0.0.1\n    jobs:\n      - nats\n      - nats\n",
        "components: [nats, m]\nserver:\n  nats: {ip: 10.0.0.1}\n  \
         m: {ip: 10.0.0.1, jobs: [nats, router]}\n",
    ]));
}

#[test]
fn needs() {
    insta::assert_snapshot!(draw(&[
        "components: [router]\nserver: {router: {ip: 10.0.0.1}}\n",
        "components: [router, nats]\nserver:\n  router: {ip: 10.0.0.1}\n  nats: {ip: 10.0.0.2}\n",
        "components: [m]\nserver:\n  m: {ip: 10.0.0.1, jobs: [router, nats]}\n",
        "components: [nats, uaa, data]\nserver:\n  nats: {ip: 10.0.0.1}\n  uaa: {ip: 10.0.0.2}\n  \
         data: {ip: 10.0.0.3, jobs: [postgres]}\n",
    ]));
}

#[test]
fn ports() {
    let text = "components: [nats, web, front]\nserver:\n  nats: {ip: 10.0.0.1}\n  \
                web: {ip: 10.0.0.2, jobs: [router]}\n  front: {ip: 10.0.0.2, jobs: [router]}\n";
    let composite = "components: [nats, web]\nserver:\n  nats: {ip: 10.0.0.1}\n  \
                     web: {ip: 10.0.0.2, jobs: [router, site_web]}\n";
    insta::assert_snapshot!(draw(&[
        text,
        &text.replace(
            "front: {ip: 10.0.0.2, jobs: [router]}",
            "front: {ip: 10.0.0.2, jobs: [site_web]}"
        ),
        composite,
    ]));
}

#[test]
fn indices() {
    insta::assert_snapshot!(draw(&[
        "components: [nats]\nserver:\n  nats:\n    ip:\n      - {ip: 10.0.0.1, index: 3}\n      \
         - {ip: 10.0.0.2, index: 3}\n",
        "components: [nats]\nserver:\n  nats:\n    ip:\n      - {ip: 10.0.0.1, index: 1}\n      \
         - 10.0.0.2\n",
        "components: [nats]\nserver:\n  nats:\n    ip: [{ip: 10.0.0.1, index: -1}]\n",
    ]));
}

#[test]
fn an_address_that_cannot_be_read_brings_no_other_problems() {
    let text = "nats: 10.0.0.1\ncomponents: [nats]\nserver:\n  nats:\n    canaries: 3\n    \
                ip: [10.0.0.1O, 10.0.0.2, {ip: 10.0.0.3, index: 0}]\n";
    insta::assert_snapshot!(draw(&[text]));
}

#[test]
fn rollouts() {
    insta::assert_snapshot!(draw(&[
        "components: [nats]\nserver: {nats: {ip: 10.0.0.1, canaries: 2}}\n",
        "components: [nats]\nserver: {nats: {ip: 10.0.0.1, max_in_flight: 0}}\n",
        "max_in_flight: 0\ncomponents: [nats]\nserver: {nats: {ip: 10.0.0.1}}\n",
        "components: [nats]\nserver: {nats: {ip: 10.0.0.1, max_failures: -1}}\n",
    ]));
}

#[test]
fn canaries_for_all_components_may_be_more_than_one_of_them_has() {
    assert_eq!(problems(&format!("{NATS}canaries: 2\n")), []);
}

#[test]
fn logins_that_contradict_each_other() {
    insta::assert_snapshot!(draw(&[
        "components: [nats, router]\nserver:\n  nats: {ip: 10.0.0.1}\n  router:\n    \
         ip: 10.0.0.1\n    ssh: {user: admin}\n",
        "components: [nats, router]\nserver:\n  nats:\n    ip:\n      \
         - {ip: 10.0.0.1, ssh: {port: 2222}}\n  router:\n    ip: 10.0.0.1\n",
    ]));
}

#[test]
fn logins_that_say_the_same_in_other_words() {
    let text = "components: [nats, router]\nserver:\n  nats: {ip: 10.0.0.1}\n  \
                router: {ip: 10.0.0.1, ssh: {user: paas, port: 22}}\n";
    assert_eq!(problems(text), []);
}

#[test]
fn keys() {
    insta::assert_snapshot!(draw(&[
        "componets: [nats]\nserver: {nats: {ip: 10.0.0.1}}\n",
        "components: [nats]\nserver: {nats: {ip: 10.0.0.1, tamplate: nats.yml.erb}}\n",
        "components: [nats]\nserver: {nats: {ip: 10.0.0.1, template: nats.yml.erb}}\n",
        "components: [nats]\nserver:\n  nats: {ip: 10.0.0.1}\n  nats: {ip: 10.0.0.2}\n",
        "components: [nats]\nserver: {nats: {ip: 10.0.0.1}}\nserver: {}\n",
        "components: [nats]\nserver: {nats: {ip: 10.0.0.1, ip: 10.0.0.2}}\n",
    ]));
}

#[test]
fn values() {
    insta::assert_snapshot!(draw_after_nats(&[
        "vars: {greeting: \"a\\0b\"}\n",
        "vars: {deep: {list: [\"a\\0b\"]}}\n",
        "vars: {deep: {\"k\\0\": 1}}\n",
        "ssh: {user: \"root; reboot\"}\n",
        "ssh: {user: -oProxyCommand=sh}\n",
        "ssh: {user: 0day}\n",
        "packages: [nginx=1.2, --reinstall, Python3]\n",
        "release: {paas_release: {git: --upload-pack=sh, ref: main}}\n",
        "release: {paas_release: {git: \"https://example.org/r.git\", ref: -f}}\n",
        "release: {paas_release: {path: \"a\\0b\"}}\n",
    ]));
}

#[test]
fn many_at_once_in_the_order_of_the_file() {
    insta::assert_snapshot!(draw(&["nats: 10.0.0.9\n\
        ssh: {usr: root}\n\
        components: [nats, router, router, uaa]\n\
        server:\n  \
          nats: {ip: 10.0.0.1, canaries: 5}\n  \
          router: {ip: [10.0.0.1, 10.0.0.300]}\n  \
          uaaa: {ip: 10.0.0.3, jobs: [uaa]}\n",]));
}
