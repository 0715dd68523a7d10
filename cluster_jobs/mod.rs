//! The built-in jobs: one folder each, with the script as a template and its Rust face.
//!
//! `docs/writing-a-job.md` says how to add one.

mod cassandra;
mod cloud_controller_ng;
mod dea_ng;
mod dnsmaster;
mod firstbox;
mod health_manager;
mod memcached;
mod mysql_gateway;
mod mysql_node;
mod nats;
mod pgpool;
mod pgserver;
mod postgres;
mod proxy;
mod router;
mod uaa;
mod webservice;
mod zookeeper;

use std::net::IpAddr;

use crate::job::{Context, Job, JobError};
use crate::script::Values;

/// The domain of the applications unless `vars.domain` says otherwise.
const DOMAIN: &str = "paas.local";
/// The secret that the database's users log in with.
const POSTGRES_PASSWORD: &str = "postgres_password";
/// The secret that uaa signs its tokens with, and that the cloud controller checks them with.
const UAA_TOKEN_SECRET: &str = "uaa_token_secret";
/// The password of uaa's administrator, whom the gateway of MySQL acts as.
const UAA_ADMIN_PASSWORD: &str = "uaa_admin_password";
/// The secret that the global control plane's services log in to its databases with.
const KS_PASSWORD: &str = "ks_password";
/// The secret of the login that may only look at a database server's state.
const KS_MONITOR_PASSWORD: &str = "ks_monitor_password";
/// Every secret of the databases of the global control plane.
const KS_SECRETS: [&str; 5] = [
    "ks_superuser_password",
    "ks_replication_password",
    "ks_rest_password",
    KS_PASSWORD,
    KS_MONITOR_PASSWORD,
];

/// Makes all built-in jobs.
pub fn all() -> Vec<Box<dyn Job>> {
    vec![
        nats::job(),
        router::job(),
        postgres::job(),
        uaa::job(),
        cloud_controller_ng::job(),
        health_manager::job(),
        dea_ng::job(),
        mysql_gateway::job(),
        mysql_node::job(),
        firstbox::job(),
        dnsmaster::job(),
        zookeeper::job(),
        memcached::job(),
        cassandra::job(),
        pgserver::job(),
        pgserver::recovery_job(),
        proxy::job(),
        pgpool::job(),
        webservice::job(),
    ]
}

/// The ZooKeepers that belong together: all of them in the schemes that heal themselves, else those
/// of the host's own room.
fn ensemble(context: &Context<'_>) -> Result<Vec<IpAddr>, JobError> {
    let ks = context.global_ks()?;
    if ks.scheme.heals_itself() {
        return Ok(context.hosts_of("zookeeper"));
    }
    let (_, room) = context.room()?;
    Ok(context.cluster.hosts_in(room, "zookeeper"))
}

/// Where these ZooKeepers listen for clients.
fn zookeeper_addresses(context: &Context<'_>) -> Result<Vec<String>, JobError> {
    let hosts = ensemble(context)?.into_iter();
    Ok(hosts.map(|host| format!("{}:2181", in_url(host))).collect())
}

/// Where the ZooKeepers of the other rooms listen.
fn zookeepers_of_others(context: &Context<'_>) -> Result<Vec<String>, JobError> {
    let (ks, room) = context.room()?;
    let others = ks.rooms.iter().filter(|other| other.name != room.name);
    let hosts = others.flat_map(|other| context.cluster.hosts_in(other, "zookeeper"));
    Ok(hosts.map(|host| format!("{}:2181", in_url(host))).collect())
}

/// An address as it stands before a colon and a port: an IPv6 one in brackets.
fn in_url(host: IpAddr) -> String {
    match host {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    }
}

/// `vars.io_port`: 8000 unless the site has it at 8011, as some have.
fn io_port(context: &Context<'_>) -> Result<u16, JobError> {
    let Some((value, place)) = context.var("io_port") else {
        return Ok(8000);
    };
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number.filter(|port| *port > 0).ok_or_else(|| JobError {
        message: format!("vars.io_port is {value}; a port is expected: a number"),
        place: Some(*place),
    })
}

/// Sets where apt finds the site's own packages: what the first box serves, or nothing, unless the
/// site says so.
fn set_site_repository(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    let firstbox = context.hosts_of("firstbox").first().copied();
    let repository = firstbox.map(|host| format!("http://{}:8899/", in_url(host)));
    context.set_var(values, "pitrix_repository", &repository.unwrap_or_default())
}

/// Sets what a client of postgres has to know.
fn set_database(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_address(values, "postgres_ip", "postgres")?;
    set_role(context, values)
}

/// Sets the role that uaa and the cloud controller use, and its password.
fn set_role(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_var(values, "postgres_role", "root")?;
    context.set_secret(values, POSTGRES_PASSWORD)
}
