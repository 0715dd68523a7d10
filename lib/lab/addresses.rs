//! Addresses of a lab: which networks its machines use, their gateways, and what would collide.
//!
//! Pure: the listings of this computer's routes come in as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde::Deserialize;

use super::error::Error;
use super::names::Names;
use super::state::{MachineRecord, Record};

/// A range of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    pub(super) base: Ipv4Addr,
    pub(super) length: u8,
}

impl Net {
    /// The /24 of an address.
    pub(super) fn around(address: Ipv4Addr) -> Net {
        let [a, b, c, _] = address.octets();
        Net {
            base: Ipv4Addr::new(a, b, c, 0),
            length: 24,
        }
    }

    /// Reads `a.b.c.d` or `a.b.c.d/n`.
    pub(super) fn parse(text: &str) -> Option<Net> {
        let (base, length) = text.split_once('/').unwrap_or((text, "32"));
        let length = length.parse().ok().filter(|&length| length <= 32)?;
        Some(Net {
            base: base.parse().ok()?,
            length,
        })
    }

    fn overlaps(self, other: Net) -> bool {
        let shift = 32 - u32::from(self.length.min(other.length));
        let start = |net: Net| u64::from(net.base.to_bits()) >> shift;
        start(self) == start(other)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.base, self.length)
    }
}

/// Says why an address can't be a machine's.
pub(super) fn unfit(address: Ipv4Addr) -> Option<&'static str> {
    let last = address.octets()[3];
    match () {
        () if address.is_loopback() => Some("is a loopback address"),
        () if address.is_multicast() || address.octets()[0] >= 240 => Some("is no host's address"),
        () if address.is_link_local() => Some("is a link-local address"),
        () if address.octets()[0] == 0 => Some("is no host's address"),
        () if last == 0 || last == 255 => Some("is the first or last of its /24, no host's"),
        () => None,
    }
}

/// The /24 networks of the machines, with the machines' addresses.
pub(super) fn networks(machines: &[MachineRecord]) -> BTreeMap<Ipv4Addr, BTreeSet<Ipv4Addr>> {
    let mut networks: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for machine in machines {
        networks
            .entry(Net::around(machine.address).base)
            .or_default()
            .insert(machine.address);
    }
    networks
}

/// The highest free address of a /24, for the bridge.
pub(super) fn highest_free(base: Ipv4Addr, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let [a, b, c, _] = base.octets();
    (1..=254)
        .rev()
        .map(|last| Ipv4Addr::new(a, b, c, last))
        .find(|one| !used.contains(one))
}

/// What one room's bridge has to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bridge {
    pub(super) room: usize,
    /// The bridge's own addresses, one in each /24 of the room's machines.
    pub(super) addresses: Vec<Net>,
    /// The machines that need a route of their own, each with its gateway: their /24 is in several
    /// rooms, so the bridge can't have all of it and answers for the machines in the other rooms.
    pub(super) single: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// Works out every bridge of a lab.
pub(super) fn bridges(record: &Record) -> Vec<Bridge> {
    let mut rooms_of: BTreeMap<Ipv4Addr, BTreeSet<&Option<String>>> = BTreeMap::new();
    for machine in &record.machines {
        rooms_of
            .entry(Net::around(machine.address).base)
            .or_default()
            .insert(&machine.room);
    }
    let bridge = |(room, name): (usize, &Option<String>)| {
        let machines = record
            .machines
            .iter()
            .filter(|machine| machine.room == *name);
        let addresses: BTreeSet<_> = machines.map(|machine| machine.address).collect();
        let bases: BTreeSet<_> = addresses.iter().map(|one| Net::around(*one).base).collect();
        let shared = |base: &Ipv4Addr| rooms_of.get(base).is_some_and(|rooms| rooms.len() > 1);
        let gateway = |base: &Ipv4Addr| record.gateways.get(base).copied();
        let own = |base: &Ipv4Addr| {
            let length = if shared(base) { 32 } else { 24 };
            gateway(base).map(|base| Net { base, length })
        };
        let single = |address: &Ipv4Addr| {
            let base = Net::around(*address).base;
            gateway(&base)
                .filter(|_| shared(&base))
                .map(|gateway| (*address, gateway))
        };
        Bridge {
            room,
            addresses: bases.iter().filter_map(own).collect(),
            single: addresses.iter().filter_map(single).collect(),
        }
    };
    record.rooms.iter().enumerate().map(bridge).collect()
}

/// A line of `ip -json route show table all`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Route {
    dst: String,
    #[serde(default)]
    dev: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// Reads the output of `ip -json -4 route show table all`.
pub(super) fn routes(json: &str) -> Result<Vec<Route>, Error> {
    let json = if json.trim().is_empty() { "[]" } else { json };
    serde_json::from_str(json).map_err(|error| Error::Unexpected {
        what: "the output of `ip route`".into(),
        why: error.to_string(),
    })
}

