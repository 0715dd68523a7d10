//! The release of 2013 itself, unmodified, with our packages: eleven machines of the lab become a
//! cluster. PAAS_REAL_RELEASE names its folder; counted as skipped without it, and where no machines
//! can be booted.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::example::{await_healthy, await_page, cluster_text, database, is_built};
use common::site::Site;
use common::{injected, root, skip};

const ROUTERS: [&str; 2] = ["10.78.59.188", "10.78.59.172"];

/// The whole of a page's way, for each router and each dea.
fn assert_every_page_comes() {
    for router in ROUTERS {
        for dea in 0..2 {
            let page = await_page(router, &format!("dea-{dea}.paas.local"));
            assert!(
                page.contains(&format!("hello from dea index {dea}")),
                "{page}"
            );
        }
    }
}

#[test]
fn the_real_release_with_our_packages_becomes_a_cluster() {
    let Some(real) = std::env::var_os("PAAS_REAL_RELEASE") else {
        skip("the real release on machines: PAAS_REAL_RELEASE names no folder of it");
        return;
    };
    let text = cluster_text("config/cluster.yml", "real", "10.1.59.", "10.78.59.");
    let ours = root().join("deploy/paas-release").display().to_string();
    assert!(text.contains(&ours));
    let text = text.replace(&ours, "paas-release");
    let copy = |folder: &Path| {
        let copied = Command::new("cp")
            .arg("-R")
            .arg(&real)
            .arg(folder.join("paas-release"))
            .status();
        assert!(copied.unwrap().success());
    };
    let Some(site) = Site::prepared(&text, copy) else {
        return;
    };
    site.succeeds(&["lab", "up", "--preinstall"]);
    let begun = Instant::now();
    site.succeeds(&["build", "--yes"]);
    let built = begun.elapsed();
    assert_every_page_comes();
    let begun = Instant::now();
    is_built(&site);
    let again = begun.elapsed();
    let made = database(&site, "real", "10.78.59.187", "10.78.59.180");
    assert!(
        made["node_id"]
            .as_str()
            .unwrap()
            .starts_with("mysql_node_free_")
    );
    // For the record of those who run it with `--nocapture`.
    println!("the real release: built in {built:.0?}, and looked at again in {again:.0?}");

    // What the release doesn't do by itself: everything comes back after the power was lost.
    for host in ["10.78.59.170", "10.78.59.180", "10.78.59.175"] {
        site.succeeds(&["lab", "kill", host]);
        site.succeeds(&["lab", "boot", host]);
    }
    injected(3, "power losses of machines with the real release");
    await_healthy(&site);
    assert_every_page_comes();
    database(&site, "real", "10.78.59.187", "10.78.59.180");
}
