//! What validation promises for any file: it never panics, also after problems of shape, and what
//! it lets through can be deployed.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::catalog;
use paas_cluster_build::cluster_file::{ClusterFile, render_problems};
use paas_cluster_build::model::Cluster;
use proptest::prelude::*;

const JOBS: [&str; 5] = ["nats", "router", "postgres", "uaa", "cloud_controller_ng"];

/// A name, mostly of a job.
fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        9 => prop::sample::select(&JOBS[..]),
        1 => prop::sample::select(vec!["web", "Nats-1", "bootstrap", "~", "[a]"]),
    ]
}

/// An entry of `ip`: few addresses, so that they meet.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (1..6u8).prop_map(|n| format!("10.0.0.{n}")),
        1 => (1..6u8, 0..3u8).prop_map(|(n, i)| format!("{{ip: 10.0.0.{n}, index: {i}}}")),
        1 => prop::sample::select(vec!["10.0.0.300", "host", "{index: 1}", "-1"])
            .prop_map(str::to_owned),
    ]
}

/// A block under `server`.
fn block() -> impl Strategy<Value = String> {
    let jobs = prop::option::weighted(0.2, prop::collection::vec(name(), 0..3));
    let rest = prop::sample::select(vec![
        "",
        ", canaries: 1",
        ", max_in_flight: 0",
        ", ssh: {port: 2222}",
        ", tamplate: x",
        ", release: {}",
    ]);
    let rest = prop_oneof![4 => Just(""), 1 => rest];
    (prop::collection::vec(entry(), 0..3), jobs, rest).prop_map(|(ips, jobs, rest)| {
        let jobs = jobs.map(|jobs| format!(", jobs: [{}]", jobs.join(", ")));
        format!(
            "{{ip: [{}]{}{rest}}}",
            ips.join(", "),
            jobs.unwrap_or_default()
        )
    })
}

/// A cluster file that is right more often than not: jobs in their order, some of them together in
/// composites, a few hosts that may meet.
fn good_file() -> impl Strategy<Value = String> {
    let host = (0..60u8).prop_map(|n| format!("10.0.0.{n}"));
    let hosts = prop::collection::btree_set(host, 1..4);
    let component = (1..3usize, hosts);
    prop::collection::vec(component, 1..5).prop_map(|components| {
        let mut jobs = JOBS.iter();
        let mut order = Vec::new();
        let mut server = String::new();
        for (number, (size, hosts)) in components.into_iter().enumerate() {
            let jobs: Vec<&str> = jobs.by_ref().take(size).copied().collect();
            if jobs.is_empty() {
                break;
            }
            let hosts: Vec<String> = hosts.into_iter().collect();
            let (jobs, hosts) = (jobs.join(", "), hosts.join(", "));
            server += &format!("  c{number}: {{jobs: [{jobs}], ip: [{hosts}]}}\n");
            order.push(format!("c{number}"));
        }
        format!("components: [{}]\nserver:\n{server}", order.join(", "))
    })
}

/// A cluster file that is wrong in some places.
fn bad_file() -> impl Strategy<Value = String> {
    let top = prop::sample::select(vec![
        "",
        "nats: 10.0.0.1\n",
        "cc: 10.0.0.2\nuaa: 10.0.0.3\n",
        "release: {paas_release: {git: a}}\n",
        "release: {paas_release: {}}\n",
        "release: {micro_paas: {git: a, ref: b}, paas_release: {url: x}}\n",
        "sudo: {keep: true}\n",
        "ssh: {password: x, jump: [-a]}\n",
    ]);
    // In the order that fits, or any.
    let order = prop_oneof![
        2 => (1..=JOBS.len()).prop_map(|n| JOBS[..n].to_vec()),
        1 => prop::collection::vec(name(), 0..5),
    ];
    let others = prop::collection::vec((name(), block()), 0..2);
    let blocks = prop::collection::vec(block(), 5);
    (top, order, blocks, others).prop_map(|(top, order, blocks, others)| {
        let listed = order.iter().copied().zip(blocks).chain(others);
        let server: String = listed.map(|(n, b)| format!("  {n}: {b}\n")).collect();
        format!("{top}components: [{}]\nserver:\n{server}", order.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_file_is_a_cluster_that_can_be_deployed_or_has_problems(text in prop_oneof![good_file(), bad_file()]) {
        let path = Path::new("cluster.yml");
        let facts = catalog().facts();
        let (file, found) = ClusterFile::parse(path, &text);
        let Some(file) = file else { return Ok(()) };
        // The binary asks for more problems also when the shape has some.
        let cluster = match Cluster::new(&file, &facts, None) {
            Ok(cluster) if found.is_empty() => cluster,
            Ok(_) => return Ok(()),
            Err(problems) => {
                let lines = text.lines().count();
                for problem in &problems {
                    prop_assert!(problem.place.line as usize <= lines, "{problem:?}");
                }
                render_problems(path, &text, &problems, true);
                return Ok(());
            }
        };
        let mut done = BTreeSet::new();
        let mut on_host = BTreeSet::new();
        for component in &cluster.components {
            prop_assert!(!component.instances.is_empty());
            for job in &component.jobs {
                let facts = facts.iter().find(|facts| facts.name == *job).unwrap();
                for need in &facts.needs {
                    prop_assert!(done.contains(&need.job), "{job} before {}", need.job);
                }
                done.insert(job.clone());
                for instance in &component.instances {
                    prop_assert!(on_host.insert((instance.address, job.clone())), "{job} twice");
                    prop_assert!(cluster.host(instance.address).is_some());
                }
            }
        }
    }
}
