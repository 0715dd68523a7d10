//! The read-only root that all machines stand on: Debian, systemd, sshd, sudo, and nothing else.
//!
//! It is built once for each recipe. What makes one machine differ from another is in `disk`.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::apt;
use super::command;
use super::error::{At, Error};
use super::network;
use super::state::{self, Folders, Lock};
use super::suite::Suite;

/// Signs every release.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What a machine has on top of the smallest Debian.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-server,sudo,iproute2,ca-certificates";

/// Files of the base, beside those about apt.
const FILES: [(&str, &str); 4] = [
    // Packages are unpacked many times here, and no power loss of this computer is worth the syncs.
    ("etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n"),
    (
        "etc/ssh/sshd_config.d/lab.conf",
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         HostKey /etc/ssh/ssh_host_ed25519_key\n",
    ),
    // The address is there before any service starts, as on a machine with a static one.
    (
        "etc/systemd/system/lab-network.service",
        include_str!("lab-network.service"),
    ),
    ("etc/machine-id", ""),
];
/// Units that are of no use in a lab: a console that nobody types at, and timers that would fetch
/// package lists on all machines at the same time.
const MASKED: [&str; 3] = [
    "console-getty.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
];

/// Everything that decides what is in a base.
struct Recipe {
    suite: Suite,
    apt: apt::Settings,
    /// What is installed beyond the smallest machine, in order.
    preinstalled: Vec<String>,
}

impl Recipe {
    /// The name of the base's folder, which changes with the recipe.
    fn folder(&self) -> String {
        let mut digest = Sha256::new();
        let settings = [&self.apt.mirror, &self.apt.sources, &self.apt.config];
        let fixed = [self.suite.name(), PACKAGES].into_iter().chain(MASKED);
        let files = FILES.into_iter().flat_map(<[&str; 2]>::from);
        for text in settings
            .into_iter()
            .map(String::as_str)
            .chain(fixed)
            .chain(files)
            .chain(self.preinstalled.iter().map(String::as_str))
        {
            digest.update(text);
            digest.update([0]);
        }
        let digest = digest.finalize();
        let short: String = digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("base-{}-{short}", self.suite)
    }
}

/// Returns the base, after building it where it isn't there yet; with `preinstalled`, a copy of it
/// that has these packages already.
pub(super) fn ensure(
    folders: &Folders,
    suite: Suite,
    preinstalled: &[String],
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let Some(apt) = apt::settings(suite)? else {
        return Err(Error::Refused(vec![
            "no Debian mirror is known; set PAAS_LAB_MIRROR".into(),
        ]));
    };
    let recipe = Recipe {
        suite,
        apt,
        preinstalled: preinstalled.to_vec(),
    };
    let ready = folders.cache.join(recipe.folder());
    if ready.is_dir() {
        return Ok(ready);
    }
    let plain = match preinstalled {
        [] => None,
        _ => Some(ensure(folders, suite, &[], progress)?),
    };
    let _lock = Lock::take(&lock_path(folders), &mut || {
        progress("base: waiting for another lab that is building it");
    })?;
    if ready.is_dir() {
        return Ok(ready);
    }
    // apt's settings may hold the password of a proxy.
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&folders.cache, mode).at("close to others", &folders.cache)?;
    remove_halves(folders)?;

    let half = ready.with_extension("half");
    if let Some(plain) = plain {
        progress(&format!(
            "base: installing {} on Debian {suite} (once)",
            preinstalled.join(", ")
        ));
        command::finish(command::leashed("cp", ["-a"]).arg(&plain).arg(&half))?;
        preinstall(&recipe, &half)?;
        std::fs::rename(&half, &ready).at("rename", &half)?;
        return Ok(ready);
    }
    progress(&format!(
        "base: building Debian {suite} from {} (once)",
        recipe.apt.mirror
    ));
    bootstrap(&recipe, &half)?;
    furnish(&recipe, &half)?;
    progress("base: fetching the package lists");
    in_base(&recipe, &half, &["apt-get", "update"])?;
    in_base(&recipe, &half, &["apt-get", "clean"])?;
    strip(&half)?;
    std::fs::rename(&half, &ready).at("rename", &half)?;
    Ok(ready)
}

/// Removes what a killed build left, unless a build is running.
pub(super) fn tidy(folders: &Folders) -> Result<(), Error> {
    match Lock::try_take(&lock_path(folders))? {
        Some(_lock) => remove_halves(folders),
        None => Ok(()),
    }
}

fn lock_path(folders: &Folders) -> PathBuf {
    folders.cache.join("build.lock")
}

/// Needs the lock: whoever has it is the only builder.
fn remove_halves(folders: &Folders) -> Result<(), Error> {
    let entries = folders
        .cache
        .read_dir()
        .at("read", &folders.cache)?
        .flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.extension().is_some_and(|end| end == "half") {
            state::remove_folder(&path)?;
        }
    }
    Ok(())
}

fn bootstrap(recipe: &Recipe, root: &Path) -> Result<(), Error> {
    let keyring = format!("--keyring={KEYRING}");
    let include = format!("--include={PACKAGES}");
    let mut command = command::leashed(
        "debootstrap",
        ["--variant=minbase", &keyring, &include, recipe.suite.name()],
    );
    command.arg(root).arg(&recipe.apt.mirror);
    command::finish(with_proxy(recipe, &mut command)).map(drop)
}

