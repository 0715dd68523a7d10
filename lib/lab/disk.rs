//! The disk of one machine: what it has on top of the base, written before its first boot.
//!
//! Only what a rented machine would come with: a name, an address, a login, a host key.

use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::command;
use super::error::{At, Error};
use super::network;
use super::state;

/// The folder of one machine.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    folder: PathBuf,
}

/// What a machine is given.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    pub(super) name: &'a str,
    pub(super) address: Ipv4Addr,
    pub(super) gateway: Ipv4Addr,
    pub(super) user: &'a str,
    pub(super) authorized_keys: &'a [String],
}

/// A login on the machine.
struct Account {
    uid: u32,
    gid: u32,
    home: String,
}

impl Disk {
    pub(super) fn new(folder: PathBuf) -> Disk {
        Disk { folder }
    }

    /// The folder that the launcher works in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that the machine ever wrote to its console.
    pub(super) fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// Locked by the launcher while the power is on.
    pub(super) fn power(&self) -> PathBuf {
        self.folder.join("power")
    }

    /// There while sshd answered after the last boot.
    pub(super) fn ready(&self) -> PathBuf {
        self.folder.join("ready")
    }

    /// There while the network is cut.
    pub(super) fn cut(&self) -> PathBuf {
        self.folder.join("cut")
    }

    /// The base that the disk was written for. A newer recipe's base must not slip under it.
    pub(super) fn base(&self) -> Result<PathBuf, Error> {
        let path = self.made();
        let text = std::fs::read_to_string(&path).at("read", &path)?;
        Ok(PathBuf::from(text))
    }

    /// Written last; holds the base's path.
    fn made(&self) -> PathBuf {
        self.folder.join("made")
    }

    fn host_key(&self) -> PathBuf {
        self.folder.join("upper/etc/ssh/ssh_host_ed25519_key")
    }

    /// Writes the disk unless it is there already; a half-written one is written again.
    pub(super) fn make(&self, base: &Path, identity: &Identity<'_>) -> Result<(), Error> {
        if self.made().exists() {
            return Ok(());
        }
        state::remove_folder(&self.folder)?;
        for part in ["upper", "work", "root"] {
            make_folder(&self.folder.join(part), 0o755)?;
        }
        let upper = self.folder.join("upper");
        let etc = upper.join("etc");
        for part in ["", "ssh", "sudoers.d"] {
            make_folder(
                &etc.join(part),
                if part == "sudoers.d" { 0o750 } else { 0o755 },
            )?;
        }
        let host = hostname(identity.name);
        write(&etc.join("hostname"), &format!("{host}\n"), 0o644)?;
        let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {host}\n::1 localhost\n");
        write(&etc.join("hosts"), &hosts, 0o644)?;
        write(
            &etc.join("machine-id"),
            &format!("{}\n", state::random_id()?),
            0o444,
        )?;
        write(&etc.join("resolv.conf"), &network::resolver().1, 0o644)?;
        let network = format!(
            "ADDRESS={}/24\nGATEWAY={}\n",
            identity.address, identity.gateway
        );
        write(&etc.join("lab-network"), &network, 0o644)?;

        let key = self.host_key();
        let mut keygen = command::command("ssh-keygen");
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-C", &host, "-f"])
            .arg(&key);
        command::finish(&mut keygen)?;

        let account = add_account(base, &upper, identity.user)?;
        if account.uid != 0 {
            // By number: a name may hold what sudo takes for its own.
            let rule = format!("#{} ALL=(ALL:ALL) NOPASSWD: ALL\n", account.uid);
            write(&etc.join("sudoers.d/lab"), &rule, 0o440)?;
        }
        authorize(&upper, &account, identity.authorized_keys)?;
        write(&self.made(), &base.to_string_lossy(), 0o600)
    }

    /// Lets another set of keys in; works on the disk of a running machine through its own root.
    pub(super) fn reauthorize(
        &self,
        running: Option<u32>,
        user: &str,
        keys: &[String],
    ) -> Result<(), Error> {
        let root = match running {
            Some(leader) => PathBuf::from(format!("/proc/{leader}/root")),
            None => self.folder.join("upper"),
        };
        match find_account(&root, user)? {
            Some(account) => authorize(&root, &account, keys),
            None => Ok(()),
        }
    }

