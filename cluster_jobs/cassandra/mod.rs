//! cassandra: the wide-column store of the global control plane, each room a data centre of it.

use askama::Template;
use serde::Deserialize;

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `cassandra.sh`.
#[derive(Template, Deserialize)]
#[template(path = "cassandra/cassandra.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    cassandra_java: String,
    cassandra_package: String,
    cassandra_url: String,
    cassandra_sha256: String,
    pitrix_repository: String,
    cluster_name: String,
    room: String,
    seeds: String,
}

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("cassandra/cassandra.sh", include_str!("cassandra.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("cassandra", template, collect)
            .packages(&["python3-yaml"])
            .provides("cql", 9042)
            .provides("gossip", 7000)
            .unit("paas-cassandra")
            .check(Check::Tcp(9042))
            .log("/var/log/cassandra/system.log")
            .start_timeout(300)
            .way_back(
                "rm -f /etc/systemd/system/paas-cassandra.service\n\
                 systemctl unmask --quiet cassandra.service\nsystemctl daemon-reload\n",
            ),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    let (ks, room) = context.room()?;
    for name in ["cassandra_package", "cassandra_url", "cassandra_sha256"] {
        context.set_var(values, name, "")?;
    }
    context.set_var(values, "cassandra_java", "openjdk-17-jre-headless")?;
    let is_set = |name: &str| values.get(name).is_some_and(|input| input.value != "");
    let has_tarball = is_set("cassandra_url") && is_set("cassandra_sha256");
    if !is_set("cassandra_package") && !has_tarball {
        return Err(JobError {
            message: "Debian has no Cassandra: set vars.cassandra_package to a package of the \
                      site's repository, or vars.cassandra_url and vars.cassandra_sha256 to a \
                      tarball"
                .to_owned(),
            place: Some(context.component.place),
        });
    }
    super::set_site_repository(context, values)?;
    values.set(
        "cluster_name",
        format!("{}-global-ks", context.cluster.name),
    );
    values.set_from("room", &room.name, room.place);
    // One seed of each room, so that a room alone finds itself.
    let seeds = ks
        .rooms
        .iter()
        .filter_map(|room| context.cluster.hosts_in(room, "cassandra").first().copied());
    let seeds: Vec<String> = seeds.map(|host| host.to_string()).collect();
    values.set("seeds", seeds.join(","));
    Ok(())
}
