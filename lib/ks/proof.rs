//! What operations end with: a database is writable where a row was written and is found again, not
//! where states say so.

use std::net::IpAddr;

use super::Site;
use super::database::{Database, Db, Server};
use super::stages::{about, reachable, stage};
use crate::operation::{KsScript, KsTask, Outline};

/// Writes to a database whose primary is `primary`, as clients do, and looks for it on those that
/// follow: through the entries of their rooms into the global one, on the primary itself into the
/// recovery one, which has no services of its own.
pub(super) fn writable(
    site: &Site<'_>,
    database: &Database<'_>,
    primary: &Server<'_>,
    followers: &[&Server<'_>],
) -> Vec<Outline> {
    let standbys: Vec<IpAddr> = followers.iter().map(|server| server.host).collect();
    if database.db == Db::Global {
        // A room that is cut off from the primary has no way to it, though it can be asked from here.
        let is_of = |room: &str| {
            room == primary.room || followers.iter().any(|follower| follower.room == room)
        };
        let mut entries = reachable(site, "proxy");
        entries.retain(|host| site.ks.room_of(*host).is_some_and(|room| is_of(&room.name)));
        let written = write(site, &entries);
        return [written]
            .into_iter()
            .chain(seen(site, &entries, &standbys))
            .collect();
    }
    let id = id(site, primary.host);
    let row = about(database.db, KsScript::Row, primary.host).with("id", id.as_str());
    let look = |host: &IpAddr| looked_for(database.db, *host, "paas_verify", &id);
    let mut stages = vec![stage("write a row (recovery)", vec![row])];
    if !standbys.is_empty() {
        let looks = standbys.iter().map(look).collect();
        stages.push(stage("see it on the standbys (recovery)", looks));
    }
    stages
}

/// Writes through entries.
pub(super) fn write(site: &Site<'_>, entries: &[IpAddr]) -> Outline {
    let write = |host: &IpAddr| KsTask::new(KsScript::Write, *host).with("id", id(site, *host));
    stage(
        "write through every entry",
        entries.iter().map(write).collect(),
    )
}

/// Looks on standbys of the global database for what was written through entries.
pub(super) fn seen(site: &Site<'_>, entries: &[IpAddr], standbys: &[IpAddr]) -> Option<Outline> {
    let ids: Vec<String> = entries.iter().map(|host| id(site, *host)).collect();
    let look = |host: &IpAddr| looked_for(Db::Global, *host, "requests", &ids.join(" "));
    let looks: Vec<KsTask> = standbys.iter().map(look).collect();
    (!looks.is_empty()).then(|| stage("see it on the standbys", looks))
}

fn id(site: &Site<'_>, host: IpAddr) -> String {
    format!("verify-{}-{host}", site.run)
}

fn looked_for(db: Db, host: IpAddr, table: &str, ids: &str) -> KsTask {
    let task = about(db, KsScript::Seen, host);
    task.with("table", table).with("ids", ids)
}
