//! Removes a lab with everything that it made, also what a killed command left half made.
//!
//! It looks for things by their names, not only by the record: the record may be gone.

use std::path::{Path, PathBuf};

use super::base;
use super::cgroup::Groups;
use super::command;
use super::error::{At, Error};
use super::known_hosts;
use super::names::Names;
use super::network;
use super::state::{self, Folders, Record};

/// Removes the lab; the caller holds its lock. Says whether anything was there.
pub(super) fn down(
    folders: &Folders,
    names: &Names,
    lab: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<bool, Error> {
    let folder = folders.lab(lab);
    let mut found = folder.exists();

    // Power first: the machines' mounts, links and namespaces go with their processes, and a
    // launcher that is only about to start gives up without its cgroup.
    let groups = Groups::new(names.chain())?;
    if groups.exist() {
        found = true;
        progress("taking the power away from all machines");
        groups.end_all()?;
    }
    for mount in mounts_below(&folder)? {
        command::run("umount", [Path::new("--lazy"), &mount])?;
    }
    if command::find("iptables").is_some() && command::find("ip").is_some() {
        let removed = network::unmake(names)?;
        if removed > 0 {
            found = true;
            progress(&format!("removed {removed} interfaces and rules"));
        }
    }
    // A record that can't be read mustn't keep the rest from going.
    match state::read_json::<Record>(&state::record_path(&folder)) {
        Ok(Some(record)) => {
            if let Some(file) = &record.known_hosts {
                let addresses = record
                    .machines
                    .iter()
                    .map(|machine| machine.address)
                    .collect();
                known_hosts::clear(file, &addresses)?;
            }
        }
        Ok(None) => {}
        Err(error) => progress(&format!(
            "the lab's record is damaged, which is fine now: {error}"
        )),
    }
    base::tidy(folders)?;
    if folder.exists() {
        progress("removing the machines' disks");
        state::remove_folder(&folder)?;
    }
    network::stop_forwarding()?;
    Ok(found)
}

/// Finds mounts below a folder, the deepest first. The launcher's are in a namespace of its own,
/// so there are none unless somebody made them by hand.
fn mounts_below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let path = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(path).at("read", path)?;
    Ok(mounts(&text, folder))
}

fn mounts(mountinfo: &str, folder: &Path) -> Vec<PathBuf> {
    let points = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    let mut below: Vec<_> = points.filter(|point| point.starts_with(folder)).collect();
    below.reverse();
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_lab_are_found_the_last_first() {
        let text = "1 0 8:1 / / rw - ext4 a rw\n2 1 0:3 / /labs/x/root rw - overlay o rw\n\
                    3 2 0:4 / /labs/x/root/tmp rw - tmpfs t rw\n4 1 0:5 / /labs/xy rw - tmpfs t rw\n";
        let expected = ["/labs/x/root/tmp", "/labs/x/root"].map(PathBuf::from);
        assert_eq!(mounts(text, Path::new("/labs/x")), expected);
    }
}
