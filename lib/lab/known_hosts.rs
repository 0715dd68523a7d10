//! The lab's lines in a known_hosts file, so that ssh trusts its machines and nothing else changes.
//!
//! Plain host fields only: hashed lines can't be recognised and are left alone.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

use super::error::{At, Error};
use super::state;

/// Puts one key for each address into the file, in place of the lines that were there for it.
pub(super) fn set(path: &Path, keys: &[(Ipv4Addr, String)]) -> Result<(), Error> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).at("make", folder)?;
    }
    let addresses = keys.iter().map(|(address, _)| *address).collect();
    let mut text = without(&read(path)?, &addresses);
    for (address, key) in keys {
        text.push_str(&format!("{address} {key}\n"));
    }
    write(path, &text)
}

/// Removes the lines of these addresses, and the file with its last line.
pub(super) fn clear(path: &Path, addresses: &BTreeSet<Ipv4Addr>) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let before = read(path)?;
    let after = without(&before, addresses);
    if after == before {
        return Ok(());
    }
    if after.is_empty() {
        state::remove_file(path)
    } else {
        write(path, &after)
    }
}

fn read(path: &Path) -> Result<String, Error> {
    if path.exists() {
        std::fs::read_to_string(path).at("read", path)
    } else {
        Ok(String::new())
    }
}

/// Replaces the file in one step; a symbolic link stays one.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let real = if path.is_symlink() {
        path.canonicalize().at("follow", path)?
    } else {
        path.into()
    };
    state::replace(&real, text.as_bytes())
}

fn without(text: &str, addresses: &BTreeSet<Ipv4Addr>) -> String {
    text.lines()
        .filter_map(|line| strip(line, addresses))
        .map(|line| line + "\n")
        .collect()
}

/// Takes the addresses out of a line; the line goes when no other host is left in it.
fn strip(line: &str, addresses: &BTreeSet<Ipv4Addr>) -> Option<String> {
    let Some((hosts, rest)) = line.split_once(' ') else {
        return Some(line.to_owned());
    };
    let ours = |host: &&str| {
        host.parse()
            .is_ok_and(|address| addresses.contains(&address))
    };
    if !hosts.split(',').any(|host| ours(&host)) {
        return Some(line.to_owned());
    }
    let others: Vec<_> = hosts.split(',').filter(|host| !ours(host)).collect();
    (!others.is_empty()).then(|| format!("{} {rest}", others.join(",")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OTHERS: &str = "# note\n|1|hash= ssh-rsa A\n10.98.1.10 ssh-rsa B\n";

    #[test]
    fn lines_are_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/known_hosts");
        let one = Ipv4Addr::new(10, 98, 1, 1);
        set(&path, &[(one, "ssh-ed25519 OLD".into())]).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = read(&path).unwrap();
        std::fs::write(&path, format!("{OTHERS}nats,10.98.1.1 ssh-rsa C\n{text}")).unwrap();

        set(&path, &[(one, "ssh-ed25519 NEW".into())]).unwrap();
        let kept = format!("{OTHERS}nats ssh-rsa C\n");
        assert_eq!(
            read(&path).unwrap(),
            format!("{kept}10.98.1.1 ssh-ed25519 NEW\n")
        );
        clear(&path, &[one].into()).unwrap();
        assert_eq!(read(&path).unwrap(), kept);
    }

    #[test]
    fn a_file_with_nothing_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let one = Ipv4Addr::new(10, 98, 1, 1);
        clear(&path, &[one].into()).unwrap();
        set(&path, &[(one, "ssh-ed25519 K".into())]).unwrap();
        clear(&path, &[one].into()).unwrap();
        assert!(!path.exists());
    }
}
