//! The first tool's plan of 2013/7/31 on four machines of the lab: its composites, without `jobs`.
//! Needs root and what `lab up` asks for; counted as skipped elsewhere.

mod common;

use common::example::{await_healthy, await_page, cluster_text, database, is_built};
use common::injected;
use common::site::Site;

#[test]
fn the_first_tools_four_machines_are_built_and_come_back() {
    let text = cluster_text(
        "config/cluster_0731.yml",
        "e2e-0731",
        "10.1.61.",
        "10.77.62.",
    );
    let Some(site) = Site::prepared(&text, |_| ()) else {
        return;
    };
    site.succeeds(&["lab", "up", "--preinstall"]);
    // As on most machines, the host's name leads to its address: then MySQL has accounts of root's that
    // are for that name alone.
    let named = "echo \"10.77.62.251 $(hostname)\" >>/etc/hosts";
    site.on("10.77.62.251", named);
    site.succeeds(&["build", "--yes"]);
    await_page("10.77.62.161", "dea-0.paas.local");
    is_built(&site);
    database(&site, "e2e-0731", "10.77.62.253", "10.77.62.253");

    // The host of the databases, of uaa and of cc: who drops a database at a first start drops none
    // that is there, also where what it takes for the sign of one is gone.
    let rows = "cd /tmp && runuser -u paas -- /home/paas/build_dir/target/postgres/bin/psql \
                -h localhost -AtX -d cloud_controller -c 'select count(*) from services'";
    let before = site.on("10.77.62.253", rows);
    assert!(before.trim().parse::<u32>().unwrap() > 0, "{before}");
    let forget = "rm /home/paas/vcap/sys/config/uaa.yml \
                  /home/paas/vcap/sys/config/cloud_controller_ng.yml";
    site.on("10.77.62.253", forget);
    let said = site.succeeds(&[
        "build",
        "postgres_uaa_cc_hm",
        "--force",
        "--yes",
        "--output",
        "plain",
    ]);
    assert!(said.contains("kept from dropping its database"), "{said}");
    assert_eq!(site.on("10.77.62.253", rows), before);

    // The same where it's a reboot that starts them.
    site.on("10.77.62.253", &format!("{forget}; sync"));
    injected(2, "first runs of a release beside a database with data");
    for host in [
        "10.77.62.253",
        "10.77.62.251",
        "10.77.62.254",
        "10.77.62.161",
    ] {
        site.succeeds(&["lab", "kill", host]);
    }
    for host in [
        "10.77.62.161",
        "10.77.62.254",
        "10.77.62.251",
        "10.77.62.253",
    ] {
        site.succeeds(&["lab", "boot", host]);
    }
    injected(1, "power losses of all machines at once");
    await_healthy(&site);
    assert_eq!(site.on("10.77.62.253", rows), before);
    await_page("10.77.62.161", "hello.paas.local");
    database(&site, "e2e-0731", "10.77.62.253", "10.77.62.253");
}
