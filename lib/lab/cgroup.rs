//! The cgroups of a lab: each machine has one of its own in every hierarchy that systemd uses.
//!
//! Without that, the machines' systemds would collide in one tree. They also say, beyond doubt,
//! which processes belong to a lab: a process can't leave them, and no id has to be remembered.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::command;
use super::error::{At, Error};

/// The cgroup v1 controllers that systemd manages; it leaves the others to their root group.
const CONTROLLERS: [&str; 7] = [
    "name=systemd",
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "pids",
];
/// The cgroup v2 controllers that machines are to have, where this kernel has them.
const DELEGATED: [&str; 4] = ["+cpu", "+io", "+memory", "+pids"];
/// The most that killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(15);

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    path: PathBuf,
    unified: bool,
    tracks: bool,
    memory: bool,
}

/// Finds the hierarchies that systemd uses on this computer.
pub(super) fn hierarchies() -> Result<Vec<Hierarchy>, Error> {
    let path = Path::new("/proc/self/mountinfo");
    Ok(parse(&std::fs::read_to_string(path).at("read", path)?))
}

/// Says whether systemd can keep track of services in any of them.
pub(super) fn usable(hierarchies: &[Hierarchy]) -> bool {
    hierarchies.iter().any(|hierarchy| hierarchy.tracks)
}

/// Says whether one of them is of version 2.
pub(super) fn has_version_2(hierarchies: &[Hierarchy]) -> bool {
    hierarchies.iter().any(|hierarchy| hierarchy.unified)
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    let mut seen = BTreeSet::new();
    for line in mountinfo.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else {
            continue;
        };
        let fields: Vec<&str> = mount.split(' ').collect();
        let kind: Vec<&str> = kind.split(' ').collect();
        let (&[_, _, device, _, path, ..], &[fs, _, options]) = (&fields[..], &kind[..]) else {
            continue;
        };
        let unified = fs == "cgroup2";
        let has = |name: &str| options.split(',').any(|option| option == name);
        let wanted = unified || (fs == "cgroup" && CONTROLLERS.into_iter().any(has));
        // The same hierarchy may be mounted twice; the device number tells.
        if wanted && path.starts_with("/sys/fs/cgroup") && seen.insert(device.to_owned()) {
            found.push(Hierarchy {
                path: PathBuf::from(path),
                unified,
                tracks: has("name=systemd") || path == "/sys/fs/cgroup",
                memory: has("memory") || path == "/sys/fs/cgroup",
            });
        }
    }
    found
}

/// The cgroups of one lab, in all hierarchies.
#[derive(Debug)]
pub(super) struct Groups {
    hierarchies: Vec<Hierarchy>,
    name: String,
}

impl Groups {
    /// Finds the hierarchies; makes nothing.
    pub(super) fn new(name: String) -> Result<Groups, Error> {
        Ok(Groups {
            hierarchies: hierarchies()?,
            name,
        })
    }

    /// Makes the cgroups of a machine and returns them for the launcher.
    pub(super) fn make(&self, machine: usize) -> Result<Vec<PathBuf>, Error> {
        let mut made = Vec::new();
        for hierarchy in &self.hierarchies {
            let lab = hierarchy.path.join(&self.name);
            let group = lab.join(machine.to_string());
            for leaf in ["power", "machine"] {
                let leaf = group.join(leaf);
                std::fs::create_dir_all(&leaf).at("make the cgroup", &leaf)?;
            }
            if hierarchy.unified {
                // A kernel without one of them, or with it in a v1 hierarchy, just goes without.
                for parent in [&hierarchy.path, &lab, &group] {
                    for controller in DELEGATED {
                        let _ = std::fs::write(parent.join("cgroup.subtree_control"), controller);
                    }
                }
            }
            made.push(group);
        }
        Ok(made)
    }

