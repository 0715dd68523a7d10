//! The global control plane as text: databases, gates, answers.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::ks::{Answer, Database, Db, Gate, Health, HostView, KsPlan, Role, Site, Verdict};
use crate::operation::Task;

/// Shows which room serves, and what every room says.
pub fn ks_info(site: &Site<'_>) -> String {
    let mut text = String::new();
    let ks = site.ks;
    let _ = writeln!(text, "scheme           {}", ks.scheme);
    let serving = match site.serving_room() {
        Some(_) if ks.scheme.heals_itself() => "every room",
        Some(room) => room,
        None => "no room that can be asked",
    };
    let _ = writeln!(text, "serves           {serving}");
    for room in &ks.rooms {
        let views = room
            .hosts
            .iter()
            .map(|host| (host, site.facts.hosts.get(host)));
        let silent = views.clone().filter(|(_, view)| view.is_none()).count();
        let entries: Vec<String> = views
            .filter_map(|(host, view)| {
                let view = view?;
                let health = view.health.as_ref()?;
                let state = entry_state(health);
                let to = view.entry.as_deref().unwrap_or("nobody");
                Some(match ks.scheme.heals_itself() {
                    true => format!("entry {host}: {state}"),
                    false => format!("entry {host} → {to}: {state}"),
                })
            })
            .collect();
        let entries = super::printable(&entries.join(", "));
        let _ = write!(text, "{:<16} {entries}", room.name);
        if silent > 0 {
            let _ = write!(
                text,
                " ({silent} of {} hosts can't be asked)",
                room.hosts.len()
            );
        }
        text.push('\n');
    }
    text
}

/// Shows a database: its servers, how far each is, and the pools.
pub fn check_pg(site: &Site<'_>, database: &Database<'_>) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} database: {}",
        database.db.name(),
        verdict(database)
    );
    let width = database
        .servers
        .iter()
        .map(|s| s.name.len())
        .max()
        .unwrap_or(0);
    for server in &database.servers {
        let words = super::printable(&server.words());
        let _ = write!(text, "  {:<width$}  {words}", server.name);
        match (server.role(), database.lag(server)) {
            (Some(Role::Standby | Role::StandbyLeader), Some(lag)) => {
                let follows = match database.follows(server) {
                    true => "streaming",
                    false => "NOT following",
                };
                let _ = write!(text, ", {follows}, {lag} bytes behind");
            }
            (Some(Role::Primary), _) => {
                let waits = server.view.map_or("", |view| &view.waits_for);
                let waits = if waits.is_empty() { "nobody" } else { waits };
                let _ = write!(text, ", commits wait for {}", super::printable(waits));
            }
            _ => {}
        }
        for aside in server.view.iter().flat_map(|view| &view.aside) {
            let _ = write!(text, "; kept aside: {}", super::printable(aside));
        }
        for given_up in server.view.iter().flat_map(|view| &view.given_up) {
            let _ = write!(
                text,
                "; gave up {} transactions of its own, kept in {}",
                given_up.transactions,
                super::printable(&given_up.kept)
            );
        }
        text.push('\n');
    }
    for (host, view) in &site.facts.hosts {
        if let Some(leads) = front(database, view) {
            let state = if leads {
                "reaches it"
            } else {
                "reaches NOBODY"
            };
            let _ = writeln!(text, "  haproxy on {host}: {state}");
        }
    }
    if database.db == Db::Recovery {
        return text;
    }
    for (host, view) in &site.facts.hosts {
        if let Some(pgpool) = &view.pgpool {
            let said = match pgpool.rsplit_once(' ') {
                Some((server, "false")) => format!("reaches {server}"),
                Some((server, "true")) => format!("reaches {server}, which takes no writes"),
                _ => pgpool.clone(),
            };
            let _ = writeln!(text, "  pgpool on {host}: {}", super::printable(&said));
        }
        if let Some(health) = &view.health {
            let state = entry_state(health);
            let room = health.room.as_deref().unwrap_or("nobody");
            let _ = writeln!(
                text,
                "  entry on {host}: {} answers and {state}",
                super::printable(room)
            );
        }
    }
    text
}

/// Whether a host's haproxy has a way to a database's primary; nothing where it has no haproxy.
fn front(database: &Database<'_>, view: &HostView) -> Option<bool> {
    let name = match database.db {
        Db::Global => "pg-primary",
        Db::Recovery => "recovery-primary",
    };
    view.fronts.get(name).copied()
}

