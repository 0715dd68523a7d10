//! Patroni's configuration, and the guard's, as data: JSON is YAML.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Database;
use crate::job::{Context, JobError};
use crate::model::any_one_of;

/// A database server.
pub(super) struct Node {
    pub name: String,
    pub room: String,
    pub address: IpAddr,
}

/// Lists every server of a database, in the file's order.
pub(super) fn nodes(context: &Context<'_>, job: &str) -> Vec<Node> {
    let hosts = context.hosts_of(job).into_iter();
    let node = |host| {
        let ks = context.cluster.global_ks.as_ref()?;
        Some(Node {
            name: context.cluster.node_name(job, host)?,
            room: ks.room_of(host)?.name.clone(),
            address: host,
        })
    };
    hosts.filter_map(node).collect()
}

/// Makes the whole of Patroni's configuration; words that begin with @ are filled in on the host.
pub(super) fn patroni(
    database: &Database,
    context: &Context<'_>,
    nodes: &[Node],
    shared_buffers: &str,
) -> Result<Value, JobError> {
    let (ks, _) = context.room()?;
    let own = context.instance.address;
    let url = crate::cluster_jobs::in_url(own);
    let name = context.cluster.node_name(database.job, own);
    let zookeeper = crate::cluster_jobs::zookeeper_addresses(context)?;
    // Only machines of the rooms, and only with a password.
    let mut hba = vec![
        "local all postgres peer".to_owned(),
        "local all all scram-sha-256".to_owned(),
    ];
    let loopback = ["127.0.0.1".to_owned(), "::1".to_owned()];
    let hosts = ks.rooms.iter().flat_map(|room| &room.hosts);
    for host in loopback.into_iter().chain(hosts.map(IpAddr::to_string)) {
        let length = if host.contains(':') { 128 } else { 32 };
        hba.push(format!(
            "host replication replicator {host}/{length} scram-sha-256"
        ));
        hba.push(format!("host all all {host}/{length} scram-sha-256"));
    }
    Ok(json!({
        "scope": database.name,
        "name": name,
        "namespace": "/service/",
        "restapi": {
            "listen": format!("0.0.0.0:{}", database.rest_port),
            "connect_address": format!("{url}:{}", database.rest_port),
            "authentication": {"username": "paas", "password": "@rest"},
        },
        "zookeeper": {"hosts": zookeeper},
        "bootstrap": {
            "dcs": dcs(database, context, nodes)?,
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
        },
        "postgresql": {
            "listen": format!("0.0.0.0:{}", database.port),
            "connect_address": format!("{url}:{}", database.port),
            "data_dir": data_dir(database),
            "bin_dir": "@bin",
            "pgpass": format!("/var/lib/postgresql/.pgpass-{}", database.name),
            "pg_hba": hba,
            // A copy doesn't wait for the primary's next unhurried checkpoint.
            "basebackup": {"checkpoint": "fast"},
            // In one cluster a standby that can't be rewound is copied anew; between two rooms a
            // person has that done, and the data is kept aside.
            "remove_data_directory_on_rewind_failure": ks.scheme.heals_itself(),
            "remove_data_directory_on_diverged_timelines": ks.scheme.heals_itself(),
            "authentication": {
                "superuser": {"username": "postgres", "password": "@superuser"},
                "replication": {"username": "replicator", "password": "@replication"},
            },
            "parameters": {
                "unix_socket_directories": "/var/run/postgresql",
                "shared_buffers": shared_buffers,
            },
        },
        "watchdog": {"mode": "off"},
    }))
}

fn data_dir(database: &Database) -> String {
    format!("/var/lib/postgresql/paas-{}/data", database.name)
}

/// The settings that the cluster begins with; afterwards Patroni's store has them, and operations
/// change them there. `retry_timeout` bears an election of ZooKeeper (a shorter one demotes a healthy
/// primary), and `loop_wait + 2 × retry_timeout` must not exceed `ttl`.
fn dcs(database: &Database, context: &Context<'_>, nodes: &[Node]) -> Result<Value, JobError> {
    let (ks, room) = context.room()?;
    let mut parameters = json!({
        "wal_log_hints": "on",
        "wal_keep_size": "256MB",
        // What is kept for a room that stays dark must not fill the disk; beyond it, it's copied anew.
        "max_slot_wal_keep_size": "8GB",
        "max_connections": 100,
        // They bound how long a commit waits for a standby whose room was cut off.
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        // A standby asks the new primary at once; with PostgreSQL's 5 s, commits would wait for that.
        "wal_retrieve_retry_interval": "500ms",
        "password_encryption": "scram-sha-256",
    });
    let mut dcs = json!({
        "ttl": 12,
        "loop_wait": 2,
        "retry_timeout": 5,
        "maximum_lag_on_failover": 1_048_576,
    });
    if ks.scheme.heals_itself() {
        dcs["synchronous_mode"] = json!(true);
        dcs["synchronous_node_count"] = json!(ks.rooms.len() - 1);
        // With a third room there is always another standby to wait for: never acknowledge alone,
        // not even in the moment after a promotion. With two rooms the one that is left goes on.
        dcs["synchronous_mode_strict"] = json!(ks.rooms.len() > 2);
    } else if let Some(other) = ks.other_room(&room.name) {
        // Only where somebody follows: an unused slot would keep every segment for ever.
        if room.name == ks.rooms[0].name {
            dcs["slots"] = json!({ other.name.as_str(): {"type": "physical"} });
        }
        if ks.waits_across(database.job) {
            dcs["synchronous_mode"] = json!(false);
            if room.name == ks.rooms[0].name {
                let across = nodes.iter().filter(|node| node.room == other.name);
                let across = across.map(|node| node.name.as_str());
                parameters["synchronous_standby_names"] = json!(any_one_of(across));
            }
        } else {
            dcs["synchronous_mode"] = json!(true);
        }
        if room.name != ks.rooms[0].name {
            dcs["standby_cluster"] = standby_cluster(database, &room.name);
        }
    }
    dcs["postgresql"] = json!({
        "use_pg_rewind": true,
        "use_slots": true,
        "parameters": parameters,
    });
    Ok(dcs)
}

/// What makes a room's servers follow the other room's primary; the slot there has this room's name.
fn standby_cluster(database: &Database, room: &str) -> Value {
    json!({
        "host": "127.0.0.1",
        "port": database.link_port,
        "primary_slot_name": room,
        "create_replica_methods": ["basebackup"],
    })
}

/// What the guard has to know.
pub(super) fn guard(
    database: &Database,
    context: &Context<'_>,
    nodes: &[Node],
) -> Result<Value, JobError> {
    let (_, room) = context.room()?;
    let own = context.instance.address;
    let rest = |node: &Node| {
        let host = crate::cluster_jobs::in_url(node.address);
        format!("{host}:{}", database.rest_port)
    };
    let of_room = |mine: bool| {
        let nodes = nodes
            .iter()
            .filter(move |node| (node.room == room.name) == mine);
        nodes
            .filter(|node| node.address != own)
            .map(rest)
            .collect::<Vec<_>>()
    };
    let zookeeper = crate::cluster_jobs::zookeeper_addresses(context)?;
    Ok(json!({
        "scope": database.name,
        "data_dir": data_dir(database),
        "zookeeper": zookeeper,
        "others_zookeeper": crate::cluster_jobs::zookeepers_of_others(context)?,
        "peers": of_room(true),
        "others": of_room(false),
        "standby_cluster": standby_cluster(database, &room.name),
        "bootstrap": dcs(database, context, nodes)?,
    }))
}
