//! What the built-in jobs make of a cluster file: addresses, variables, and no value for nothing.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{catalog, root, secrets};
use paas_cluster_build::cluster_file::{ClusterFile, Place};
use paas_cluster_build::job::{Action, Catalog, Context, JobError};
use paas_cluster_build::model::Cluster;
use paas_cluster_build::script::Values;
use regex::Regex;

/// The smallest cluster of all nine, each on a host of its own; `{}` stands for an address's start.
const CLUSTER: &str = "\
components:
  [nats, router, postgres, uaa, cloud_controller_ng, health_manager, dea_ng, mysql_gateway, mysql_node]
server:
  nats: {ip: '{}1'}
  router: {ip: '{}2'}
  postgres: {ip: '{}3'}
  uaa: {ip: '{}4'}
  cloud_controller_ng: {ip: '{}5'}
  health_manager: {ip: '{}6'}
  dea_ng: {ip: '{}7'}
  mysql_gateway: {ip: '{}8'}
  mysql_node: {ip: '{}9'}
";

fn read(text: &str, catalog: &Catalog) -> Cluster {
    let (file, problems) = ClusterFile::parse(Path::new("cluster.yml"), text);
    assert!(problems.is_empty(), "{problems:?}");
    Cluster::new(&file.unwrap(), &catalog.facts(), None).unwrap()
}

/// The values of a component's job on its first host, and the script that they make.
fn deploy(cluster: &Cluster, catalog: &Catalog, name: &str) -> Result<(Values, String), JobError> {
    let component = cluster.component(name).unwrap();
    let secrets = secrets();
    let context = Context {
        cluster,
        component,
        instance: &component.instances[0],
        secrets: &secrets,
        site_packages: None,
    };
    let job = catalog.get(name).unwrap();
    let values = job.values(&context)?;
    let script = job.render(Action::Deploy, &values)?;
    Ok((values, script))
}

#[test]
fn a_value_is_named_exactly_where_a_template_uses_it() {
    let catalog = catalog();
    let cluster = read(&CLUSTER.replace("{}", "10.0.0."), &catalog);
    let used = Regex::new(r"\{\{\s*(\w+)\s*\}\}").unwrap();
    let forms = Regex::new(r"\{(\w+)(?::\w+)?\}").unwrap();
    for component in &cluster.components {
        let (values, _) = deploy(&cluster, &catalog, &component.name).unwrap();
        // The prelude uses these in every script.
        let base = ["paas_user", "paas_home", "own_address"];
        let named: BTreeSet<&str> = values
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !base.contains(name))
            .collect();
        let (_, template) = catalog.get(&component.name).unwrap().template();
        // What it sets in the release is data beside it: a value stands in braces there.
        let folder = root().join("cluster_jobs").join(&component.name);
        let settings = std::fs::read_to_string(folder.join("settings.rs")).unwrap();
        let used: BTreeSet<&str> = used
            .captures_iter(template)
            .chain(forms.captures_iter(&settings))
            .map(|found| found.get(1).unwrap().as_str())
            .collect();
        let used: BTreeSet<&str> = used.difference(&BTreeSet::from(base)).copied().collect();
        assert_eq!(named, used, "{}", component.name);
    }
}

#[test]
fn an_ipv6_address_stands_in_brackets_in_urls_only() {
    let catalog = catalog();
    let cluster = read(&CLUSTER.replace("{}", "fd00::"), &catalog);
    let script = |name: &str| deploy(&cluster, &catalog, name).unwrap().1;
    assert!(script("nats").contains("net fd00::1\n"));
    assert!(script("router").contains("mbus 'nats://[fd00::1]:4222'\n"));
    assert!(script("uaa").contains("database.host fd00::3\n"));
    let cc = script("cloud_controller_ng");
    assert!(cc.contains("uaa.url 'http://[fd00::4]:8080'\n"), "{cc}");
    let gateway = script("mysql_gateway");
    assert!(gateway.contains("cloud_controller_url 'http://[fd00::5]'\n"));
    assert!(gateway.contains("UAA_URL 'http://[fd00::4]:8080'\n"));
}

#[test]
fn a_variable_of_another_kind_is_an_error_at_its_place() {
    let catalog = catalog();
    let text = CLUSTER.replace("{}", "10.0.0.") + "vars:\n  domain: 12\n";
    let error = deploy(&read(&text, &catalog), &catalog, "dea_ng").unwrap_err();
    let said = "vars.domain is 12; a text is expected, in quotes";
    assert_eq!(error.to_string(), said);
    assert_eq!(error.place, Some(Place::new(14, 11)));
}

/// Debian has no Cassandra, so the site says where it comes from, or the step can't be planned.
#[test]
fn cassandra_without_a_source_is_an_error() {
    let catalog = catalog();
    let file = std::fs::read_to_string(root().join("tests/fixtures/cassandra.yml")).unwrap();
    let (start, rest) = file.split_once("vars:\n").unwrap();
    let (_, rest) = rest.split_once("\n\n").unwrap();
    for vars in [
        "",
        "vars:\n  cassandra_url: http://packages.example/c.tar.gz\n",
    ] {
        let text = format!("{start}{vars}{rest}");
        let error = deploy(&read(&text, &catalog), &catalog, "cassandra").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("Debian has no Cassandra: set vars.cassandra_package to a package"),
            "{error}"
        );
    }
    deploy(&read(&file, &catalog), &catalog, "cassandra").unwrap();
}

/// Bootstrap puts the release into one home of a host, whichever components it has.
#[test]
fn a_home_is_the_whole_clusters() {
    let catalog = catalog();
    let text = CLUSTER.replace("{}", "10.0.0.");
    let whole = read(&(text.clone() + "vars: {paas_home: /srv/paas}\n"), &catalog);
    let (_, script) = deploy(&whole, &catalog, "nats").unwrap();
    assert!(script.contains("\nPAAS_HOME=/srv/paas\n"));
    let one = "nats: {ip: '10.0.0.1', vars: {paas_home: /x}}";
    let part = read(&text.replace("nats: {ip: '10.0.0.1'}", one), &catalog);
    let error = deploy(&part, &catalog, "nats").unwrap_err();
    assert!(
        error.message.contains("paas_home is the whole cluster's"),
        "{error}"
    );
    assert_eq!(error.place.unwrap().line, 4);
}
