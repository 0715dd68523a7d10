//! Every way in which the values of a cluster file can fail to fit together, as the operator sees
//! it. Mistakes of shape are snapshots beside `cluster_file`.

mod common;

use std::path::Path;

use common::catalog;
use paas_cluster_build::cluster_file::{ClusterFile, render_problems, sort_problems};
use paas_cluster_build::model::{Cluster, JobFacts, Port};

/// Everything that is wrong with a file, as it's drawn.
fn problems(text: &str) -> String {
    let path = Path::new("cluster.yml");
    let (file, mut problems) = ClusterFile::parse(path, text);
    if let Some(file) = file
        && let Err(more) = Cluster::new(&file, &catalog().facts(), None)
    {
        problems.extend(more);
    }
    sort_problems(&mut problems);
    assert!(!problems.is_empty(), "nothing is found wrong with:\n{text}");
    render_problems(path, text, &problems, false)
}

/// Makes one snapshot test for each bad file.
macro_rules! bad_files {
    ($($name:ident: $text:expr;)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(problems($text));
            }
        )*
    };
}

bad_files! {
    top_level_addresses_that_disagree: "\
nats: 10.0.0.9
uaa: 10.0.0.8
cc: 10.0.0.7
components: [nats, data]
server:
  nats: {ip: 10.0.0.1}
  data: {ip: 10.0.0.2, jobs: [postgres, uaa, cloud_controller_ng]}
";
    a_component_without_a_block_and_a_block_without_a_component: "\
components: [nats, router]
server:
  nats: {ip: 10.0.0.1}
  routr: {ip: 10.0.0.2, jobs: [router]}
";
    a_scheme_with_the_wrong_number_of_rooms: "\
global_ks:
  scheme: three-rooms
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    an_arbiter_that_is_missing: "\
global_ks:
  scheme: two-rooms-arbiter
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    an_arbiter_where_zookeeper_is_shared: "\
global_ks:
  scheme: two-rooms-converged
  arbiter: 10.3.0.1
  rooms:
    - {name: global1a, zone: alpha, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, zone: beta, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    a_room_without_a_zone_whose_database_it_carries: "\
global_ks:
  scheme: two-rooms-converged
  rooms:
    - {name: global1a, zone: alpha, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    a_zone_in_two_rooms: "\
global_ks:
  scheme: two-rooms
  rooms:
    - {name: global1a, zone: alpha, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, zone: alpha, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    an_arbiter_inside_a_room: "\
global_ks:
  scheme: two-rooms-arbiter
  arbiter: 10.1.0.2
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1, 10.1.0.2]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    a_room_with_the_majority: "\
global_ks:
  scheme: two-rooms-arbiter
  arbiter: 10.3.0.1
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.1.0.2, 10.2.0.1, 10.3.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    an_even_ensemble_in_a_room: "\
global_ks:
  scheme: two-rooms
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.1.0.2, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    two_servers_that_wait_for_the_other_room_only: "\
global_ks:
  scheme: two-rooms
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.1.0.2, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    a_recovery_database_without_servers: "\
global_ks:
  scheme: two-rooms
  recovery_pg: true
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.1.0.2]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    a_machine_in_no_room_and_one_in_two: "\
global_ks:
  scheme: two-rooms
  rooms:
    - {name: global1a, hosts: [10.1.0.1, 10.2.0.1]}
    - {name: global2a, hosts: [10.2.0.1, 10.2.0.2]}
components: [zookeeper, memcached, pgserver, proxy, pgpool, webservice]
server:
  zookeeper: {ip: [10.1.0.1, 10.2.0.1]}
  memcached: {ip: [10.1.0.1, 10.2.0.1]}
  pgserver: {ip: [10.1.0.1, 10.2.0.1]}
  proxy: {ip: [10.1.0.1, 10.2.0.1]}
  pgpool: {ip: [10.1.0.1, 10.2.0.1]}
  webservice: {ip: [10.1.0.2, 10.2.0.2]}
";
    jobs_of_rooms_without_rooms: "\
components: [zookeeper]
server:
  zookeeper: {ip: 10.0.0.1}
";
    more_to_stay_up_than_there_are: "\
components: [router]
server:
  router: {ip: [10.0.0.1, 10.0.0.2], min_up: 2}
";
    a_component_listed_twice: "\
components: [nats, nats]
server:
  nats: {ip: 10.0.0.1}
";
    an_address_twice_in_a_component: "\
components: [nats, router]
server:
  nats: {ip: 10.0.0.1}
  router: {ip: [10.0.0.2, 10.0.0.3, 10.0.0.2]}
";
    no_address: "\
components: [nats]
server:
  nats: {ip: []}
";
    what_is_no_address: "\
components: [nats]
server:
  nats: {ip: [10.0.0.256, nats.example, 10.0.0]}
";
    unknown_jobs: "\
components: [nats, ruoter, data]
server:
  nats: {ip: 10.0.0.1}
  ruoter: {ip: 10.0.0.2}
  data: {ip: 10.0.0.3, jobs: [postgre, weather]}
";
    an_empty_composite_and_one_with_a_job_twice: "\
components: [a, b]
server:
  a: {ip: 10.0.0.1, jobs: []}
  b: {ip: 10.0.0.2, jobs: [nats, nats]}
";
    a_needed_component_that_is_not_there: "\
components: [uaa]
server:
  uaa: {ip: 10.0.0.1}
";
    a_needed_component_that_comes_later: "\
components: [router, nats]
server:
  nats: {ip: 10.0.0.1}
  router: {ip: 10.0.0.2}
";
    a_composite_in_the_wrong_order: "\
components: [all]
server:
  all: {ip: 10.0.0.1, jobs: [router, nats]}
";
    a_needed_job_in_a_composite_that_comes_later: "\
components: [nats, uaa, data]
server:
  nats: {ip: 10.0.0.1}
  uaa: {ip: 10.0.0.2}
  data: {ip: 10.0.0.3, jobs: [postgres]}
";
    a_block_that_no_component_uses: "\
components: [nats]
server:
  nats: {ip: 10.0.0.1}
  weather: {ip: 10.0.0.2}
";
    a_misspelt_list_of_components_brings_no_other_problems: "\
componets: [nats]
server:
  nats: {ip: 10.0.0.1}
";
    an_address_that_cannot_be_read_brings_no_other_problems: "\
nats: 10.0.0.1
components: [nats]
server:
  nats:
    canaries: 3
    ip: [10.0.0.1O, 10.0.0.2, {ip: 10.0.0.3, index: 0}]
";
    one_address_in_two_spellings: "\
components: [nats]
server:
  nats: {ip: [10.0.0.1, '::ffff:10.0.0.1']}
";
    keys_of_the_tool_that_was_before: "\
components: [nats]
server:
  nats: {ip: 10.0.0.1, template: nats.yml.erb}
  nats: {ip: 10.0.0.1, tamplate: nats.yml.erb}
";
    one_job_in_two_components_of_a_host: "\
components: [nats, all]
server:
  nats: {ip: 10.0.0.1}
  all: {ip: 10.0.0.1, jobs: [nats, router]}
";
    an_index_twice: "\
components: [nats, router]
server:
  nats: {ip: 10.0.0.1}
  router: {ip: [10.0.0.2, {ip: 10.0.0.3, index: 0}]}
";
    limits_that_make_no_sense: "\
max_in_flight: 0
components: [nats]
server:
  nats: {ip: 10.0.0.1, canaries: 2}
";
    two_logins_for_one_machine: "\
components: [nats, router]
server:
  nats: {ip: 10.0.0.1}
  router: {ip: 10.0.0.1, ssh: {user: admin}}
";
    a_name_of_the_tools_own: "\
components: [bootstrap]
server:
  bootstrap: {ip: 10.0.0.1, jobs: [nats]}
";
    values_that_could_be_options_or_worse: "\
release: {paas_release: {git: --upload-pack=x, ref: -b}}
packages: [-y, Nginx, 'a b']
ssh: {user: '-oProxyCommand=x', password: hunter2}
vars: {domain: \"a\\0b\"}
components: [nats]
server:
  nats: {ip: 10.0.0.1}
";
    keys_unknown_and_twice: "\
nats: 10.0.0.1
nats: 10.0.0.1
component: [nats]
components: [nats]
server:
  nats: {ip: 10.0.0.1, pakages: [x]}
";
    not_yaml_at_all: "components: [nats\nserver:\n  nats: {ip: 10.0.0.1}\n";
}

/// No two built-in jobs share a port, so a job of the site's own has to.
#[test]
fn two_services_on_one_port() {
    let text = "\
components: [nats, router, web, edge]
server:
  nats: {ip: 10.0.0.1}
  router: {ip: 10.0.0.2}
  web: {ip: 10.0.0.2}
  edge: {ip: 10.0.0.3, jobs: [router, web]}
";
    let path = Path::new("cluster.yml");
    let (file, found) = ClusterFile::parse(path, text);
    assert!(found.is_empty(), "{found:?}");
    let mut jobs = catalog().facts();
    jobs.push(JobFacts {
        name: "web".to_owned(),
        needs: Vec::new(),
        provides: vec![Port {
            name: "http".to_owned(),
            number: 80,
        }],
        needs_release: false,
        packages: Vec::new(),
        needs_one_release: None,
    });
    let mut problems = Cluster::new(&file.unwrap(), &jobs, None).unwrap_err();
    sort_problems(&mut problems);
    insta::assert_snapshot!(render_problems(path, text, &problems, false));
}

#[test]
fn what_only_looks_like_a_contradiction_is_none() {
    for text in [
        // Any host of a job may be the one on top.
        "nats: 10.0.0.2\ncomponents: [nats]\nserver: {nats: {ip: [10.0.0.1, 10.0.0.2]}}\n",
        // Canaries for all components may be more than one of them has hosts.
        "canaries: 2\ncomponents: [nats]\nserver: {nats: {ip: 10.0.0.1}}\n",
        // The same login in other words.
        "components: [nats, router]\nserver:\n  nats: {ip: 10.0.0.1}\n  \
         router: {ip: 10.0.0.1, ssh: {user: paas, port: 22}}\n",
    ] {
        let (file, found) = ClusterFile::parse(Path::new("cluster.yml"), text);
        assert_eq!(found, [], "{text}");
        let cluster = Cluster::new(&file.unwrap(), &catalog().facts(), None);
        assert_eq!(cluster.err(), None, "{text}");
    }
}

/// What fits is a cluster: order, indices, levels of settings, defaults.
#[test]
fn a_file_becomes_the_cluster_that_it_describes() {
    let text = "\
name: mine
vars: {domain: a.example}
ssh: {user: admin, port: 2222}
packages: [python3]
max_in_flight: 3
components: [nats, router]
server:
  nats: {ip: 10.0.0.1, packages: [nats-server]}
  router:
    ip: [10.0.0.3, {ip: 10.0.0.2, index: 7, vars: {domain: c.example}}]
    ssh: {port: 22}
    max_in_flight: 1
    canaries: 1
    vars: {domain: b.example}
";
    let (file, found) = ClusterFile::parse(Path::new("x/cluster.yml"), text);
    assert!(found.is_empty(), "{found:?}");
    let cluster = Cluster::new(&file.unwrap(), &catalog().facts(), None).unwrap();
    assert_eq!(cluster.name, "mine");
    let addresses: Vec<String> = cluster
        .hosts
        .iter()
        .map(|h| h.address.to_string())
        .collect();
    assert_eq!(addresses, ["10.0.0.1", "10.0.0.3", "10.0.0.2"]);
    let nats = &cluster.hosts[0];
    assert_eq!((nats.ssh.user.as_str(), nats.ssh.port), ("admin", 2222));
    assert_eq!(nats.packages, ["nats-server", "python3"]);
    assert_eq!(cluster.hosts[1].ssh.port, 22);
    let router = cluster.component("router").unwrap();
    let indices: Vec<u32> = router.instances.iter().map(|i| i.index).collect();
    assert_eq!(indices, [0, 7]);
    assert_eq!((router.max_in_flight, router.canaries), (Some(1), 1));
    assert_eq!(cluster.component("nats").unwrap().max_in_flight, Some(3));
    assert_eq!(
        cluster.needs_release(&catalog().facts()),
        ["nats", "router"]
    );
}

#[test]
fn a_selection_is_what_was_named_and_nothing_else() {
    let catalog = catalog();
    let cluster = common::cluster("config/cluster.yml", &catalog);
    let hosts = |components: &[&str], limits: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        cluster
            .select(&owned(components), &owned(limits))
            .map(|selection| {
                let hosts = selection.hosts();
                hosts
                    .map(|host| host.to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
    };
    assert_eq!(hosts(&["router"], &[]).unwrap(), "10.1.59.172 10.1.59.188");
    assert_eq!(
        hosts(&[], &["router", "10.1.59.160"])
            .unwrap()
            .split(' ')
            .count(),
        3
    );
    assert_eq!(
        hosts(&["mysql_node"], &["10.1.59.175"]).unwrap(),
        "10.1.59.175"
    );
    let selection = cluster.select(&[], &["10.1.59.175".to_owned()]).unwrap();
    assert!(selection.has_component("mysql_gateway") && selection.has_component("mysql_node"));
    assert!(!selection.has_component("nats"));
    let error = hosts(&["nats"], &["router"]).unwrap_err().to_string();
    assert!(error.contains("nothing is left"), "{error}");
    let error = hosts(&["ruter", "nast"], &["10.1.59.16"])
        .unwrap_err()
        .to_string();
    for name in ["ruter", "nast", "10.1.59.16"] {
        assert!(error.contains(name), "{error}");
    }
}