fn in_base(recipe: &Recipe, root: &Path, words: &[&str]) -> Result<(), Error> {
    let mut command = command::leashed("chroot", [root]);
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    command::finish(with_proxy(recipe, &mut command)).map(drop)
}

/// Installs packages without starting any service. Some look into /proc while they're set up.
fn preinstall(recipe: &Recipe, root: &Path) -> Result<(), Error> {
    let policy = root.join("usr/sbin/policy-rc.d");
    std::fs::write(&policy, "#!/bin/sh\nexit 101\n").at("write", &policy)?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&policy, mode).at("set the mode of", &policy)?;
    // As a machine has it; the base itself names no resolver.
    let resolver = root.join("etc/resolv.conf");
    std::fs::write(&resolver, network::resolver().1).at("write", &resolver)?;
    let databases = root.join("etc/postgresql-common/createcluster.d");
    std::fs::create_dir_all(&databases).at("make", &databases)?;
    let none = databases.join("paas.conf");
    std::fs::write(&none, "create_main_cluster = false\n").at("write", &none)?;
    let wanted_before = wanted_units(root)?;
    let script = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"";
    let words = [
        "--mount",
        "--propagation",
        "private",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut command = command::leashed("unshare", words);
    command
        .arg(root)
        .args(["apt-get", "-q", "-y", "--no-install-recommends", "install"])
        .args(&recipe.preinstalled)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command::finish(with_proxy(recipe, &mut command))?;
    in_base(recipe, root, &["apt-get", "clean"])?;
    // A fresh machine runs none of them: whoever installs one has to start it.
    for link in wanted_units(root)?.difference(&wanted_before) {
        state::remove_file(link)?;
    }
    state::remove_file(&resolver)?;
    state::remove_file(&policy)
}

/// The links by which units start with the machine.
fn wanted_units(root: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let folder = root.join("etc/systemd/system");
    let mut links = BTreeSet::new();
    for target in folder.read_dir().at("read", &folder)?.flatten() {
        let target = target.path();
        if target.extension().is_some_and(|end| end == "wants") {
            let entries = target.read_dir().at("read", &target)?.flatten();
            links.extend(entries.map(|entry| entry.path()));
        }
    }
    Ok(links)
}

fn with_proxy<'a>(recipe: &Recipe, command: &'a mut Command) -> &'a mut Command {
    if let Some(proxy) = &recipe.apt.proxy {
        command.env("http_proxy", proxy);
    }
    command
}

/// Writes the files that all machines share.
fn furnish(recipe: &Recipe, root: &Path) -> Result<(), Error> {
    // debootstrap leaves one, whatever the release.
    state::remove_file(&root.join("etc/apt/sources.list"))?;
    let sources = match recipe.suite.has_sources_file() {
        true => "etc/apt/sources.list.d/debian.sources",
        false => "etc/apt/sources.list",
    };
    let apt = [
        (sources, recipe.apt.sources.as_str()),
        ("etc/apt/apt.conf.d/90lab", &recipe.apt.config),
    ];
    for (path, text) in FILES.into_iter().chain(apt) {
        let path = root.join(path);
        std::fs::write(&path, text).at("write", &path)?;
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, mode).at("set the mode of", &path)?;
    }
    let units = root.join("etc/systemd/system");
    let link = |to: &str, from: &str| {
        let from = units.join(from);
        symlink(to, &from).at("link", &from)
    };
    for unit in MASKED {
        link("/dev/null", unit)?;
    }
    link(
        "../lab-network.service",
        "multi-user.target.wants/lab-network.service",
    )
}

/// Removes what must differ between machines and what belongs to this computer.
fn strip(root: &Path) -> Result<(), Error> {
    let ssh = root.join("etc/ssh");
    for entry in ssh.read_dir().at("read", &ssh)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            state::remove_file(&entry.path())?;
        }
    }
    for path in ["etc/resolv.conf", "etc/hostname", "var/lib/dbus/machine-id"] {
        state::remove_file(&root.join(path))?;
    }
    let dbus = root.join("var/lib/dbus/machine-id");
    symlink("/etc/machine-id", &dbus).at("link", &dbus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(mirror: &str) -> Recipe {
        let apt = apt::Settings {
            mirror: mirror.into(),
            sources: String::new(),
            config: String::new(),
            proxy: None,
        };
        Recipe {
            suite: Suite::Bookworm,
            apt,
            preinstalled: Vec::new(),
        }
    }

    #[test]
    fn another_recipe_is_another_base() {
        let one = recipe("http://a.example").folder();
        assert!(one.starts_with("base-bookworm-"), "{one}");
        assert_eq!(one, recipe("http://a.example").folder());
        assert_ne!(one, recipe("http://b.example").folder());
        let mut more = recipe("http://a.example");
        more.preinstalled.push("haproxy".into());
        assert_ne!(one, more.folder());
        let mut newer = recipe("http://a.example");
        newer.suite = Suite::Trixie;
        assert!(newer.folder().starts_with("base-trixie-"));
    }

    #[test]
    fn a_half_base_is_removed_unless_it_is_being_built() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders {
            state: folder.path().into(),
            cache: folder.path().into(),
        };
        let half = folder.path().join("base-bookworm-0.half");
        std::fs::create_dir(&half).unwrap();
        let lock = Lock::take(&lock_path(&folders), &mut || ()).unwrap();
        tidy(&folders).unwrap();
        assert!(half.exists());
        drop(lock);
        tidy(&folders).unwrap();
        assert!(!half.exists());
    }
}