    /// Finds PID 1 of a machine, as this computer numbers it.
    pub(super) fn leader(&self, machine: usize) -> Option<u32> {
        let group = self
            .hierarchies
            .iter()
            .find(|h| h.tracks)?
            .path
            .join(&self.name);
        let group = group.join(machine.to_string()).join("machine");
        processes(&group).into_iter().find(|&pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            status.is_ok_and(|text| is_leader(&text))
        })
    }

    /// Reads how much memory a machine's processes hold, without the files' cache.
    pub(super) fn memory(&self, machine: usize) -> Option<u64> {
        let group = self
            .hierarchies
            .iter()
            .find(|h| h.memory)?
            .path
            .join(&self.name);
        let group = group.join(machine.to_string()).join("machine");
        let text = std::fs::read_to_string(group.join("memory.stat")).ok()?;
        let field = |name: &str| {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            value.parse().ok()
        };
        field("total_rss").or_else(|| field("anon"))
    }

    /// Says whether anything of the lab is there.
    pub(super) fn exist(&self) -> bool {
        self.hierarchies
            .iter()
            .any(|hierarchy| hierarchy.path.join(&self.name).exists())
    }

    /// Kills everything in a machine's cgroups and removes them.
    pub(super) fn end_machine(&self, machine: usize) -> Result<(), Error> {
        self.end(&Path::new(&self.name).join(machine.to_string()))
    }

    /// Kills everything in the lab's cgroups and removes them.
    pub(super) fn end_all(&self) -> Result<(), Error> {
        self.end(Path::new(&self.name))
    }

    fn end(&self, below: &Path) -> Result<(), Error> {
        let groups: Vec<PathBuf> = self
            .hierarchies
            .iter()
            .map(|h| h.path.join(below))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pids: BTreeSet<u32> = groups.iter().flat_map(|group| processes(group)).collect();
            command::kill_now(&pids.into_iter().collect::<Vec<_>>())?;
            let left = groups.iter().try_for_each(|group| remove(group));
            match left {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).at("remove the cgroup of", below);
                }
                // cgroup v1 has nothing to wait on for the last exit, so this looks again.
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

/// Lists the processes of a cgroup and of all below it.
fn processes(group: &Path) -> Vec<u32> {
    let own = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for child in children(group) {
        pids.extend(processes(&child));
    }
    // Processes outside of this computer's PID namespace show as 0, which means "my group" to kill.
    pids.retain(|&pid| pid > 1);
    pids
}

fn children(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = group.read_dir() else {
        return Vec::new();
    };
    let entries = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
    entries.map(|entry| entry.path()).collect()
}

fn remove(group: &Path) -> std::io::Result<()> {
    for child in children(group) {
        remove(&child)?;
    }
    match std::fs::remove_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Tells PID 1 of a machine from the other processes, and from containers inside of the machine.
fn is_leader(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.is_some_and(|ids| matches!(ids.split_whitespace().collect::<Vec<_>>()[..], [_, "1"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:38 / /mnt/again rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_hybrid_layout() {
        let found = parse(V1);
        let paths: Vec<_> = found.iter().map(|h| h.path.to_str().unwrap()).collect();
        let expected = ["cpu,cpuacct", "memory", "systemd", "unified"];
        assert_eq!(paths, expected.map(|name| format!("/sys/fs/cgroup/{name}")));
        assert!(usable(&found) && has_version_2(&found));
        assert!(!usable(&found[..2]) && !has_version_2(&found[..3]));
        assert!(found[2].tracks && !found[3].tracks && found[1].memory);
    }

    #[test]
    fn the_unified_layout() {
        let found =
            parse("29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].unified && found[0].tracks && found[0].memory);
    }

    #[test]
    fn a_leader_is_process_1_one_level_down() {
        assert!(is_leader("Name:\tsystemd\nNSpid:\t12216\t1\n"));
        assert!(!is_leader("NSpid:\t12217\t2\n"));
        assert!(!is_leader("NSpid:\t12218\t40\t1\n"));
        assert!(!is_leader("NSpid:\t1\n"));
    }
}
