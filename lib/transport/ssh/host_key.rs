//! Whether the host is the one that we knew: the cluster file's policy, applied to what known_hosts
//! says (`known_hosts.rs`).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64ct::{Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};
use ssh2::{MethodType, Session};

use super::config::Target;
use super::host_cert::{self, Certified};
use super::known_hosts::{self, Names, OldKey, Verdict};
use crate::model::HostKeyPolicy;
use crate::transport::{TransportError, TransportErrorKind};

/// Hosts are met at once, and each may add a line.
static FILE: Mutex<()> = Mutex::new(());

/// The kinds of plain keys, best first. libssh2 knows no host certificates: where known_hosts names
/// an authority, OpenSSH is asked about them (`host_cert.rs`).
const PLAIN: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Asks the host for a key of a kind that we know of it, or that an authority vouches for; of any
/// kind if we know none. Returns what the authority's certificate says.
pub(super) fn prefer_known_keys(
    session: &Session,
    target: &Target,
    timeout: Duration,
) -> Result<Option<Certified>, TransportError> {
    let ssh = &target.ssh;
    let mut known: Vec<String> = Vec::new();
    let (mut has_authority, mut marked) = (false, String::new());
    if ssh.host_keys != HostKeyPolicy::Off {
        for path in files_of(target)? {
            let text = read(path)?;
            let kinds = known_hosts::known_algorithms(&text, names(target));
            known.extend(kinds.into_iter().map(str::to_owned));
            has_authority |= known_hosts::has_authority(&text, names(target));
            marked.push_str(&known_hosts::marked(&text));
        }
    }
    let certified = if has_authority {
        host_cert::ask(target, &marked, timeout)?
    } else {
        None
    };
    if let Some(certified) = &certified {
        known = vec![certified.kind.clone()];
    }
    let is_known = |kind: &&str| {
        let is = |name: &str| known.iter().any(|known| known == name);
        is(kind) || (kind.starts_with("rsa-") && is("ssh-rsa"))
    };
    let wanted: Vec<&str> = match &target.algorithms.host_keys {
        Some(configured) => configured.split(',').collect(),
        None => PLAIN.to_vec(),
    };
    let plain = wanted.into_iter().filter(|kind| PLAIN.contains(kind));
    let (first, then): (Vec<&str>, Vec<&str>) = plain.partition(is_known);
    // A library that knows fewer of them keeps its own order.
    let _ = session.method_pref(MethodType::HostKey, &[first, then].concat().join(","));
    Ok(certified)
}

/// Checks the host's key by the policy; notes an unknown one where that is allowed.
pub(super) fn check(
    session: &Session,
    target: &Target,
    certified: Option<&Certified>,
) -> Result<(), TransportError> {
    let policy = target.ssh.host_keys;
    if policy == HostKeyPolicy::Off {
        return Ok(());
    }
    let (key, _) = session
        .host_key()
        .ok_or_else(|| refused("it showed no host key"))?;
    let files = files_of(target)?;
    // Held from reading to writing: two addresses of one run may be the same machine.
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = (Verdict::Unknown, files[0]);
    for path in &files {
        let verdict = known_hosts::look_up(&read(path)?, names(target), key);
        if weight(&verdict) > weight(&found.0) {
            found = (verdict, path);
        }
    }
    let (verdict, path) = found;
    let shown = path.display();
    match verdict {
        Verdict::Known => Ok(()),
        Verdict::Revoked(line) => Err(refused(format!(
            "its key {} is marked @revoked ({shown}:{line}); the machine must get a new one",
            fingerprint(key)
        ))),
        // OpenSSH has checked its certificate, and it is this key's.
        _ if certified.is_some_and(|certified| certified.fingerprint == fingerprint(key)) => Ok(()),
        Verdict::Changed(old) => Err(changed(path, target, key, &old)),
        Verdict::Unknown if policy == HostKeyPolicy::Strict => Err(refused(format!(
            "its key {} is unknown, and ssh.host_keys is strict; compare it with the machine's own \
             (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there) and add it to {}",
            fingerprint(key),
            files[0].display()
        ))),
        Verdict::Unknown => {
            let line = known_hosts::line_of(&target.key_name, key)
                .ok_or_else(|| refused("it showed a host key of no known form"))?;
            append(files[0], &line).map_err(|error| {
                TransportError::new(
                    TransportErrorKind::LocalSetup,
                    format!(
                        "the new host key can't be noted in {}: {error}",
                        files[0].display()
                    ),
                )
            })
        }
    }
}

/// Which of two files' verdicts counts: a revoked key is refused whatever else is said, and what one
/// file knows another needn't.
fn weight(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Unknown => 0,
        Verdict::Changed(_) => 1,
        Verdict::Known => 2,
        Verdict::Revoked(_) => 3,
    }
}

/// The error for a key that isn't one of those that we knew, with all of them.
fn changed(path: &Path, target: &Target, key: &[u8], old: &[OldKey]) -> TransportError {
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
        target.key_name,
        path.display(),
    ))
}

fn names(target: &Target) -> Names<'_> {
    Names {
        full: &target.key_name,
        plain: &target.plain_key_name,
    }
}

/// The known_hosts files that count for a host, the one for new keys first.
fn files_of(target: &Target) -> Result<Vec<&Path>, TransportError> {
    if target.known_hosts.is_empty() {
        return Err(TransportError::new(
            TransportErrorKind::LocalSetup,
            "HOME isn't set, so there's no known_hosts; name one with ssh.known_hosts",
        ));
    }
    let files = target.known_hosts.iter().chain(&target.site_known_hosts);
    Ok(files.map(PathBuf::as_path).collect())
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