    /// Reads the public host key, without its comment.
    pub(super) fn public_key(&self) -> Result<String, Error> {
        let path = self.host_key().with_extension("pub");
        let text = std::fs::read_to_string(&path).at("read", &path)?;
        Ok(text
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" "))
    }
}

/// Makes a host name of a machine's name: only letters, digits and hyphens.
fn hostname(name: &str) -> String {
    let plain = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    plain
        .collect::<String>()
        .to_ascii_lowercase()
        .trim_matches('-')
        .to_owned()
}

/// Finds a user of the base, or adds one to the machine's user files.
fn add_account(base: &Path, upper: &Path, user: &str) -> Result<Account, Error> {
    if let Some(account) = find_account(base, user)? {
        return Ok(account);
    }
    let (id, home) = (1000, format!("/home/{user}"));
    let lines = [
        ("passwd", format!("{user}:x:{id}:{id}::{home}:/bin/bash\n")),
        ("group", format!("{user}:x:{id}:\n")),
        // A star is no password, yet leaves the account open for keys.
        ("shadow", format!("{user}:*:19700:0:99999:7:::\n")),
        ("gshadow", format!("{user}:!::\n")),
    ];
    for (file, line) in lines {
        let from = base.join("etc").join(file);
        let to = upper.join("etc").join(file);
        let text = std::fs::read_to_string(&from).at("read", &from)?;
        let meta = from.metadata().at("look at", &from)?;
        write(&to, &(text + &line), meta.permissions().mode())?;
        // shadow is for the group of that name.
        chown(&to, None, Some(std::os::unix::fs::MetadataExt::gid(&meta))).at("hand over", &to)?;
    }
    make_folder(&upper.join("home"), 0o755)?;
    let folder = upper.join("home").join(user);
    make_folder(&folder, 0o755)?;
    chown(&folder, Some(id), Some(id)).at("hand over", &folder)?;
    Ok(Account {
        uid: id,
        gid: id,
        home,
    })
}

fn find_account(root: &Path, user: &str) -> Result<Option<Account>, Error> {
    let path = root.join("etc/passwd");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).at("read", &path)?;
    Ok(text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, _, home, _] = &fields[..] else {
            return None;
        };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (name == user).then(|| Account {
            uid,
            gid,
            home: home.to_owned(),
        })
    }))
}

fn authorize(root: &Path, account: &Account, keys: &[String]) -> Result<(), Error> {
    let home = root.join(account.home.trim_start_matches('/'));
    make_folder(&home, if account.uid == 0 { 0o700 } else { 0o755 })?;
    let ssh = home.join(".ssh");
    make_folder(&ssh, 0o700)?;
    let file = ssh.join("authorized_keys");
    let text: String = keys.iter().map(|key| format!("{}\n", key.trim())).collect();
    write(&file, &text, 0o600)?;
    for path in [&ssh, &file] {
        chown(path, Some(account.uid), Some(account.gid)).at("hand over", path)?;
    }
    Ok(())
}

/// Makes a folder whose mode doesn't depend on the umask.
fn make_folder(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::create_dir_all(path).at("make", path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .at("set the mode of", path)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    std::fs::write(path, text).at("write", path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .at("set the mode of", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_plain() {
        assert_eq!(hostname("dea_ng.1"), "dea-ng-1");
        assert_eq!(hostname("Nats_"), "nats");
    }

    #[test]
    fn accounts_are_read_from_passwd() {
        let root = tempfile::tempdir().unwrap();
        assert!(find_account(root.path(), "root").unwrap().is_none());
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let text = "root:x:0:0:root:/root:/bin/bash\npaas:x:1000:1001::/home/paas:/bin/sh\n";
        std::fs::write(root.path().join("etc/passwd"), text).unwrap();
        let paas = find_account(root.path(), "paas").unwrap().unwrap();
        assert_eq!(
            (paas.uid, paas.gid, paas.home.as_str()),
            (1000, 1001, "/home/paas")
        );
        assert!(find_account(root.path(), "nobody").unwrap().is_none());
    }
}
