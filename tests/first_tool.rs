//! What the first tool's operators have in their files and fingers: its composites, its short names.

mod common;

use std::path::Path;

use common::catalog;
use paas_cluster_build::cluster_file::{ClusterFile, render_problems};
use paas_cluster_build::model::Cluster;

/// As its `config/cluster_0731.yml` is written: composites by their names, the address of one of
/// them on top as uaa's and cc's, no `jobs`.
const FOUR_MACHINES: &str = "\
nats: 10.1.59.161
uaa: 10.1.59.253
cc: 10.1.59.253
components: [nats_router, postgres_uaa_cc_hm, dea_ng, mysql_service]
server:
  nats_router: {ip: [10.1.59.161]}
  postgres_uaa_cc_hm: {ip: [10.1.59.253]}
  dea_ng: {ip: [10.1.59.254]}
  mysql_service: {ip: [10.1.59.251]}
";

fn cluster(text: &str) -> Result<Cluster, String> {
    let path = Path::new("cluster.yml");
    let (file, problems) = ClusterFile::parse(path, text);
    assert!(problems.is_empty(), "{problems:?}");
    Cluster::new(&file.unwrap(), &catalog().facts(), None)
        .map_err(|problems| render_problems(path, text, &problems, false))
}

fn selected(cluster: &Cluster, names: &[&str], limits: &[&str]) -> Result<Vec<String>, String> {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let selection = cluster.select(&owned(names), &owned(limits));
    let selection = selection.map_err(|error| error.to_string())?;
    let all = cluster.components.iter().map(|c| c.name.clone());
    Ok(all.filter(|name| selection.has_component(name)).collect())
}

#[test]
fn its_composites_are_known_by_their_names() {
    let cluster = cluster(FOUR_MACHINES).unwrap();
    let jobs = |name: &str| cluster.component(name).unwrap().jobs.join(" ");
    assert_eq!(jobs("nats_router"), "nats router");
    assert_eq!(
        jobs("postgres_uaa_cc_hm"),
        "postgres uaa cloud_controller_ng health_manager"
    );
    assert_eq!(jobs("mysql_service"), "mysql_gateway mysql_node");
}

#[test]
fn a_name_that_is_made_of_jobs_is_told_what_to_write() {
    let text = FOUR_MACHINES.replace("postgres_uaa_cc_hm", "uaa_cc_postgres");
    let problems = cluster(&text).unwrap_err();
    let help = "write `jobs: [uaa, cloud_controller_ng, postgres]` in its block";
    assert!(problems.contains(help), "{problems}");
}

#[test]
fn short_names_and_all_select_what_they_did() {
    let cluster = common::cluster("config/cluster.yml", &catalog());
    let one = |name: &str| selected(&cluster, &[name], &[]).unwrap().join(" ");
    assert_eq!(one("cc"), "cloud_controller_ng");
    assert_eq!(one("hm"), "health_manager");
    let limited = selected(&cluster, &[], &["hm"]).unwrap();
    assert_eq!(limited, ["health_manager"]);
    let all = selected(&cluster, &["all"], &[]).unwrap();
    assert_eq!(all.len(), cluster.components.len());
    let error = selected(&cluster, &["all", "ruter"], &[]).unwrap_err();
    assert!(error.contains("`ruter`"), "{error}");
}

#[test]
fn a_component_that_is_really_called_so_goes_before_a_short_name() {
    let text = "\
components: [all, hm]
server:
  all: {ip: 10.0.0.1, jobs: [nats]}
  hm: {ip: 10.0.0.2, jobs: [router]}
";
    let cluster = cluster(text).unwrap();
    assert_eq!(selected(&cluster, &["all"], &[]).unwrap(), ["all"]);
    assert_eq!(selected(&cluster, &["hm"], &[]).unwrap(), ["hm"]);
}
