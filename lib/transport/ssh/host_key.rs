//! Whether the host is the one that we knew: known_hosts, read by libssh2 and, for what it doesn't
//! find (`@revoked`), by ourselves.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use ssh2::{CheckResult, HostKeyType, KnownHostFileKind, MethodType, Session};

use crate::model::{Host, HostKeyPolicy};
use crate::transport::{TransportError, TransportErrorKind};

/// Hosts are met at once, and each may add a line.
static FILE: Mutex<()> = Mutex::new(());

/// Asks for a plain host key: a certificate would look like a changed key to libssh2.
pub(super) fn prefer_plain_keys(session: &Session) {
    let plain = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,\
                 rsa-sha2-512,rsa-sha2-256";
    // An old library that knows fewer keeps its own order.
    let _ = session.method_pref(MethodType::HostKey, plain);
}

/// Checks the host's key by the cluster file's policy; notes an unknown one where that is allowed.
pub(super) fn check(session: &Session, host: &Host) -> Result<(), TransportError> {
    if host.ssh.host_keys == HostKeyPolicy::Off {
        return Ok(());
    }
    let (key, kind) = session
        .host_key()
        .ok_or_else(|| refused("the host showed no key".to_owned()))?;
    let path = match &host.ssh.known_hosts {
        Some(path) => path.clone(),
        None => default_file()?,
    };
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read(&path)?;
    let encoded = base64(key);
    if let Some(line) = line_with(&text, |fields| {
        fields[0] == "@revoked" && fields.contains(&&*encoded)
    }) {
        return Err(refused(format!(
            "its key is marked @revoked ({}:{line}); the machine must get a new one",
            path.display()
        )));
    }
    let mut known = session
        .known_hosts()
        .map_err(|error| refused(error.to_string()))?;
    if path.exists() {
        known
            .read_file(&path, KnownHostFileKind::OpenSSH)
            .map_err(|error| refused(format!("{} can't be understood: {error}", path.display())))?;
    }
    let name = host.address.to_string();
    match known.check_port(&name, host.ssh.port, key) {
        CheckResult::Match => Ok(()),
        CheckResult::NotFound if host.ssh.host_keys == HostKeyPolicy::AcceptNew => {
            append(&path, &entry(host.address, host.ssh.port, kind, &encoded)).map_err(|error| {
                TransportError::new(
                    TransportErrorKind::LocalSetup,
                    format!(
                        "the new host key can't be noted in {}: {error}",
                        path.display()
                    ),
                )
            })
        }
        CheckResult::NotFound => Err(refused(format!(
            "its key {} is unknown, and ssh.host_keys is strict; compare it with the machine's \
             and add it to {}",
            fingerprint(key),
            path.display()
        ))),
        CheckResult::Mismatch => Err(changed(&path, &text, host, key)),
        CheckResult::Failure => Err(refused("its key could not be compared".to_owned())),
    }
}

/// The error for a key that isn't the one we knew, with both.
fn changed(path: &Path, text: &str, host: &Host, key: &[u8]) -> TransportError {
    let name = host_field(host.address, host.ssh.port);
    let plain = host.address.to_string();
    let old = line_with(text, |fields| {
        fields[0]
            .split(',')
            .any(|pattern| pattern == name || pattern == plain)
    });
    let old_print = old
        .and_then(|line| text.lines().nth(line - 1))
        .and_then(|line| line.split_whitespace().nth(2))
        .and_then(unbase64)
        .map(|bytes| fingerprint(&bytes));
    refused(format!(
        "its key has changed: it shows {}, but {} knows {}; if the machine was installed anew, \
         remove the old line (ssh-keygen -R '{name}' -f {}), else somebody may be in between",
        fingerprint(key),
        old.map_or(path.display().to_string(), |line| format!(
            "{}:{line}",
            path.display()
        )),
        old_print.as_deref().unwrap_or("another one"),
        path.display(),
    ))
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

/// The number, from 1, of the first entry that fits.
fn line_with(text: &str, fits: impl Fn(&[&str]) -> bool) -> Option<usize> {
    text.lines().enumerate().find_map(|(index, line)| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.len() >= 3 && !fields[0].starts_with('#') && fits(&fields)).then_some(index + 1)
    })
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

fn entry(address: IpAddr, port: u16, kind: HostKeyType, key: &str) -> String {
    let algorithm = match kind {
        HostKeyType::Ed25519 => "ssh-ed25519",
        HostKeyType::Ecdsa256 => "ecdsa-sha2-nistp256",
        HostKeyType::Ecdsa384 => "ecdsa-sha2-nistp384",
        HostKeyType::Ecdsa521 => "ecdsa-sha2-nistp521",
        HostKeyType::Dss => "ssh-dss",
        HostKeyType::Rsa | HostKeyType::Unknown => "ssh-rsa",
    };
    format!("{} {algorithm} {key}", host_field(address, port))
}

fn host_field(address: IpAddr, port: u16) -> String {
    if port == 22 {
        address.to_string()
    } else {
        format!("[{address}]:{port}")
    }
}

fn default_file() -> Result<PathBuf, TransportError> {
    let home = std::env::var_os("HOME").ok_or_else(|| {
        TransportError::new(
            TransportErrorKind::LocalSetup,
            "HOME isn't set, so there's no known_hosts; name one with ssh.known_hosts",
        )
    })?;
    Ok(PathBuf::from(home).join(".ssh/known_hosts"))
}

/// The fingerprint as OpenSSH prints it.
fn fingerprint(key: &[u8]) -> String {
    format!(
        "SHA256:{}",
        base64(&Sha256::digest(key)).trim_end_matches('=')
    )
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes Base64 (RFC 4648) with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let is_padding = digit > chunk.len();
            let index = (word >> (18 - 6 * digit)) as usize & 63;
            text.push(if is_padding {
                '='
            } else {
                char::from(DIGITS[index])
            });
        }
    }
    text
}

/// Reads Base64; `None` for anything else.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)? as u32;
        word = word << 6 | value;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    Some(bytes)
}

fn refused(message: String) -> TransportError {
    TransportError::new(TransportErrorKind::HostKey, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
            assert_eq!(unbase64(encoded).unwrap(), plain.as_bytes());
        }
        assert_eq!(unbase64("?"), None);
    }

    #[test]
    fn entries_have_the_form_of_openssh() {
        let address = "10.0.0.1".parse().unwrap();
        assert_eq!(
            entry(address, 22, HostKeyType::Ed25519, "AA"),
            "10.0.0.1 ssh-ed25519 AA"
        );
        assert_eq!(
            entry(address, 2222, HostKeyType::Rsa, "AA"),
            "[10.0.0.1]:2222 ssh-rsa AA"
        );
    }
}
