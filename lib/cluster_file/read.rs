//! Turns a checked tree into a `ClusterFile`.
//!
//! `check` has reported everything that doesn't fit, so a value of a wrong shape is passed over
//! here without a word.

use std::path::Path;

use super::address;
use super::file::{
    At, ClusterFile, ConfigEntry, GlobalKsEntry, HostEntry, JumpEntry, PasswordEntry, ReleaseEntry,
    Rollout, RoomEntry, Server, SourceEntry, SshEntry, SudoEntry, Var,
};
use super::tree::{Node, Value};

/// Reads the whole file.
pub(super) fn read(path: &Path, root: &Node) -> ClusterFile {
    ClusterFile {
        path: path.to_owned(),
        name: text(root, "name"),
        nats: root.get("nats").and_then(ip),
        uaa: root.get("uaa").and_then(ip),
        cc: root.get("cc").and_then(ip),
        components: texts(root, "components"),
        server: servers(root),
        ssh: ssh(root),
        sudo: root.get("sudo").and_then(sudo),
        release: root.get("release").and_then(release),
        packages: texts(root, "packages"),
        vars: vars(root),
        rollout: rollout(root),
        jobs_dir: text(root, "jobs_dir"),
        site_packages: text(root, "site_packages"),
        global_ks: root.get("global_ks").and_then(global_ks),
    }
}

fn global_ks(node: &Node) -> Option<GlobalKsEntry> {
    let rooms = node.get("rooms").map(Node::items).unwrap_or_default();
    Some(GlobalKsEntry {
        scheme: text(node, "scheme")?,
        rooms: rooms.iter().filter_map(room).collect(),
        arbiter: node.get("arbiter").and_then(ip),
        recovery_pg: flag(node, "recovery_pg"),
    })
}

fn room(node: &Node) -> Option<RoomEntry> {
    let hosts = node.get("hosts").map(Node::items).unwrap_or_default();
    Some(RoomEntry {
        name: text(node, "name")?,
        hosts: hosts.iter().filter_map(ip).collect(),
        zone: text(node, "zone"),
        vip: node.get("vip").and_then(ip),
    })
}

pub(super) fn at<T>(node: &Node, value: T) -> At<T> {
    At {
        value,
        place: node.place,
        len: node.len,
    }
}

pub(super) fn text(map: &Node, key: &str) -> Option<At<String>> {
    map.get(key).and_then(as_text)
}

fn as_text(node: &Node) -> Option<At<String>> {
    node.text().map(|text| at(node, text.to_owned()))
}

pub(super) fn texts(map: &Node, key: &str) -> Vec<At<String>> {
    let items = map.get(key).map(Node::items).unwrap_or_default();
    items.iter().filter_map(as_text).collect()
}

pub(super) fn flag(map: &Node, key: &str) -> Option<At<bool>> {
    let node = map.get(key)?;
    match node.value {
        Value::Bool(value) => Some(at(node, value)),
        _ => None,
    }
}

pub(super) fn number<T: TryFrom<u64>>(map: &Node, key: &str) -> Option<At<T>> {
    let node = map.get(key)?;
    let Value::Number(number) = &node.value else {
        return None;
    };
    let value = T::try_from(number.as_u64()?).ok()?;
    Some(at(node, value))
}

fn ip(node: &Node) -> Option<At<std::net::IpAddr>> {
    Some(at(node, address::parse(node.text()?)?))
}

fn servers(root: &Node) -> Vec<Server> {
    let pairs = root.get("server").map(Node::pairs).unwrap_or_default();
    let mut servers: Vec<Server> = Vec::new();
    for (key, node) in pairs {
        // A name that is there twice was reported; the first one counts.
        if let Some(name) = as_text(key)
            && !servers.iter().any(|s| s.name.value == name.value)
        {
            servers.push(server(name, node));
        }
    }
    servers
}

