//! webservice: the services of the global control plane, from the site's own packages.

use std::net::IpAddr;

use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `webservice.sh`.
#[derive(Template, Deserialize)]
#[template(path = "webservice/webservice.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    services: Vec<String>,
    pitrix_repository: String,
    packages_digest: String,
    server_settings: String,
    client_settings: String,
    ks_password: String,
}

/// The programs; each is the package `pitrix-<name>`.
const SERVICES: [&str; 7] = [
    "ws_server",
    "io_server",
    "fg_server",
    "billing_resource",
    "billing_daemon",
    "scheduler_server",
    "zone_watcher",
];

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("webservice/webservice.sh", include_str!("webservice.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("webservice", template, collect)
            .needs("pgserver", "the global database")
            .needs("pgpool", "the way to it")
            .needs("memcached", "what the services of a room share")
            .needs("zookeeper", "they elect their masters there")
            .packages(&[
                "supervisor",
                "python3",
                "python3-psycopg2",
                "python3-kazoo",
                "python3-yaml",
            ])
            .provides("api", 7777)
            .provides("websocket", 8565)
            .unit("supervisor")
            .secret(super::KS_PASSWORD, "pgserver")
            .check(Check::Http {
                port: 7777,
                path: "/alive".to_owned(),
            })
            .check(Check::Http {
                port: 7781,
                path: "/alive".to_owned(),
            })
            .check(Check::Command(format!(
                "supervisorctl status {} >/dev/null",
                SERVICES.join(" ")
            )))
            .log("/var/log/pitrix/ws_server.log")
            .way_back(include_str!("remove.sh")),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    let (ks, room) = context.room()?;
    let of_room = |job: &str, port: u16| -> Vec<String> {
        let hosts = context.cluster.hosts_in(room, job);
        let name = |host: &IpAddr| format!("{}:{port}", super::in_url(*host));
        hosts.iter().map(name).collect()
    };
    let zookeeper = super::zookeeper_addresses(context)?;
    // The address that moves, where every machine that may have it runs a pgpool.
    let pools = context.cluster.hosts_in(room, "pgpool");
    let mut proxies = context.cluster.hosts_in(room, "proxy").into_iter();
    let pool = match room.vip {
        Some(vip) if proxies.all(|host| pools.contains(&host)) => vip,
        _ => context.nearest(room, "pgpool")?,
    };
    let pool = pool.to_string();
    let io_port = super::io_port(context)?;
    let rooms: Vec<&str> = ks.rooms.iter().map(|room| room.name.as_str()).collect();
    let server = json!({
        "room": room.name,
        "address": context.instance.address.to_string(),
        "rooms": rooms,
        "mode": if ks.scheme.heals_itself() { "active-active" } else { "active-standby" },
        "database": {"host": pool, "port": 9999, "name": "global", "user": "ks"},
        "memcached": of_room("memcached", 11211),
        "zookeeper": zookeeper,
        "zookeeper_across_rooms": ks.scheme.heals_itself(),
        "io_port": io_port,
    });
    let entry = match room.vip {
        Some(vip) => super::in_url(vip),
        None => super::in_url(context.nearest(room, "proxy")?),
    };
    let zones = ks
        .rooms
        .iter()
        .filter_map(|room| Some((room.zone.clone()?, room)));
    let zones: serde_json::Map<String, Value> = zones
        .map(|(zone, room)| (zone, Value::from(room.name.as_str())))
        .collect();
    let client = json!({
        "api": format!("{entry}:7777"),
        "ws": format!("{entry}:8565"),
        "io": format!("{entry}:{io_port}"),
        "zones": zones,
    });
    values.set("server_settings", server.to_string());
    values.set("client_settings", client.to_string());
    values.set("services", SERVICES);
    super::set_site_repository(context, values)?;
    // Other packages are another step, also where all else is as it was.
    values.set("packages_digest", context.site_packages.unwrap_or_default());
    let is_named = |input: &crate::script::Input| input.value != "";
    if !values.get("pitrix_repository").is_some_and(is_named) {
        return Err(JobError {
            message: "where are the site's own packages? Set vars.pitrix_repository to the URL of \
                      their apt repository, or have a `firstbox` serve them"
                .to_owned(),
            place: Some(context.component.place),
        });
    }
    context.set_secret(values, super::KS_PASSWORD)
}
