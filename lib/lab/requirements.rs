//! What this computer must have to run a lab, and what to do where it hasn't.
//!
//! Everything is looked at before anything is made, and everything missing is said at once.

use std::fmt;
use std::path::Path;

use super::apt;
use super::base;
use super::cgroup;
use super::command;
use super::suite::Suite;

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

impl Missing {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Missing {
        Missing {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.remedy)
    }
}

/// Finds everything that keeps this computer from running a lab. It makes and changes nothing.
pub fn requirements() -> Result<(), Vec<Missing>> {
    let mut missing = Vec::new();
    for (tool, package) in TOOLS
        .into_iter()
        .filter(|(tool, _)| command::find(tool).is_none())
    {
        let remedy = format!("install it, on Debian by `apt-get install {package}`");
        missing.push(Missing::new(tool, remedy));
    }
    if !Path::new(base::KEYRING).exists() {
        let remedy = "install them by `apt-get install debian-archive-keyring`";
        missing.push(Missing::new("the keys of Debian's archive", remedy));
    }
    if !cgroup::hierarchies().is_ok_and(|found| cgroup::usable(&found)) {
        let remedy = "mount cgroup2 on /sys/fs/cgroup, or with cgroup v1 by \
                      `mkdir /sys/fs/cgroup/systemd && \
                      mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd`";
        missing.push(Missing::new(
            "a cgroup hierarchy that systemd can use",
            remedy,
        ));
    }
    match apt::settings(Suite::default()) {
        Ok(Some(_)) => {}
        Ok(None) => {
            let remedy = "set PAAS_LAB_MIRROR to the address of one";
            missing.push(Missing::new(
                "a Debian mirror in this machine's apt sources",
                remedy,
            ));
        }
        Err(error) => missing.push(Missing::new("a Debian mirror", error.to_string())),
    }
    match root_missing() {
        // What follows needs root to be tried at all.
        Some(root) => missing.push(root),
        None => missing.extend(kernel_missing()),
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing)
    }
}

/// Finds what keeps this computer from booting one release, beyond what every lab needs.
pub(super) fn missing_for(suite: Suite) -> Vec<Missing> {
    let mut missing = Vec::new();
    let script = format!("/usr/share/debootstrap/scripts/{suite}");
    if !Path::new(&script).exists() {
        let remedy = format!(
            "install a newer debootstrap, or have this one treat it as the others by \
             `ln -s sid {script}`"
        );
        let what = format!("a debootstrap that knows Debian {suite}");
        missing.push(Missing::new(what, remedy));
    }
    let key = format!("/usr/share/keyrings/debian-archive-{suite}-stable.gpg");
    if !Path::new(&key).exists() {
        let remedy = "install a newer package debian-archive-keyring";
        missing.push(Missing::new(format!("the key of Debian {suite}"), remedy));
    }
    let has_cgroup2 = cgroup::hierarchies().is_ok_and(|found| cgroup::has_version_2(&found));
    if suite.needs_cgroup2() && !has_cgroup2 {
        let remedy = "mount one by `mkdir -p /sys/fs/cgroup/unified && \
                      mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified`";
        let what = format!("cgroup version 2, which Debian {suite} can't start without");
        missing.push(Missing::new(what, remedy));
    }
    missing
}

/// Tries what only this computer's kernel can tell.
fn kernel_missing() -> Vec<Missing> {
    let mut missing = Vec::new();
    if let Err(error) = try_overlay() {
        let remedy = format!("load it by `modprobe overlay`, or use another kernel ({error})");
        missing.push(Missing::new("overlayfs", remedy));
    }
    if command::find("iptables").is_some()
        && let Err(error) = command::run("iptables", ["-w", "30", "-t", "nat", "-S"])
    {
        let remedy =
            format!("load it by `modprobe iptable_nat` or `modprobe nft_chain_nat` ({error})");
        missing.push(Missing::new("address translation in this kernel", remedy));
    }
    missing
}

/// Everything but looking at a lab needs root.
pub(super) fn root_missing() -> Option<Missing> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    if ids.is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")) {
        return None;
    }
    let remedy = "run this as root, for example with sudo";
    Some(Missing::new("root", remedy))
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