fn server(name: At<String>, node: &Node) -> Server {
    let entries = match node.get("ip") {
        Some(list) if matches!(list.value, Value::List(_)) => list.items(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let hosts: Vec<HostEntry> = entries.iter().filter_map(host).collect();
    Server {
        name,
        hosts_incomplete: hosts.is_empty() || hosts.len() < entries.len(),
        hosts,
        jobs: node.get("jobs").map(|_| texts(node, "jobs")),
        ssh: ssh(node),
        packages: texts(node, "packages"),
        vars: vars(node),
        rollout: rollout(node),
    }
}

fn host(node: &Node) -> Option<HostEntry> {
    let address = node.get("ip").unwrap_or(node);
    Some(HostEntry {
        ip: ip(address)?,
        index: number(node, "index"),
        ssh: ssh(node),
        vars: vars(node),
    })
}

fn rollout(map: &Node) -> Rollout {
    Rollout {
        max_in_flight: number(map, "max_in_flight"),
        canaries: number(map, "canaries"),
        max_failures: number(map, "max_failures"),
        min_up: number(map, "min_up"),
    }
}

fn ssh(map: &Node) -> SshEntry {
    let Some(node) = map.get("ssh") else {
        return SshEntry::default();
    };
    SshEntry {
        user: text(node, "user"),
        port: number(node, "port"),
        identity: text(node, "identity"),
        password: node.get("password").and_then(|p| Some(at(p, password(p)?))),
        jump: node.get("jump").and_then(jump),
        known_hosts: text(node, "known_hosts"),
        host_keys: text(node, "host_keys"),
        config: node.get("config").map(|c| at(c, config(c))),
    }
}

fn config(node: &Node) -> ConfigEntry {
    match &node.value {
        Value::Bool(value) => ConfigEntry::Use(*value),
        _ => ConfigEntry::File(node.text().unwrap_or_default().to_owned()),
    }
}

fn password(node: &Node) -> Option<PasswordEntry> {
    let env = text(node, "env").map(|name| PasswordEntry::Env(name.value));
    let file = || text(node, "file").map(|path| PasswordEntry::File(path.value));
    let command = || text(node, "command").map(|line| PasswordEntry::Command(line.value));
    let ask = || {
        flag(node, "ask")
            .filter(|at| at.value)
            .map(|_| PasswordEntry::Ask)
    };
    env.or_else(file).or_else(command).or_else(ask)
}

fn jump(node: &Node) -> Option<At<Vec<JumpEntry>>> {
    let entries = match node.value {
        Value::List(_) => node.items(),
        _ => std::slice::from_ref(node),
    };
    let entries = entries.iter().map(|entry| {
        let (user, host, port) = address::parse_jump(entry.text()?)?;
        Some(JumpEntry {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        })
    });
    Some(at(node, entries.collect::<Option<_>>()?))
}

fn sudo(node: &Node) -> Option<SudoEntry> {
    if let Value::Bool(value) = node.value {
        return Some(SudoEntry::Use(value));
    }
    Some(SudoEntry::Password {
        password: password(node.get("password")?)?,
        keep: node
            .get("keep")
            .is_some_and(|keep| matches!(keep.value, Value::Bool(true))),
    })
}

fn release(node: &Node) -> Option<At<ReleaseEntry>> {
    let source_at = |node: &Node| Some(at(node, source(node)?));
    let entry = ReleaseEntry {
        micro_paas: node.get("micro_paas").and_then(source_at),
        paas_release: node.get("paas_release").and_then(source_at)?,
    };
    Some(at(node, entry))
}

fn source(node: &Node) -> Option<SourceEntry> {
    let get = |key| text(node, key).map(|t| t.value);
    let sha256 = get("sha256").map(|digest| digest.to_ascii_lowercase());
    if let Some(path) = get("path") {
        return Some(SourceEntry::Path { path, sha256 });
    }
    if let Some(url) = get("url") {
        let sha256 = sha256?;
        return Some(SourceEntry::Url { url, sha256 });
    }
    Some(SourceEntry::Git {
        url: get("git")?,
        reference: get("ref")?,
    })
}

fn vars(map: &Node) -> Vec<Var> {
    let pairs = map.get("vars").map(Node::pairs).unwrap_or_default();
    let var = |(key, value): &(Node, Node)| {
        Some(Var {
            name: as_text(key)?,
            value: at(value, data(value)),
        })
    };
    pairs.iter().filter_map(var).collect()
}

pub(super) fn data(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => value.clone().into(),
        Value::Text(value) => value.clone().into(),
        Value::List(items) => items.iter().map(data).collect(),
        Value::Map(pairs) => {
            let pairs = pairs.iter();
            let pairs = pairs.filter_map(|(k, v)| Some((k.text()?.to_owned(), data(v))));
            serde_json::Value::Object(pairs.collect())
        }
    }
}
