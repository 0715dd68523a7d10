//! The questions that several operations ask before they change anything.

use super::Site;
use super::database::{Database, Db, Server};
use super::facts::{Role, ServerView};
use super::gate::Gate;
use super::switch::Switch;

/// How far a standby may be behind for a planned switch, in bytes: what is written meanwhile is
/// waited for, but nobody wants to wait for gigabytes.
const NEAR: u64 = 16 * 1024 * 1024;

pub(super) fn one_primary(database: &Database<'_>, gates: &mut Vec<Gate>) {
    let question = &format!("has the {} database one primary?", database.db.name());
    let names: Vec<&str> = database
        .primaries()
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    gates.push(match names[..] {
        [one] => Gate::go(question, one),
        [] => Gate::warn(question, "none that can be asked"),
        _ => Gate::no(
            question,
            format!(
                "{} all take writes: decide which one's data counts, stop all servers of the other's \
                 room, those that follow first (`systemctl disable --now pg-{}` there), and look again",
                names.join(" and "),
                database.db.name()
            ),
        ),
    });
}

/// Before a failback, every server of every database follows again.
pub(super) fn all_adopted(site: &Site<'_>, gates: &mut Vec<Gate>) {
    for db in [Db::Global, Db::Recovery] {
        let database = site.database(db);
        if database.servers.is_empty() {
            continue;
        }
        let question = &format!("do all servers of the {} database follow?", db.name());
        let strays = database.strays();
        let mut servers = database.servers.iter();
        let far = servers.find(|server| database.lag(server).is_some_and(|lag| lag > NEAR));
        gates.push(match (strays.first(), far) {
            (None, Some(server)) => Gate::no(
                question,
                format!(
                    "{} is {} bytes behind; wait until it has caught up",
                    server.name,
                    database.lag(server).unwrap_or(0)
                ),
            ),
            (None, None) => Gate::go(question, "every one, on the primary's timeline"),
            (Some(_), _) => {
                let list: Vec<String> = strays
                    .iter()
                    .map(|server| format!("{} {}", server.name, server.words()))
                    .collect();
                let primary = database.primary().map_or("NODE", |p| p.name.as_str());
                Gate::no(
                    question,
                    format!(
                        "{}; too early: take them back first with `ks recover-pg --db {} --primary \
                         {primary}`",
                        list.join("; "),
                        db.name()
                    ),
                )
            }
        });
    }
}

/// The recovery database comes first: it must be writable before the global one is touched.
pub(super) fn recovery_first(site: &Site<'_>, wish: &Switch, gates: &mut Vec<Gate>) {
    let database = site.database(Db::Recovery);
    if database.servers.is_empty() {
        return;
    }
    let question = "is the recovery database writable?";
    gates.push(match database.primary() {
        Some(primary) if is_stuck(&database, primary) => Gate::no(
            question,
            format!(
                "{} waits for a room that doesn't answer; first `ks recover-pg --db recovery \
                 --primary {}`",
                primary.name, primary.name
            ),
        ),
        Some(primary) => Gate::go(question, primary.name.as_str()),
        None => {
            let there = database.in_room(&wish.to).next();
            let name = there.map_or("NODE", |server| server.name.as_str());
            Gate::no(
                question,
                format!("no; it comes first: `ks recover-pg --db recovery --primary {name}`"),
            )
        }
    });
}

/// Whether commits of a primary wait for somebody who isn't there.
pub(super) fn is_stuck(database: &Database<'_>, primary: &Server<'_>) -> bool {
    let Some(view) = primary.view else {
        return false;
    };
    let streams = |server: &Server<'_>| {
        // One whose host is silent may be listed for a few seconds yet.
        let mut followers = view.followers.iter();
        server.view.is_some() && followers.any(|f| f.name == server.name && f.state == "streaming")
    };
    !view.waits_for.is_empty()
        && !database
            .servers
            .iter()
            .filter(|server| view.waits_for.contains(&server.name))
            .any(streams)
}

/// The server of a room through which it becomes writable.
pub(super) fn heir<'b, 'a>(
    database: &'b Database<'a>,
    room: &'b str,
    gates: &mut Vec<Gate>,
) -> Option<&'b Server<'a>> {
    let question = &format!("is there a server in {room} that can take over?");
    let mut servers: Vec<&Server<'a>> = database.in_room(room).filter(|s| s.runs()).collect();
    servers.sort_by_key(|server| server.role() != Some(Role::StandbyLeader));
    match servers.first() {
        Some(server) => {
            gates.push(Gate::go(
                question,
                format!("{} ({})", server.name, server.words()),
            ));
            Some(server)
        }
        None => {
            let found: Vec<String> = database
                .in_room(room)
                .map(|server| format!("{} {}", server.name, server.words()))
                .collect();
            gates.push(Gate::no(question, found.join("; ")));
            None
        }
    }
}