/// The same as JSON, for `--json` and for `CheckPG`.
pub fn check_pg_json(site: &Site<'_>, database: &Database<'_>) -> Value {
    let nodes = database.servers.iter().map(|server| {
        let mut node = json!(server);
        node["follows"] = json!(database.follows(server));
        node["lag_bytes"] = json!(database.lag(server));
        node
    });
    let primary = database.primary().map(|primary| primary.host.to_string());
    let (mut pools, mut ways, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for (host, view) in &site.facts.hosts {
        if let Some(leads) = front(database, view) {
            ways.push(json!({"host": host, "is_ok": leads}));
        }
        if database.db == Db::Global {
            if let Some(said) = &view.pgpool {
                let is_ok = primary.is_some() && said.strip_suffix(" false") == primary.as_deref();
                pools.push(json!({"host": host, "is_ok": is_ok, "said": said}));
            }
            if let Some(health) = &view.health {
                entries.push(json!({"host": host, "leads_to": view.entry, "health": health}));
            }
        }
    }
    json!({
        "db": database.db,
        "status": match (database.primary(), database.is_protected()) {
            (None, _) => "error",
            (Some(_), false) => "unprotected",
            (Some(_), true) => "ok",
        },
        "verdict": verdict(database),
        "primary_node": database.primary().map(|primary| primary.name.as_str()),
        "pg_nodes": nodes.collect::<Vec<_>>(),
        "haproxy_nodes": ways,
        "pgpool_nodes": pools,
        "entries": entries,
    })
}

fn entry_state(health: &Health) -> &'static str {
    match (health.serving, health.writable) {
        (true, true) => "takes writes",
        (true, false) => "serves, but can't write",
        _ => "doesn't serve",
    }
}

/// `ok` where one server takes writes and all others follow it, else what isn't so.
fn verdict(database: &Database<'_>) -> String {
    match (database.primaries().len(), database.strays().len()) {
        (1, 0) if database.lacks_strictness() => {
            "writable, but the primary may acknowledge alone".to_owned()
        }
        (1, 0) if database.is_protected() => "ok".to_owned(),
        (1, 0) => {
            "writable, but commits wait for nobody: losing the primary would lose writes".to_owned()
        }
        (1, 1) => "writable, 1 server doesn't follow".to_owned(),
        (1, strays) => format!("writable, {strays} servers don't follow"),
        (0, _) => "NOT WRITABLE: no server takes writes".to_owned(),
        (many, _) => format!("IN DANGER: {many} servers take writes"),
    }
}

/// Shows the gates before an operation.
pub fn gates(gates: &[Gate]) -> String {
    let mut text = String::new();
    for gate in gates {
        let sign = match gate.verdict {
            Verdict::Go => "ok  ",
            Verdict::Warning => "note",
            Verdict::NoGo => "NO  ",
        };
        let said = format!("{} {}", gate.question, gate.finding);
        let _ = writeln!(text, "{sign} {}", super::printable(&said));
    }
    text
}

/// Shows what an operation would do: its stages, where there is no way back, what may be lost.
pub fn ks_plan(plan: &KsPlan) -> String {
    let mut text = gates(&plan.gates);
    if !plan.is_go() {
        text.push_str("no-go: nothing is done\n");
        return text;
    }
    if plan.operation.stages.is_empty() {
        text.push_str("nothing is to be done\ngo\n");
        return text;
    }
    text.push_str("stages:\n");
    for (number, stage) in (1..).zip(&plan.operation.stages) {
        let hosts: Vec<String> = stage
            .tasks
            .iter()
            .map(Task::host)
            .map(|h| h.to_string())
            .collect();
        let _ = writeln!(text, "  {number}. {} ({})", stage.name, hosts.join(", "));
        if plan.point_of_no_return.as_deref() == Some(&stage.name) {
            text.push_str(
                "     ^ the point of no return: from here on only another switch leads back\n",
            );
        }
    }
    let _ = writeln!(text, "loses: {}", super::printable(&plan.loses));
    let _ = writeln!(text, "takes: about {} s", plan.expected_seconds);
    text.push_str("go\n");
    text
}

/// Shows the doctor's answers.
pub fn answers(answers: &[Answer]) -> String {
    let mut text = String::new();
    for (number, answer) in (1..).zip(answers) {
        let sign = match answer.is_well {
            Some(true) => "ok",
            Some(false) => "NO",
            None => "--",
        };
        let _ = writeln!(text, "{number}. {} {sign}", answer.question);
        for finding in &answer.findings {
            let _ = writeln!(text, "   {}", super::printable(finding));
        }
    }
    text
}
