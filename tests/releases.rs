//! A cluster whose hosts have different releases of Debian: what can't work together is told before
//! anything is changed.

mod common;

use std::net::IpAddr;

use common::{catalog, cluster, root, sh};
use paas_cluster_build::plan::{Facts, Finding, HostFacts, HostState, preflight};

const RECEIPT: &str = r#"{"schema":1,"step":"pgserver","action":"deploy","script_sha256":"","inputs":{},"run":"r1","operator":"o","workstation":"w","version":"1","status":0,"started":1,"finished":2,"boot_id":"b"}"#;

/// What the hosts of config/global-ks.yml say, those for data with the release that `of` gives them.
fn found(of: impl Fn(&str) -> (&'static str, bool)) -> Vec<Finding> {
    let cluster = cluster("config/global-ks.yml", &catalog());
    let mut facts = Facts::default();
    for host in &cluster.hosts {
        let (version, is_built) = of(&host.address.to_string());
        let mut said = format!(
            "os_id debian\nos_version {version}\nos_name Debian GNU/Linux {version}\ninit systemd\n"
        );
        if is_built {
            said += &format!("receipt pgserver {RECEIPT}\n");
        }
        let known = HostFacts::parse(&said, jiff::Timestamp::now());
        assert_eq!(known.receipts.len(), usize::from(is_built), "{said}");
        let state = HostState::Known(Box::new(known));
        facts.hosts.insert(host.address, state);
    }
    let selection = cluster.select(&[], &[]).unwrap();
    preflight(&cluster, &selection, &catalog().facts(), &facts)
}

#[test]
fn databases_that_cannot_copy_each_other_are_refused() {
    let findings = found(|host| match host {
        "10.8.2.11" | "10.8.2.12" => ("13", false),
        _ => ("12", false),
    });
    let [finding] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert_eq!(finding.host, "10.8.2.11".parse::<IpAddr>().unwrap());
    assert_eq!(
        finding.problem,
        "Debian GNU/Linux 13 here, Debian GNU/Linux 12 on 10.8.1.11: pgserver needs one release on all \
         its hosts (Debian 12 has PostgreSQL 15, 13 has 17, and they can't copy each other); give this \
         host that release"
    );
}

#[test]
fn a_new_host_has_to_be_like_those_that_are_built() {
    let findings = found(|host| match host {
        "10.8.3.11" => ("12", false),
        _ => ("13", host != "10.8.1.11"),
    });
    let hosts: Vec<String> = findings.iter().map(|it| it.host.to_string()).collect();
    assert_eq!(hosts, ["10.8.3.11"]);
}

#[test]
fn one_release_or_an_upgrade_under_way_is_fine() {
    assert_eq!(found(|_| ("13", false)), []);
    let upgraded = found(|host| (if host == "10.8.1.11" { "13" } else { "12" }, true));
    assert_eq!(upgraded, []);
}

/// After an upgrade in place two PostgreSQLs are installed, and only the older can read the data.
#[test]
fn data_is_read_by_the_programs_of_its_own_postgresql() {
    let common = std::fs::read_to_string(root().join("deploy/ks/common.sh")).unwrap();
    let start = common.find("pg_bin() {").unwrap();
    let (function, _) = common[start..].split_once("\n}\n").unwrap();
    let home = tempfile::TempDir::new().unwrap();
    let own = home.path().join("data");
    let kept = home.path().join("kept");
    for (folder, version) in [(&own, "7"), (&kept, "8")] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("PG_VERSION"), format!("{version}\n")).unwrap();
    }
    let (home, kept) = (home.path().display(), kept.display());
    let script =
        format!("set -eu\nhome={home}\n{function}\n}}\npg_bin\npg_bin ''\npg_bin {kept}\n");
    let output = sh(&script);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "/usr/lib/postgresql/7/bin\n/usr/lib/postgresql/7/bin\n/usr/lib/postgresql/8/bin\n",
        "{output:?}"
    );
}
