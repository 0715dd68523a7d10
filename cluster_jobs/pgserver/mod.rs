//! pgserver and recoverypgserver: PostgreSQL under Patroni, the failover watcher.

mod settings;

use askama::Template;
use serde::{Deserialize, Serialize};

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::model::Scheme;
use crate::script::Values;

/// `pgserver.sh`.
#[derive(Template, Deserialize)]
#[template(path = "pgserver/pgserver.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    database: String,
    port: u16,
    rest_port: u16,
    settings: String,
    guard: String,
    guard_program: String,
    link_port: u16,
    first_room: String,
    others: Vec<Node>,
    extra_databases: Vec<String>,
    ks_superuser_password: String,
    ks_replication_password: String,
    ks_rest_password: String,
    ks_password: String,
    ks_monitor_password: String,
}

/// A database server of the other room.
#[derive(Serialize, Deserialize)]
struct Node {
    name: String,
    address: String,
}

/// One of the two databases, with what keeps them apart on a host.
struct Database {
    job: &'static str,
    name: &'static str,
    port: u16,
    rest_port: u16,
    /// The local way to the other room's primary.
    link_port: u16,
}

const GLOBAL: Database = Database {
    job: "pgserver",
    name: "global",
    port: 5432,
    rest_port: 8008,
    link_port: 5010,
};
const RECOVERY: Database = Database {
    job: "recoverypgserver",
    name: "recovery",
    port: 5433,
    rest_port: 8009,
    link_port: 5011,
};

const GUARD: &str = include_str!("room-guard.py");

/// Describes the job of the global database.
pub fn job() -> Box<dyn Job> {
    let job = describe(&GLOBAL, |context, values| collect(&GLOBAL, context, values));
    Box::new(job.way_back(include_str!("remove.sh")))
}

/// Describes the job of the recovery database.
pub fn recovery_job() -> Box<dyn Job> {
    let job = describe(&RECOVERY, |context, values| {
        collect(&RECOVERY, context, values)
    });
    Box::new(job.way_back(include_str!("remove_recovery.sh")))
}

fn describe(
    database: &Database,
    collect: fn(&Context<'_>, &mut Values) -> Result<(), JobError>,
) -> BuiltinJob {
    let template = ("pgserver/pgserver.sh", include_str!("pgserver.sh"));
    let leads = format!(
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}; printf \"GET /leader HTTP/1.0\\r\\n\\r\\n\" >&3; \
         timeout 5 cat <&3' | grep -q '^HTTP/1.[01] 200'",
        database.rest_port
    );
    let mut job = BuiltinJob::of_system::<Script>(database.job, template, collect)
        .needs("zookeeper", "Patroni elects the primary there")
        .packages(&["postgresql", "patroni", "python3-kazoo", "haproxy"])
        .needs_one_release("Debian 12 has PostgreSQL 15, 13 has 17, and they can't copy each other")
        .provides("sql", database.port)
        .provides("Patroni", database.rest_port)
        .unit(&format!("pg-{}", database.name))
        .check(Check::Http {
            port: database.rest_port,
            path: "/health".to_owned(),
        })
        .leader_by(&leads)
        .start_timeout(180);
    for secret in super::KS_SECRETS {
        job = job.secret(secret, "pgserver");
    }
    job
}

fn collect(
    database: &Database,
    context: &Context<'_>,
    values: &mut Values,
) -> Result<(), JobError> {
    let (ks, room) = context.room()?;
    let nodes = settings::nodes(context, database.job);
    values.set("database", database.name);
    values.set("port", database.port);
    values.set("rest_port", database.rest_port);
    values.set("link_port", database.link_port);
    values.set_from("first_room", &ks.rooms[0].name, ks.rooms[0].place);
    context.set_var(values, "pg_shared_buffers", "128MB")?;
    let buffers = values
        .get("pg_shared_buffers")
        .and_then(|input| input.value.as_str())
        .unwrap_or_default()
        .to_owned();
    let settings = settings::patroni(database, context, &nodes, &buffers)?;
    values.set("settings", settings.to_string());
    let (mut guard, mut program, mut others) = (String::new(), String::new(), Vec::new());
    if !ks.scheme.heals_itself() {
        guard = settings::guard(database, context, &nodes)?.to_string();
        program = GUARD.trim_end().to_owned();
        let across = nodes.iter().filter(|node| node.room != room.name);
        others = across
            .map(|node| Node {
                name: node.name.clone(),
                address: super::in_url(node.address),
            })
            .collect();
    }
    values.set("guard", guard);
    values.set("guard_program", program);
    values.set("others", others);
    // Converged: the zones' own control planes keep their data in the same servers.
    let mut extra: Vec<String> = Vec::new();
    if ks.scheme == Scheme::TwoRoomsConverged && database.name == GLOBAL.name {
        let zones = ks.rooms.iter().filter_map(|room| room.zone.as_ref());
        extra.extend(zones.map(|zone| format!("zone_{zone}")));
    }
    values.set("extra_databases", extra);
    for secret in super::KS_SECRETS {
        context.set_secret(values, secret)?;
    }
    Ok(())
}
