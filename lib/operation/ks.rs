//! What an operation on the global control plane can ask of one host: the scripts in `deploy/ks/`.
//! Which of them, where and in which order, is `lib/ks`'s to decide.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::Task;

/// One of the scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KsScript {
    /// Looks, read-only.
    Look,
    /// Hands the primary over inside one cluster.
    Switchover,
    /// Stops a server.
    Stop,
    /// Makes a room's servers writable.
    Promote,
    /// Has a server follow the primary, copied anew if need be.
    Follow,
    /// Starts a server although the other room can't be asked.
    Start,
    /// Sets whose confirmation a commit waits for.
    WaitFor,
    /// Notes which room serves, and how zones are.
    Master,
    /// Has an entry lead to a room.
    Serve,
    /// Forgets what a room cached.
    Forget,
    /// Writes through an entry and reads it back.
    Write,
    /// Writes a row on the primary itself.
    Row,
    /// Looks for what was written on a standby.
    Seen,
    /// Has Patroni elect a primary among those that are left.
    Elect,
    /// Has a ZooKeeper go on without the members that are dark.
    ZookeeperAlone,
    /// Empties a ZooKeeper that others went on without.
    ZookeeperClear,
    /// Has a ZooKeeper be one of the whole ensemble again.
    ZookeeperJoin,
}

impl KsScript {
    /// Names the step; its file is `deploy/ks/` and this without the prefix.
    pub fn name(self) -> &'static str {
        match self {
            KsScript::Look => "ks-look",
            KsScript::Switchover => "ks-switchover",
            KsScript::Stop => "ks-stop",
            KsScript::Promote => "ks-promote",
            KsScript::Follow => "ks-follow",
            KsScript::Start => "ks-start",
            KsScript::WaitFor => "ks-wait-for",
            KsScript::Master => "ks-master",
            KsScript::Serve => "ks-serve",
            KsScript::Forget => "ks-forget",
            KsScript::Write => "ks-write",
            KsScript::Row => "ks-row",
            KsScript::Seen => "ks-seen",
            KsScript::Elect => "ks-elect",
            KsScript::ZookeeperAlone => "ks-zookeeper-alone",
            KsScript::ZookeeperClear => "ks-zookeeper-clear",
            KsScript::ZookeeperJoin => "ks-zookeeper-join",
        }
    }

    /// Every script.
    pub const ALL: [KsScript; 17] = [
        KsScript::Look,
        KsScript::Switchover,
        KsScript::Stop,
        KsScript::Promote,
        KsScript::Follow,
        KsScript::Start,
        KsScript::WaitFor,
        KsScript::Master,
        KsScript::Serve,
        KsScript::Forget,
        KsScript::Write,
        KsScript::Row,
        KsScript::Seen,
        KsScript::Elect,
        KsScript::ZookeeperAlone,
        KsScript::ZookeeperClear,
        KsScript::ZookeeperJoin,
    ];
}

/// A script on a host, with the values that it is rendered from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KsTask {
    /// Where.
    pub host: IpAddr,
    /// Which.
    pub script: KsScript,
    /// Its values.
    pub values: BTreeMap<String, Value>,
    /// What tells it from another step of the same script on the host in one operation.
    pub occasion: Option<&'static str>,
}

impl KsTask {
    /// Makes a task without values.
    pub fn new(script: KsScript, host: IpAddr) -> KsTask {
        KsTask {
            host,
            script,
            values: BTreeMap::new(),
            occasion: None,
        }
    }

    /// Adds a value.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> KsTask {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// Tells it from another step of the same script.
    pub fn on(mut self, occasion: Option<&'static str>) -> KsTask {
        self.occasion = occasion;
        self
    }

    /// Names the step: the script's name, the database where it is about one, and the occasion.
    pub fn step(&self) -> String {
        let database = self.values.get("database").and_then(Value::as_str);
        let words = [Some(self.script.name()), database, self.occasion];
        words.into_iter().flatten().collect::<Vec<_>>().join("-")
    }
}

impl From<KsTask> for Task {
    fn from(task: KsTask) -> Task {
        Task::Ks(task)
    }
}
