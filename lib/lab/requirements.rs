//! What this computer must have to run a lab, and what to do where it hasn't.
//!
//! Everything is looked at before anything is made, and everything missing is said at once.

use std::fmt;
use std::path::Path;

use super::apt;
use super::base;
use super::cgroup;
use super::command;

/// Tools, each with the Debian package that has it.
const TOOLS: [(&str, &str); 14] = [
    ("systemd-nspawn", "systemd-container"),
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("ssh-keygen", "openssh-client"),
    ("ssh", "openssh-client"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("setpriv", "util-linux"),
    ("flock", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("chroot", "coreutils"),
];

/// Tries an overlay in a mount namespace that ends with the shell. `$1` is a scratch folder.
const TRY_OVERLAY: &str = "set -e; mount -t tmpfs tmpfs \"$1\"; cd \"$1\"; mkdir l u w m; \
                           mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay m";

/// One thing that this computer lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What to install or do.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.remedy)
    }
}

/// Finds everything that keeps this computer from running a lab. It makes and changes nothing.
pub fn requirements() -> Result<(), Vec<Missing>> {
    let mut missing = Vec::new();
    let mut lack = |what: String, remedy: String| missing.push(Missing { what, remedy });

    for (tool, package) in TOOLS
        .into_iter()
        .filter(|(tool, _)| command::find(tool).is_none())
    {
        lack(
            tool.into(),
            format!("install it, on Debian by `apt-get install {package}`"),
        );
    }
    if !Path::new(base::KEYRING).exists() {
        let remedy = "install it by `apt-get install debian-archive-keyring`";
        lack("the keys of Debian's archive".into(), remedy.into());
    }
    match cgroup::hierarchies() {
        Ok(found) if cgroup::usable(&found) => {}
        _ => lack(
            "a cgroup hierarchy that systemd can use".into(),
            "mount cgroup2 on /sys/fs/cgroup, or with cgroup v1 by `mkdir /sys/fs/cgroup/systemd \
             && mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd`"
                .into(),
        ),
    }
    match apt::settings(base::SUITE) {
        Ok(Some(_)) => {}
        Ok(None) => lack(
            "a Debian mirror in this machine's apt sources".into(),
            "set PAAS_LAB_MIRROR to the address of one".into(),
        ),
        Err(error) => lack("a Debian mirror".into(), error.to_string()),
    }
    if is_root() {
        if let Err(why) = try_overlay() {
            let remedy = format!("load it by `modprobe overlay`, or use another kernel ({why})");
            lack("overlayfs".into(), remedy);
        }
        if let Err(error) = command::run("iptables", ["-w", "30", "-t", "nat", "-S"])
            && command::find("iptables").is_some()
        {
            let remedy = "load it by `modprobe iptable_nat` or `modprobe nft_chain_nat`";
            lack(
                "address translation in this kernel".into(),
                format!("{remedy} ({error})"),
            );
        }
    } else {
        // The trials above need root themselves.
        lack(
            "root".into(),
            "run this as root, for example with sudo".into(),
        );
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing)
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

fn try_overlay() -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut shell = command::command("unshare");
    shell.args([
        "--mount",
        "--propagation",
        "private",
        "--",
        "sh",
        "-c",
        TRY_OVERLAY,
        "sh",
    ]);
    command::finish(shell.arg(scratch.path()))
        .map(drop)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_what_to_do() {
        // Whatever this computer lacks, if anything: the text has to help.
        if let Err(missing) = requirements() {
            for one in missing {
                assert!(!one.what.is_empty() && one.remedy.contains(' '), "{one}");
            }
        }
    }

    #[test]
    fn every_tool_names_its_package() {
        assert!(
            TOOLS
                .iter()
                .all(|(tool, package)| !tool.is_empty() && !package.is_empty())
        );
    }
}
