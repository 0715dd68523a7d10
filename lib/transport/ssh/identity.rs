//! Keys in files: their public halves, which choose a key of the agent's, and the private ones, each
//! read and decrypted once for all hosts.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use super::blob::Public;
use crate::model::PasswordSource;
use crate::secret::{SecretReader, only_the_owners};

/// Names the passphrase of encrypted keys, where nobody can be asked.
const PASSPHRASE: &str = "PAAS_SSH_PASSPHRASE";

/// Private keys as they're used.
#[derive(Default)]
pub(super) struct KeyFiles {
    reader: Arc<SecretReader>,
    /// An encrypted one is decrypted once, which takes a quarter of a second.
    known: Mutex<HashMap<PathBuf, Private>>,
}

/// A private key.
#[derive(Clone)]
pub(super) struct Private {
    /// In OpenSSH's or PEM format.
    pub(super) text: SecretString,
    /// Only for one that libssh2 decrypts itself.
    pub(super) passphrase: Option<SecretString>,
}

/// Why a key's file is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It isn't there.
    Missing,
    /// It is, but can't be used: why, and what to do.
    Because(String),
}

impl KeyFiles {
    /// Makes the keys whose passphrases this reader reads.
    pub(super) fn new(reader: Arc<SecretReader>) -> KeyFiles {
        KeyFiles {
            reader,
            known: Mutex::default(),
        }
    }

    /// Tells whether a key can be used without anybody being asked for a passphrase.
    pub(super) fn is_ready(&self, path: &Path) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(path) || !fs::read_to_string(path).is_ok_and(|text| is_encrypted(&text))
    }

    /// Reads a key, decrypted.
    pub(super) fn private(&self, path: &Path) -> Result<Private, Unusable> {
        // Held while it's decrypted: fifty hosts at once shall not do it fifty times.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(path) {
            return Ok(key.clone());
        }
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Unusable::Missing,
            _ => Unusable::Because(format!("can't be read: {error}")),
        })?;
        if Public::read(&text).is_some() {
            let why = "a public key, and the agent can't use its private half";
            return Err(Unusable::Because(why.to_owned()));
        }
        only_the_owners(path, "private key").map_err(Unusable::Because)?;
        let key = if is_encrypted(&text) {
            self.decrypted(path, text).map_err(Unusable::Because)?
        } else {
            Private {
                text: text.into(),
                passphrase: None,
            }
        };
        known.insert(path.to_owned(), key.clone());
        Ok(key)
    }

    fn decrypted(&self, path: &Path, text: String) -> Result<Private, String> {
        let passphrase = self.passphrase(path).ok_or_else(|| {
            format!("encrypted: load it into an agent with ssh-add, or set {PASSPHRASE}")
        })?;
        if text.contains("BEGIN OPENSSH PRIVATE KEY") {
            match decrypt(&text, &passphrase) {
                Ok(text) => {
                    return Ok(Private {
                        text,
                        passphrase: None,
                    });
                }
                Err(ssh_key::Error::Crypto) => {
                    return Err("encrypted, and the passphrase is another one".to_owned());
                }
                // Of a kind that only libssh2 knows.
                Err(_) => {}
            }
        }
        Ok(Private {
            text: text.into(),
            passphrase: Some(passphrase),
        })
    }

    fn passphrase(&self, path: &Path) -> Option<SecretString> {
        if let Ok(text) = std::env::var(PASSPHRASE) {
            return Some(text.into());
        }
        let what = format!("the passphrase of {}", path.display());
        self.reader.read(&PasswordSource::Ask(what)).ok()
    }
}

/// The public half of a key: the file itself, `.pub` beside it, or what an unencrypted part of the
/// private key says; in OpenSSH's order.
pub(super) fn public_half(path: &Path) -> Option<Public> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let own = read(path);
    own.as_deref()
        .and_then(Public::read)
        .or_else(|| read(&beside(path, ".pub")).and_then(|text| Public::read(&text)))
        .or_else(|| own.as_deref().and_then(Public::of_private))
}

/// The certificate that lies beside a key: `id_ed25519-cert.pub`.
pub(super) fn certificate_beside(path: &Path) -> Option<Public> {
    let text = fs::read_to_string(beside(path, "-cert.pub")).ok()?;
    Public::read(&text)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}

/// Decrypts a key in OpenSSH's own format.
fn decrypt(text: &str, passphrase: &SecretString) -> Result<SecretString, ssh_key::Error> {
    let key = ssh_key::PrivateKey::from_openssh(text)?;
    let key = key.decrypt(passphrase.expose_secret())?;
    let plain = key.to_openssh(ssh_key::LineEnding::LF)?;
    Ok(SecretString::from(plain.as_str()))
}

/// OpenSSH's own format says so inside its Base64; its header names the cipher `none` otherwise.
fn is_encrypted(key: &str) -> bool {
    // "openssh-key-v1\0" and the length of the cipher's name come first; "AAAABG5vbmU" is "none".
    key.contains("ENCRYPTED")
        || (key.contains("BEGIN OPENSSH PRIVATE KEY") && !key.contains("AAAABG5vbmU"))
}
