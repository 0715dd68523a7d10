//! proxy: a room's entry for clients and zones, and its way to the database.

use std::net::IpAddr;

use askama::Template;
use serde::{Deserialize, Serialize};

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `proxy.sh`.
#[derive(Template, Deserialize)]
#[template(path = "proxy/proxy.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    own_room: String,
    first_room: String,
    every_room_serves: bool,
    io_port: u16,
    vip: String,
    vip_id: usize,
    vip_priority: usize,
    webs: Vec<Node>,
    databases: Vec<Node>,
    recovery: Vec<Node>,
    zones: Vec<Zone>,
}

/// A server that haproxy leads to.
#[derive(Serialize, Deserialize)]
struct Node {
    name: String,
    room: String,
    address: String,
}

/// A zone's front.
#[derive(Serialize, Deserialize)]
struct Zone {
    name: String,
    port: usize,
}

/// The port of the first zone's front; the others follow.
const ZONE_PORTS: usize = 7800;

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("proxy/proxy.sh", include_str!("proxy.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("proxy", template, collect)
            .packages(&["haproxy"])
            .provides("api", 7777)
            .provides("websocket", 8565)
            .provides("primary database", 5000)
            .provides("readable databases", 5001)
            .unit("haproxy")
            .check(Check::Tcp(7777))
            .check(Check::Tcp(5000))
            .log("/var/log/haproxy.log")
            .way_back(include_str!("remove.sh")),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    let (ks, room) = context.room()?;
    let own = context.instance.address;
    values.set_from("own_room", &room.name, room.place);
    values.set("first_room", &ks.rooms[0].name);
    values.set("every_room_serves", ks.scheme.heals_itself());
    values.set("io_port", super::io_port(context)?);
    values.set(
        "vip",
        room.vip.map(|vip| vip.to_string()).unwrap_or_default(),
    );
    // One number for each room of a network, from 1 to 255; the first proxy is preferred.
    let number = ks.rooms.iter().position(|other| other.name == room.name);
    let proxies = context.cluster.hosts_in(room, "proxy");
    let rank = proxies.iter().position(|host| *host == own);
    values.set("vip_id", number.unwrap_or(0) + 51);
    values.set("vip_priority", 150 - rank.unwrap_or(0).min(40));

    let nodes = |job: &str| -> Vec<Node> {
        let node = |host: IpAddr| {
            Some(Node {
                name: context.cluster.node_name(job, host)?,
                room: ks.room_of(host)?.name.clone(),
                address: super::in_url(host),
            })
        };
        context.hosts_of(job).into_iter().filter_map(node).collect()
    };
    values.set("webs", nodes("webservice"));
    values.set("databases", nodes("pgserver"));
    values.set("recovery", nodes("recoverypgserver"));
    let zones = ks.rooms.iter().filter_map(|room| room.zone.clone());
    let zones = zones
        .zip(ZONE_PORTS..)
        .map(|(name, port)| Zone { name, port });
    values.set("zones", zones.collect::<Vec<_>>());
    Ok(())
}
