//! Whether the host is the one that we knew: the cluster file's policy, applied to what known_hosts
//! says (`known_hosts.rs`).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64ct::{Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};
use ssh2::{MethodType, Session};

use super::known_hosts::{self, OldKey, Verdict};
use crate::model::{Host, HostKeyPolicy};
use crate::transport::{TransportError, TransportErrorKind};

/// Hosts are met at once, and each may add a line.
static FILE: Mutex<()> = Mutex::new(());

/// What the machine's administrator knows of hosts.
const SYSTEM: &str = "/etc/ssh/ssh_known_hosts";

/// The kinds of plain keys, best first. Certificates aren't asked for: known_hosts would have to
/// name their authority.
const PLAIN: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Asks the host for a key of a kind that we know of it; of any kind if we know none.
pub(super) fn prefer_known_keys(session: &Session, host: &Host) -> Result<(), TransportError> {
    let text = match host.ssh.host_keys {
        HostKeyPolicy::Off => String::new(),
        HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict => read(&file_of(host)?)?,
    };
    let known = known_hosts::known_algorithms(&text, host.address, host.ssh.port);
    let is_known = |kind: &&str| {
        known.contains(kind) || (kind.starts_with("rsa-") && known.contains(&"ssh-rsa"))
    };
    let (first, then): (Vec<&str>, Vec<&str>) = PLAIN.iter().partition(|kind| is_known(kind));
    // A library that knows fewer of them keeps its own order.
    let _ = session.method_pref(MethodType::HostKey, &[first, then].concat().join(","));
    Ok(())
}

/// Checks the host's key by the policy; notes an unknown one where that is allowed.
pub(super) fn check(session: &Session, host: &Host) -> Result<(), TransportError> {
    if host.ssh.host_keys == HostKeyPolicy::Off {
        return Ok(());
    }
    let (key, _) = session
        .host_key()
        .ok_or_else(|| refused("it showed no host key"))?;
    let path = file_of(host)?;
    // Held from reading to writing: two addresses of one run may be the same machine.
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let look = |text: &str| known_hosts::look_up(text, host.address, host.ssh.port, key);
    let verdict = match look(&read(&path)?) {
        // The site's own file, unless the cluster file names the only one that counts.
        Verdict::Unknown if host.ssh.known_hosts.is_none() => look(&read(Path::new(SYSTEM))?),
        verdict => verdict,
    };
    let shown = path.display();
    match verdict {
        Verdict::Known => Ok(()),
        Verdict::Revoked(line) => Err(refused(format!(
            "its key {} is marked @revoked ({shown}:{line}); the machine must get a new one",
            fingerprint(key)
        ))),
        Verdict::Changed(old) => Err(changed(&path, host, key, &old)),
        Verdict::Unknown if host.ssh.host_keys == HostKeyPolicy::Strict => Err(refused(format!(
            "its key {} is unknown, and ssh.host_keys is strict; compare it with the machine's own \
             (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there) and add it to {shown}",
            fingerprint(key)
        ))),
        Verdict::Unknown => {
            let line = known_hosts::line_of(host.address, host.ssh.port, key)
                .ok_or_else(|| refused("it showed a host key of no known form"))?;
            append(&path, &line).map_err(|error| {
                TransportError::new(
                    TransportErrorKind::LocalSetup,
                    format!("the new host key can't be noted in {shown}: {error}"),
                )
            })
        }
    }
}

/// The error for a key that isn't one of those that we knew, with all of them.
fn changed(path: &Path, host: &Host, key: &[u8], old: &[OldKey]) -> TransportError {
    let old: Vec<String> = old
        .iter()
        .map(|old| {
            format!(
                "{} ({}:{})",
                fingerprint(&old.key),
                path.display(),
                old.line
            )
        })
        .collect();
    refused(format!(
        "its key has changed: it shows {}, known is {}; if the machine was installed anew, remove \
         the old line (ssh-keygen -R '{}' -f {}), else somebody may be in between",
        fingerprint(key),
        old.join(" and "),
        known_hosts::host_field(host.address, host.ssh.port),
        path.display(),
    ))
}

/// The known_hosts file that counts for a host.
fn file_of(host: &Host) -> Result<PathBuf, TransportError> {
    if let Some(path) = &host.ssh.known_hosts {
        return Ok(path.clone());
    }
    let home = std::env::var_os("HOME").ok_or_else(|| {
        TransportError::new(
            TransportErrorKind::LocalSetup,
            "HOME isn't set, so there's no known_hosts; name one with ssh.known_hosts",
        )
    })?;
    Ok(PathBuf::from(home).join(".ssh/known_hosts"))
}

fn read(path: &Path) -> Result<String, TransportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(TransportError::new(
            TransportErrorKind::LocalSetup,
            format!("{} can't be read: {error}", path.display()),
        )),
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let ends_open = fs::read(path).is_ok_and(|text| !text.is_empty() && !text.ends_with(b"\n"));
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    // One write: another process that appends at the same time can't come in between.
    let start = if ends_open { "\n" } else { "" };
    file.write_all(format!("{start}{line}\n").as_bytes())
}

/// The fingerprint as OpenSSH prints it.
fn fingerprint(key: &[u8]) -> String {
    format!(
        "SHA256:{}",
        Base64Unpadded::encode_string(&Sha256::digest(key))
    )
}

fn refused(message: impl Into<String>) -> TransportError {
    TransportError::new(TransportErrorKind::HostKey, message)
}