/// Lists what on this computer already has the lab's networks.
pub(super) fn collisions(
    networks: impl Iterator<Item = Ipv4Addr>,
    routes: &[Route],
    nameservers: &[Ipv4Addr],
    names: &Names,
    owner: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut found = Vec::new();
    for base in networks {
        let network = Net { base, length: 24 };
        let taken = routes.iter().find(|route| {
            let ours = route.dev.as_deref().is_some_and(|dev| names.owns_link(dev));
            !ours && Net::parse(&route.dst).is_some_and(|other| other.overlaps(network))
        });
        if let Some(route) = taken {
            let device = route.dev.as_deref();
            let by = match device.filter(|dev| Names::any_lab(dev)) {
                Some(dev) => match owner(dev) {
                    Some(lab) => format!("by lab {lab}"),
                    None => format!("by another lab ({dev})"),
                },
                None => format!(
                    "on this machine: {} {}{}",
                    route.kind.as_deref().unwrap_or("route"),
                    route.dst,
                    device.map(|dev| format!(" dev {dev}")).unwrap_or_default()
                ),
            };
            found.push(format!("the lab's network {network} is already used {by}"));
        } else if let Some(server) = nameservers.iter().find(|one| Net::around(**one) == network) {
            found.push(format!(
                "the lab's network {network} would hide the name server {server}"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ROUTES: &str = r#"[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[]},
        {"dst":"192.0.2.0/24","dev":"eth0","protocol":"kernel","scope":"link","flags":[]},
        {"type":"local","dst":"127.0.0.0/8","dev":"lo","table":"local","flags":[]},
        {"type":"blackhole","dst":"10.9.0.0/16","flags":[]},
        {"type":"local","dst":"192.0.2.2","dev":"eth0","table":"local","flags":[]}]"#;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 98, 1, last)
    }

    fn machine(index: usize, address: Ipv4Addr, room: Option<&str>) -> MachineRecord {
        let room = room.map(str::to_owned);
        MachineRecord {
            index,
            name: format!("m{index}"),
            address,
            room,
            suite: Default::default(),
        }
    }

    fn record(machines: Vec<MachineRecord>, rooms: &[Option<&str>]) -> Record {
        let gateway =
            |(base, used): (Ipv4Addr, BTreeSet<_>)| (base, highest_free(base, &used).unwrap());
        Record {
            user: "paas".into(),
            authorized_keys: Vec::new(),
            known_hosts: None,
            gateways: networks(&machines).into_iter().map(gateway).collect(),
            machines,
            rooms: rooms.iter().map(|room| room.map(str::to_owned)).collect(),
        }
    }

    fn check(network: Ipv4Addr, nameservers: &[Ipv4Addr], json: &str) -> Vec<String> {
        let names = Names::new(Path::new("/labs"), "mine");
        let other = Names::new(Path::new("/labs"), "other");
        let owner = |dev: &str| other.owns_link(dev).then(|| "other".to_owned());
        collisions(
            [network].into_iter(),
            &routes(json).unwrap(),
            nameservers,
            &names,
            owner,
        )
    }

    #[test]
    fn the_gateway_is_the_highest_free_address() {
        assert_eq!(highest_free(ip(0), &[ip(1)].into()), Some(ip(254)));
        assert_eq!(
            highest_free(ip(0), &[ip(254), ip(253)].into()),
            Some(ip(252))
        );
        assert_eq!(highest_free(ip(0), &(1..=254).map(ip).collect()), None);
    }

    #[test]
    fn a_free_network_collides_with_nothing() {
        assert!(check(ip(0), &[], ROUTES).is_empty());
        assert!(check(ip(0), &[], "").is_empty());
    }

    #[test]
    fn real_routes_and_name_servers_are_named() {
        let found = check(Ipv4Addr::new(192, 0, 2, 0), &[], ROUTES);
        assert!(found[0].contains("192.0.2.0/24 dev eth0"), "{found:?}");
        let found = check(Ipv4Addr::new(10, 9, 3, 0), &[], ROUTES);
        assert!(found[0].contains("blackhole 10.9.0.0/16"), "{found:?}");
        let found = check(ip(0), &[ip(53)], ROUTES);
        assert!(found[0].contains("name server 10.98.1.53"), "{found:?}");
    }

    #[test]
    fn another_lab_is_named_and_the_own_bridge_is_no_collision() {
        for (lab, text) in [("other", "by lab other"), ("third", "by another lab")] {
            let bridge = Names::new(Path::new("/labs"), lab).bridge(0);
            let json = format!(r#"[{{"dst":"10.98.1.0/24","dev":"{bridge}"}}]"#);
            let found = check(ip(0), &[], &json);
            assert!(found[0].contains(text), "{found:?}");
        }
        let bridge = Names::new(Path::new("/labs"), "mine").bridge(0);
        let json = format!(r#"[{{"dst":"10.98.1.0/24","dev":"{bridge}"}}]"#);
        assert!(check(ip(0), &[], &json).is_empty());
    }

    #[test]
    fn a_room_of_its_own_network_has_the_whole_of_it() {
        let far = Ipv4Addr::new(10, 98, 2, 1);
        let machines = vec![machine(0, ip(1), Some("a")), machine(1, far, Some("b"))];
        let bridges = bridges(&record(machines, &[Some("a"), Some("b")]));
        assert_eq!(
            bridges[0].addresses,
            [Net {
                base: ip(254),
                length: 24
            }]
        );
        assert!(bridges.iter().all(|bridge| bridge.single.is_empty()));
    }

    #[test]
    fn rooms_that_share_a_network_route_each_machine() {
        let machines = vec![machine(0, ip(1), Some("a")), machine(1, ip(2), Some("b"))];
        let bridges = bridges(&record(machines, &[Some("a"), Some("b")]));
        assert_eq!(
            bridges[1].addresses,
            [Net {
                base: ip(254),
                length: 32
            }]
        );
        assert_eq!(bridges[1].single, [(ip(2), ip(254))]);
    }

    #[test]
    fn addresses_that_no_machine_can_have() {
        for text in [
            "127.0.0.1",
            "224.0.0.1",
            "169.254.1.1",
            "0.0.0.1",
            "10.0.0.0",
            "10.0.0.255",
        ] {
            assert!(unfit(text.parse().unwrap()).is_some(), "{text}");
        }
        assert_eq!(unfit(ip(1)), None);
    }
}
