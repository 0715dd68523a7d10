//! zookeeper: where the services of the global control plane find and elect each other.

use askama::Template;
use serde::{Deserialize, Serialize};

use crate::job::{BuiltinJob, Check, Context, Job, JobError};
use crate::script::Values;

/// `zookeeper.sh`.
#[derive(Template, Deserialize)]
#[template(path = "zookeeper/zookeeper.sh", config = "config/askama.toml")]
struct Script {
    packages: Vec<String>,
    own_id: usize,
    guard: String,
    members: Vec<Member>,
}

/// A line `server.ID=ADDRESS:…` of zoo.cfg.
#[derive(Serialize, Deserialize)]
struct Member {
    id: usize,
    address: String,
}

/// What a ZooKeeper says that serves clients, as leader, follower or alone.
const SERVES: &str = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/2181; printf srvr >&3; timeout 5 cat <&3' \
                      | grep -q ^Mode:";
/// The same of the one that leads.
const LEADS: &str = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/2181; printf srvr >&3; timeout 5 cat <&3' \
                     | grep -q '^Mode: leader'";

/// Describes the job.
pub fn job() -> Box<dyn Job> {
    let template = ("zookeeper/zookeeper.sh", include_str!("zookeeper.sh"));
    Box::new(
        BuiltinJob::of_system::<Script>("zookeeper", template, collect)
            .packages(&["libzookeeper-java", "default-jre-headless"])
            .provides("client", 2181)
            .provides("quorum", 2888)
            .provides("election", 3888)
            .unit("paas-zookeeper")
            .check(Check::Command(SERVES.to_owned()))
            .leader_by(LEADS)
            .way_back(include_str!("remove.sh")),
    )
}

fn collect(context: &Context<'_>, values: &mut Values) -> Result<(), JobError> {
    let hosts = super::ensemble(context)?;
    let own = hosts
        .iter()
        .position(|host| *host == context.instance.address);
    values.set("guard", include_str!("guard.sh").trim_end());
    values.set("own_id", own.map_or(1, |position| position + 1));
    // One that is alone needs no list, and mustn't have one.
    let members: Vec<Member> = match hosts.len() {
        1 => Vec::new(),
        _ => (1..)
            .zip(&hosts)
            .map(|(id, host)| Member {
                id,
                address: super::in_url(*host),
            })
            .collect(),
    };
    values.set("members", &members);
    Ok(())
}
