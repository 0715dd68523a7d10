//! What is on the hosts now, as the probe (`deploy/probe.sh`) told it.
//!
//! A host's words are data: an unknown line is passed over, a damaged one is as if it weren't
//! there, and nothing read here is ever run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use secrecy::SecretString;

use super::holder::Holder;
use super::machine::Machine;
use super::receipt::Receipt;

/// The state of every host that was asked, and of those that weren't.
#[derive(Debug, Default)]
pub struct Facts {
    /// One entry for each host.
    pub hosts: BTreeMap<IpAddr, HostState>,
}

/// What is known of one host.
#[derive(Debug)]
pub enum HostState {
    /// It answered.
    Known(Box<HostFacts>),
    /// It didn't, and here is why.
    Unknown {
        /// The kind of failure, as in `HostUnreachable`; `offline` when nobody asked.
        kind: String,
        /// In words.
        why: String,
    },
}

/// One host's own account.
#[derive(Debug, Default)]
pub struct HostFacts {
    /// `ID` of os-release: `debian`, `ubuntu`.
    pub os_id: String,
    /// `VERSION_ID` of os-release: `12`, `22.04`.
    pub os_version: String,
    /// `PRETTY_NAME` of os-release.
    pub os_name: String,
    /// Whether systemd is the first process.
    pub systemd: bool,
    /// Which machine it is.
    pub machine: Machine,
    /// Free space where the tool keeps its files, in KiB.
    pub disk_free_kib: Option<u64>,
    /// For how many seconds the question for it had no answer, where it had none.
    pub disk_hangs: Option<u64>,
    /// The host's clock minus this machine's, in seconds.
    pub clock_offset: Option<i64>,
    /// The TCP ports that something listens on.
    pub ports: BTreeSet<u16>,
    /// The receipts by step.
    pub receipts: BTreeMap<String, Receipt>,
    /// The health of the steps that have a receipt: fine, or why not.
    pub health: BTreeMap<String, Result<(), String>>,
    /// The steps whose instance here leads the others.
    pub leads: BTreeSet<String>,
    /// The step that has the host now.
    pub busy: Option<Busy>,
    /// The secrets that the host keeps, by name.
    pub secrets: BTreeMap<String, SecretString>,
}

/// A step that has a host at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// What it says of itself.
    pub holder: Holder,
    /// Whether a controller follows it, or did until a moment ago.
    pub followed: bool,
}

impl Facts {
    /// Returns the account of a host that answered.
    pub fn known(&self, host: IpAddr) -> Option<&HostFacts> {
        match self.hosts.get(&host) {
            Some(HostState::Known(facts)) => Some(facts),
            _ => None,
        }
    }
}

impl HostFacts {
    /// Reads the probe's output; `now` is this machine's clock when the output was complete.
    pub fn parse(output: &str, now: jiff::Timestamp) -> HostFacts {
        let mut facts = HostFacts::default();
        for line in output.lines() {
            let Some((key, rest)) = line.split_once(' ') else {
                continue;
            };
            match key {
                "os_id" => facts.os_id = rest.to_owned(),
                "os_version" => facts.os_version = rest.to_owned(),
                "os_name" => facts.os_name = rest.to_owned(),
                "init" => facts.systemd = rest == "systemd",
                "boot" => facts.machine.running = running(rest),
                "machine_id" => facts.machine.id = rest.trim().to_owned(),
                "disk_hangs" => facts.disk_hangs = rest.parse().ok(),
                "disk_free_kib" => facts.disk_free_kib = rest.parse().ok(),
                "clock" => {
                    facts.clock_offset = rest.parse().ok().map(|clock: i64| clock - now.as_second())
                }
                "port" => facts.ports.extend(rest.parse::<u16>()),
                "receipt" => {
                    if let Some((step, json)) = rest.split_once(' ')
                        && let Some(receipt) = Receipt::parse(json)
                    {
                        facts.receipts.insert(step.to_owned(), receipt);
                    }
                }
                "secret" => {
                    if let Some((name, value)) = rest.split_once(' ') {
                        facts
                            .secrets
                            .insert(name.to_owned(), value.to_owned().into());
                    }
                }
                "busy" => {
                    let (followed, line) = rest.split_once(' ').unwrap_or((rest, ""));
                    facts.busy = Some(Busy {
                        holder: Holder::parse(line).unwrap_or_default(),
                        followed: followed == "yes",
                    });
                }
                "healthy" => {
                    facts.health.insert(rest.to_owned(), Ok(()));
                }
                "leader" => {
                    facts.leads.insert(rest.to_owned());
                }
                "unhealthy" => {
                    let (step, why) = rest.split_once(' ').unwrap_or((rest, "no reason given"));
                    facts.health.insert(step.to_owned(), Err(why.to_owned()));
                }
                _ => {}
            }
        }
        facts
    }
}

/// Both parts, or nothing: one alone tells no machine from another.
fn running(said: &str) -> String {
    match said.split_once(' ') {
        Some((boot, processes)) if !boot.is_empty() && !processes.trim().is_empty() => {
            said.to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_tells_a_machine_is_nothing() {
        for half in ["", "b1", "b1 ", " pid:[7]"] {
            assert_eq!(running(half), "", "{half:?}");
        }
    }

    #[test]
    fn reads_what_the_probe_prints_and_passes_over_the_rest() {
        let now = jiff::Timestamp::from_second(1000).unwrap();
        let facts = HostFacts::parse(
            "os_id debian\nos_version 12\ninit systemd\nboot b1 pid:[7]\nmachine_id m1\nport 22\nport x\nport 4222\nnonsense\n\
             clock 1003\nbusy no {\"run\":\"r1\"}\nhealthy nats\nunhealthy router port 80: no answer\nreceipt nats {bad\n",
            now,
        );
        assert_eq!(facts.os_id, "debian");
        assert!(facts.systemd);
        assert_eq!(facts.machine.running, "b1 pid:[7]");
        assert_eq!(facts.machine.id, "m1");
        assert_eq!(facts.ports, [22, 4222].into());
        assert_eq!(facts.clock_offset, Some(3));
        assert_eq!(facts.health["nats"], Ok(()));
        assert_eq!(facts.health["router"], Err("port 80: no answer".to_owned()));
        assert!(facts.receipts.is_empty());
        let busy = facts.busy.unwrap();
        assert_eq!((busy.holder.run.as_str(), busy.followed), ("r1", false));
    }
}
