//! What each side sees when rooms are cut from each other, and what each choice loses.

use super::Site;
use super::checks::is_stuck;
use super::database::{Database, Db};
use super::facts::Role;
use super::gate::Verdict;
use super::majority::quorum;

/// Says it in lines.
pub fn advise(site: &Site<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for room in &site.ks.rooms {
        let answering = room
            .hosts
            .iter()
            .filter(|host| site.facts.hosts.contains_key(host));
        lines.push(format!(
            "{}: {} of {} hosts can be asked from here",
            room.name,
            answering.count(),
            room.hosts.len()
        ));
    }
    for db in [Db::Recovery, Db::Global] {
        let database = site.database(db);
        if !database.servers.is_empty() {
            state(site, &database, &mut lines);
        }
    }
    choices(site, &mut lines);
    lines
}

fn state(site: &Site<'_>, database: &Database<'_>, lines: &mut Vec<String>) {
    lines.push(format!("the {} database:", database.db.name()));
    for server in &database.servers {
        let receives = match server.view {
            Some(view) if server.runs() && server.role() != Some(Role::Primary) => {
                match view.streams_on {
                    Some(_) => ", receives",
                    None => ", receives nothing",
                }
            }
            _ => "",
        };
        lines.push(format!("  {}: {}{receives}", server.name, server.words()));
    }
    let Some(primary) = database.primary() else {
        return;
    };
    let view = primary
        .view
        .map(|view| view.followers.as_slice())
        .unwrap_or_default();
    let seen: Vec<&str> = view.iter().map(|follower| follower.name.as_str()).collect();
    lines.push(match seen[..] {
        [] => format!("  {} sees nobody that follows it", primary.name),
        _ => format!("  {} sees: {}", primary.name, seen.join(", ")),
    });
    if is_stuck(database, primary) {
        lines.push("  its writes hang: they wait for the other room".to_owned());
    }
    for other in site
        .ks
        .rooms
        .iter()
        .filter(|room| room.name != primary.room)
    {
        let best = database
            .in_room(&other.name)
            .filter_map(|server| database.lag(server))
            .min();
        if let Some(lag) = best {
            lines.push(format!("  {} is {lag} bytes behind it", other.name));
        }
    }
}

fn choices(site: &Site<'_>, lines: &mut Vec<String>) {
    let database = site.database(Db::Global);
    if site.ks.scheme.heals_itself() {
        let mut gates = Vec::new();
        quorum(site, &mut gates);
        if let Some(closed) = gates.iter().find(|gate| gate.verdict == Verdict::NoGo) {
            lines.push(format!("a person has to decide: {}", closed.finding));
            return;
        }
        lines.push(
            "nothing has to be decided: the side with a majority of ZooKeeper goes on by itself, \
             the other stops writing before that"
                .to_owned(),
        );
        return;
    }
    let primaries = database.primaries();
    if primaries.len() > 1 {
        let names: Vec<&str> = primaries
            .iter()
            .map(|server| server.name.as_str())
            .collect();
        lines.push(format!(
            "{} both take writes. Whichever is given up loses what it took since they parted: \
             stop it at once, with every other server of its room, those that follow first \
             (`systemctl disable --now pg-global`: another one there would take over), keep its data \
             directory, then `ks recover-pg --db global --primary` the other",
            names.join(" and ")
        ));
        return;
    }
    let serving = database.primary().map(|primary| primary.room);
    for room in &site.ks.rooms {
        let loses = match (
            serving == Some(room.name.as_str()),
            site.ks.waits_across(database.db.job()),
        ) {
            (true, true) => {
                "loses nothing; while it's alone, its own loss would lose what it takes from now on"
            }
            (true, false) => "loses nothing; the other room falls behind until it's back",
            (false, true) => {
                "loses nothing that was acknowledged while commits waited for this room; the other \
                 must be fenced first, or its clients go on writing what will be lost"
            }
            (false, false) => {
                "loses what the other room acknowledged and this one hasn't got; the other must be \
                 fenced first, or it loses all that is written there meanwhile as well"
            }
        };
        let commands = match serving == Some(room.name.as_str()) {
            true => stay(site),
            false => leave(site, &room.name),
        };
        let how = match commands.is_empty() {
            true => ". Nothing has to be done for it",
            false => ":",
        };
        lines.push(format!("keep {}: it {loses}{how}", room.name));
        let numbered = (1..).zip(commands);
        lines.extend(numbered.map(|(number, command)| format!("  {number}. `{command}`")));
    }
}

/// What to type so that the room that serves goes on.
fn stay(site: &Site<'_>) -> Vec<String> {
    let mut commands = Vec::new();
    for db in [Db::Recovery, Db::Global] {
        let database = site.database(db);
        if let Some(primary) = database.primary()
            && is_stuck(&database, primary)
        {
            commands.push(format!(
                "ks recover-pg --db {} --primary {}",
                db.name(),
                primary.name
            ));
        }
    }
    commands
}

/// What to type so that another room serves: the one that serves is fenced first.
fn leave(site: &Site<'_>, to: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut confirm = String::new();
    for db in [Db::Recovery, Db::Global] {
        let database = site.database(db);
        let Some(primary) = database.primary().filter(|primary| primary.room != to) else {
            continue;
        };
        confirm = format!(" --confirm {}", primary.room);
        // Those that follow first: once the primary is gone, one of them would take over.
        let mut servers: Vec<_> = database.in_room(primary.room).collect();
        servers.retain(|server| server.runs());
        servers.sort_by_key(|server| server.name == primary.name);
        for server in servers {
            commands.push(format!(
                "exec --root --limit {} -- systemctl disable --now pg-{}",
                server.host,
                db.name()
            ));
        }
    }
    let recovery = site.database(Db::Recovery);
    let is_elsewhere = recovery.primary().is_none_or(|primary| primary.room != to);
    if let Some(heir) = recovery.in_room(to).next().filter(|_| is_elsewhere) {
        commands.push(format!(
            "ks recover-pg --db recovery --primary {}{confirm}",
            heir.name
        ));
    }
    commands.push(format!("ks failover --to {to}{confirm}"));
    commands
}
