//! dnsmaster: the names of the global control plane.

use std::net::IpAddr;

use askama::Template;
use serde::{Deserialize, Serialize};

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `dnsmaster.sh`.
#[derive(Template, Deserialize)]
#[template(path = "dnsmaster/dnsmaster.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    domain: String,
    records: Vec<Record>,
}

/// A line of the zone.
#[derive(Serialize, Deserialize)]
struct Record {
    name: String,
    kind: String,
    address: String,
}

/// The names of every room's entry.
const ENTRIES: [&str; 4] = ["api", "ws", "io", "console"];

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("dnsmaster/dnsmaster.sh", include_str!("dnsmaster.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("dnsmaster", template, collect)
            .packages(&["bind9"])
            .provides("dns", 53)
            .unit("named")
            .check(Check::Tcp(53))
            .way_back(
                "if [ -e /etc/bind/named.conf.local ]; then\n\
                 \tsed -i '/paas-global-ks/d' /etc/bind/named.conf.local\nfi\n\
                 rm -f /etc/bind/paas-global-ks.conf /etc/bind/db.paas-global-ks\n",
            ),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    context.set_var(values, "domain", super::DOMAIN)?;
    let text = values.get("domain").and_then(|input| input.value.as_str());
    let domain = text.unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    if domain.is_empty() || !domain.chars().all(is_name) {
        return Err(JobError {
            message: format!("{domain:?} is no domain: letters, digits, hyphens and dots"),
            place: context.var("domain").map(|(_, place)| *place),
        });
    }
    let record = |name: &str, address: IpAddr| Record {
        name: name.to_owned(),
        kind: if address.is_ipv4() { "A" } else { "AAAA" }.to_owned(),
        address: address.to_string(),
    };
    let mut records = vec![record("ns", context.instance.address)];
    if let Some(ks) = &context.cluster.global_ks {
        for room in &ks.rooms {
            let proxies = context.cluster.hosts_in(room, "proxy");
            for entry in room.vip.map_or(proxies, |vip| vec![vip]) {
                records.extend(ENTRIES.iter().map(|name| record(name, entry)));
                records.push(record(&room.name.replace('_', "-"), entry));
            }
        }
    }
    values.set("records", records);
    Ok(())
}