/// Says which of some other servers has more than this one, as far as that can be compared: a later
/// timeline, or on the same one a later position where both run.
pub(super) fn better(
    database: &Database<'_>,
    server: &Server<'_>,
    counts: impl Fn(&Server<'_>) -> bool,
) -> Option<String> {
    let view = server.view?;
    let timeline = |view: &ServerView| view.timeline.max(view.checkpoint_timeline).unwrap_or(0);
    let own = timeline(view);
    database.servers.iter().find_map(|other| {
        let theirs = other.view.filter(|_| counts(other))?;
        if timeline(theirs) > own {
            return Some(format!(
                "{} is on timeline {}, later ({own})",
                other.name,
                timeline(theirs)
            ));
        }
        let more = theirs.location?.checked_sub(view.location?)?;
        let both_run = other.runs() && server.runs() && timeline(theirs) == own;
        (both_run && more > 0).then(|| format!("{} has {more} bytes more", other.name))
    })
}

/// Where the old room's servers can be asked and none is the primary: nothing of what they have is
/// missing here, as far as that can be seen before they are stopped. The step that promotes looks only
/// at its own end of the log, which may be that of an earlier stop.
pub(super) fn has_all(
    database: &Database<'_>,
    leader: &Server<'_>,
    lost: &str,
    gates: &mut Vec<Gate>,
) {
    let question = &format!("has {} all that {lost} wrote?", leader.name);
    let own = leader.view.and_then(|view| view.location).unwrap_or(0);
    let ahead = better(database, leader, |other| other.room == lost).or_else(|| {
        database.in_room(lost).find_map(|other| {
            let closed = other.view?.closed.as_ref().filter(|_| !other.runs())?;
            if closed.state == "in production" {
                return Some(format!(
                    "{} broke off while it was the primary, so what it has can't be compared",
                    other.name
                ));
            }
            let more = closed
                .checkpoint
                .checked_sub(own)
                .filter(|more| *more > 0)?;
            Some(format!("{} has {more} bytes more", other.name))
        })
    });
    gates.push(match ahead {
        None => Gate::go(question, "as far as can be seen"),
        Some(why) => Gate::no(
            question,
            format!(
                "{why}; start it (`ks recover-pg --db {} --primary` with its name), or give up what \
                 only {lost} has: `--confirm {lost}`",
                database.db.name()
            ),
        ),
    });
}

pub(super) fn caught_up(database: &Database<'_>, server: &Server<'_>, gates: &mut Vec<Gate>) {
    let question = &format!("has {} nearly everything?", server.name);
    let timeline = database
        .primary()
        .and_then(|primary| primary.view?.timeline);
    gates.push(match database.lag(server) {
        _ if timeline.is_none() => Gate::no(
            question,
            "the primary doesn't say on which timeline it is; look again",
        ),
        _ if !database.follows(server) => Gate::no(
            question,
            format!(
                "it doesn't follow the primary ({}); first `ks recover-pg --db {} --primary {}`",
                server.words(),
                database.db.name(),
                database.primary().map_or("NODE", |p| p.name.as_str())
            ),
        ),
        // What is received, but not replayed, holds the promotion up.
        Some(lag) if lag <= NEAR && database.unreplayed(server) > NEAR => Gate::no(
            question,
            format!(
                "it has {} bytes to replay yet, maybe held up by a query; wait until it has",
                database.unreplayed(server)
            ),
        ),
        Some(lag) if lag <= NEAR => Gate::go(question, format!("it is {lag} bytes behind")),
        Some(lag) => Gate::no(
            question,
            format!("it is {lag} bytes behind; wait until it has caught up"),
        ),
        None => Gate::no(question, "its position isn't known"),
    });
}

/// Every server of a room that gives up the primary can be stopped: one that can't be asked might be
/// elected there once the primary is gone.
pub(super) fn can_be_stopped(database: &Database<'_>, room: &str, gates: &mut Vec<Gate>) {
    let question = &format!("can every server of {room} be stopped?");
    let silent: Vec<&str> = database
        .in_room(room)
        .filter(|server| server.view.is_none())
        .map(|server| server.name.as_str())
        .collect();
    gates.push(match silent[..] {
        [] => Gate::go(question, "all can be asked"),
        _ => Gate::no(
            question,
            format!(
                "{} can't be asked, and could become the primary there when the other stops: bring \
                 it back, or switch its machine off, and leave it out of the file",
                silent.join(", ")
            ),
        ),
    });
}
