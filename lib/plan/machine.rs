//! Tells machines apart, whatever their addresses: two addresses of one machine in a cluster file
//! would have two steps meet on it, each in the other's way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::facts::{Facts, HostState};

/// What tells one machine from another, in its own words; a part that it doesn't tell is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The kernel's boot and its processes: `<boot id> pid:[<number>]`. Two that have it in common
    /// are one machine; containers on one kernel share the boot only.
    pub running: String,
    /// `/etc/machine-id`. Two that have it in common may be copies of one image.
    pub id: String,
}

/// Lists the machines that have several of the addresses that answered, each with them.
pub fn one_machine(facts: &Facts) -> Vec<Vec<IpAddr>> {
    groups(facts, |machine| &machine.running)
}

/// Says of machines that are copies of one image what to do; such a copy works, but its journal, its
/// DHCP lease and whatever else goes by the id takes it for the other one.
pub fn copies(facts: &Facts) -> Vec<String> {
    let groups = groups(facts, |machine| &machine.id).into_iter();
    let copies = groups.filter(|group| !one_machine(facts).contains(group));
    copies
        .map(|group| {
            format!(
                "{} have one machine id, as copies of one image do; give each its own: `rm \
                 /etc/machine-id && systemd-machine-id-setup` there, then a reboot",
                list(&group)
            )
        })
        .collect()
}

/// Names addresses in a sentence.
pub(super) fn list(addresses: &[IpAddr]) -> String {
    let words: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => words.concat(),
    }
}

fn groups(facts: &Facts, mark: impl Fn(&Machine) -> &str) -> Vec<Vec<IpAddr>> {
    let mut groups: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    for (host, state) in &facts.hosts {
        if let HostState::Known(known) = state {
            let mark = mark(&known.machine);
            if !mark.is_empty() {
                groups.entry(mark).or_default().push(*host);
            }
        }
    }
    let mut groups: Vec<Vec<IpAddr>> = groups.into_values().filter(|g| g.len() > 1).collect();
    groups.sort();
    groups
}

#[cfg(test)]
mod tests {
    use super::super::facts::HostFacts;
    use super::*;

    fn facts(machines: &[(u8, &str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (last, running, id) in machines {
            let host = HostFacts {
                machine: Machine {
                    running: (*running).to_owned(),
                    id: (*id).to_owned(),
                },
                ..HostFacts::default()
            };
            let state = HostState::Known(Box::new(host));
            facts.hosts.insert(address(*last), state);
        }
        facts
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn one_machine_is_one_boot_with_the_same_processes() {
        let facts = facts(&[
            (1, "b1 pid:[1]", "m1"),
            (2, "b1 pid:[1]", "m1"),
            // A container on the same kernel, made of the same image.
            (3, "b1 pid:[2]", "m1"),
            // Another machine.
            (4, "b2 pid:[1]", "m4"),
            // Two that say nothing of themselves.
            (5, "", ""),
            (6, "", ""),
        ]);
        assert_eq!(one_machine(&facts), [[address(1), address(2)]]);
    }

    #[test]
    fn copies_of_an_image_are_told_and_one_machine_isn_t_its_own_copy() {
        let copied = facts(&[(1, "b1 pid:[1]", "m"), (2, "b2 pid:[1]", "m")]);
        let told = copies(&copied);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("10.0.0.1 and 10.0.0.2 have"),
            "{told:?}"
        );
        assert!(told[0].contains("systemd-machine-id-setup"), "{told:?}");
        let same = facts(&[(1, "b pid:[1]", "m"), (2, "b pid:[1]", "m")]);
        assert!(copies(&same).is_empty());
    }
}
