//! The names of everything that a lab makes on this computer.
//!
//! Interface names have 15 bytes, so they carry a short hash of the lab instead of its name. All of
//! them follow from the lab alone: `down` finds the remains of a lab whose records are gone.

use std::path::Path;

use sha2::{Digest, Sha256};

/// The start of every interface, chain and cgroup of any lab.
const MARK: &str = "pcb";

/// Derives the names of one lab's things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    lab: String,
    key: String,
}

impl Names {
    /// Derives the names from the lab's name and the folder that holds the labs, so that labs of
    /// the same name under different folders (in tests) stay apart.
    pub(super) fn new(state: &Path, lab: &str) -> Names {
        let digest = Sha256::new()
            .chain_update(state.as_os_str().as_encoded_bytes())
            .chain_update([0])
            .chain_update(lab)
            .finalize();
        let key = digest
            .iter()
            .take(3)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Names {
            lab: lab.to_owned(),
            key,
        }
    }

    /// Starts the names of the lab's bridges and machines.
    pub(super) fn prefix(&self) -> String {
        format!("{MARK}{}", self.key)
    }

    /// Names the bridge of a room.
    pub(super) fn bridge(&self, room: usize) -> String {
        format!("{}r{room}", self.prefix())
    }

    /// Gives the bridge of a room a fixed hardware address. Left alone, a bridge takes the lowest
    /// one of its ports, and machines would keep a stale neighbour when a port comes or goes.
    pub(super) fn bridge_mac(&self, room: usize) -> String {
        let (a, rest) = self.key.split_at(2);
        let (b, c) = rest.split_at(2);
        format!("02:{a}:{b}:{c}:00:{room:02x}")
    }

    /// Names a machine towards systemd-nspawn.
    pub(super) fn machine(&self, index: usize) -> String {
        format!("{}{index:03}", self.prefix())
    }

    /// Names the host's end of a machine's link; systemd-nspawn makes it from the machine's name.
    pub(super) fn link(&self, index: usize) -> String {
        format!("vb-{}", self.machine(index))
    }

    /// Says whether an interface belongs to this lab.
    pub(super) fn owns_link(&self, interface: &str) -> bool {
        interface
            .strip_prefix("vb-")
            .unwrap_or(interface)
            .starts_with(&self.prefix())
    }

    /// Says whether an interface belongs to any lab.
    pub(super) fn any_lab(interface: &str) -> bool {
        let name = interface.strip_prefix("vb-").unwrap_or(interface);
        name.strip_prefix(MARK).is_some_and(|rest| {
            rest.len() > 6 && rest.bytes().take(6).all(|b| b.is_ascii_hexdigit())
        })
    }

    /// Names the chain with the lab's forwarding rules, and its cgroup.
    pub(super) fn chain(&self) -> String {
        format!("{MARK}-{}", self.key)
    }

    /// Marks every packet filter rule of the lab. It has no spaces, so listings needn't quote it.
    pub(super) fn comment(&self) -> String {
        format!("paas-cluster-build-lab:{}:{}", self.lab, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(
            Path::new("/var/lib/labs"),
            "a-cluster-with-a-very-long-name-indeed",
        )
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        for name in [names().bridge(99), names().link(999), names().chain()] {
            assert!(name.len() <= 15, "{name}");
        }
    }

    #[test]
    fn a_lab_owns_its_interfaces_only() {
        let other = Names::new(Path::new("/var/lib/labs"), "other");
        assert!(names().owns_link(&names().bridge(0)));
        assert!(names().owns_link(&names().link(7)));
        assert!(!names().owns_link(&other.link(7)));
        assert!(!names().owns_link("eth0"));
        assert!(Names::any_lab(&other.bridge(1)) && Names::any_lab(&other.link(1)));
        assert!(!Names::any_lab("pcb0") && !Names::any_lab("docker0"));
    }

    #[test]
    fn the_folder_keeps_labs_of_one_name_apart() {
        let here = Names::new(Path::new("/a"), "x");
        assert_ne!(here, Names::new(Path::new("/b"), "x"));
        assert_eq!(here, Names::new(Path::new("/a"), "x"));
    }

    #[test]
    fn a_bridge_has_a_local_hardware_address() {
        let mac = names().bridge_mac(10);
        assert_eq!(mac.len(), 17);
        assert!(mac.starts_with("02:") && mac.ends_with(":00:0a"), "{mac}");
    }
}
