//! Logging in: the file's key or password, else the agent and the usual keys, as `ssh` would.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use ssh2::{KeyboardInteractivePrompt, Prompt, Session};

use crate::model::{Host, PasswordSource};
use crate::secret::{SecretReader, only_the_owners};
use crate::transport::{TransportError, TransportErrorKind};

/// The keys that are tried when the file names none, as OpenSSH names them.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Names the passphrase of encrypted keys, where nobody can be asked.
const PASSPHRASE: &str = "PAAS_SSH_PASSPHRASE";

/// Keys and passwords, each read once for all hosts.
#[derive(Default)]
pub(super) struct Credentials {
    reader: Arc<SecretReader>,
    /// Private keys as they're used: an encrypted one is decrypted once, which takes a quarter of a
    /// second.
    keys: Mutex<HashMap<PathBuf, Key>>,
}

/// A private key and what goes with it.
#[derive(Clone)]
struct Key {
    /// In OpenSSH's or PEM format.
    private: SecretString,
    /// Only for a PEM key, which libssh2 decrypts itself.
    passphrase: Option<SecretString>,
    /// The certificate that lies beside it, as a public key's line.
    certificate: Option<String>,
}

impl Credentials {
    /// Makes the credentials whose secrets this reader reads.
    pub(super) fn new(reader: Arc<SecretReader>) -> Credentials {
        Credentials {
            reader,
            keys: Mutex::default(),
        }
    }

    /// Logs in, or says everything that was tried.
    pub(super) fn log_in(&self, session: &Session, host: &Host) -> Result<(), TransportError> {
        let user = &host.ssh.user;
        // The question also tells libssh2 which methods the server takes.
        let offered = match session.auth_methods(user) {
            Ok(methods) => methods.to_owned(),
            Err(error) if is_broken(&error) => return Err(cut(&error)),
            Err(_) => String::new(),
        };
        let mut tried = Vec::new();
        if session.authenticated() {
            return Ok(());
        }
        if let Some(identity) = &host.ssh.identity {
            self.with_key(session, user, identity, &mut tried)?;
        } else {
            with_agent(session, user, &mut tried);
            for key in usual_keys() {
                if !session.authenticated() {
                    // A key that only happens to lie there isn't a reason to give up.
                    if let Err(error) = self.with_key(session, user, &key, &mut tried) {
                        tried.push(error.message);
                    }
                }
            }
        }
        if !session.authenticated()
            && let Some(source) = &host.ssh.password
        {
            let password = self.password(source)?;
            let password = password.expose_secret();
            if offered.contains("password") {
                let _ = session.userauth_password(user, password);
            }
            if !session.authenticated() && offered.contains("keyboard-interactive") {
                let mut answer = Answer { password };
                let _ = session.userauth_keyboard_interactive(user, &mut answer);
            }
            tried.push("the password".to_owned());
        }
        if session.authenticated() {
            return Ok(());
        }
        // A server that has had enough of wrong keys ends the connection like any broken one.
        let broken = session.auth_methods(user).err().filter(is_broken);
        if let Some(error) = &broken
            && tried.len() <= 1
        {
            return Err(cut(error));
        }
        let enough = match broken {
            Some(_) => {
                "; the server ended the login after these (MaxAuthTries): name the right key \
                 with ssh.identity"
            }
            None => "",
        };
        let tried = match tried.as_slice() {
            [] => "nothing could be tried: there is no agent, no key in ~/.ssh and no password"
                .to_owned(),
            tried => format!("tried {}", tried.join(", ")),
        };
        Err(TransportError::new(
            TransportErrorKind::Auth,
            format!(
                "the host is there, but lets `{user}` not in ({tried}; it takes {}){enough}; check \
                 ssh.user and ssh.identity, and that the public key is in \
                 ~{user}/.ssh/authorized_keys there",
                if offered.is_empty() {
                    "unknown methods"
                } else {
                    &offered
                }
            ),
        ))
    }

    /// Reads a password from where the cluster file says.
    pub(super) fn password(&self, source: &PasswordSource) -> Result<SecretString, TransportError> {
        self.reader.read(source).map_err(local)
    }

    fn with_key(
        &self,
        session: &Session,
        user: &str,
        path: &Path,
        tried: &mut Vec<String>,
    ) -> Result<(), TransportError> {
        let key = match self.key(path)? {
            Ok(key) => key,
            Err(why) => {
                tried.push(format!("{} ({why})", path.display()));
                return Ok(());
            }
        };
        let private = key.private.expose_secret();
        let passphrase = key.passphrase.as_ref().map(|p| p.expose_secret());
        // The certificate first: where one is set up, the bare key mostly isn't known.
        for public in key
            .certificate
            .iter()
            .map(|text| Some(text.as_str()))
            .chain([None])
        {
            match session.userauth_pubkey_memory(user, public, private, passphrase) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let mut what = path.display().to_string();
                    if public.is_some() {
                        what.push_str("'s certificate");
                    }
                    if !is_refusal(&error) {
                        what.push_str(&format!(" ({})", error.message()));
                    }
                    tried.push(what);
                }
            }
        }
        Ok(())
    }

    /// Reads a key, decrypted; the inner error is why it can't be used, which others may be.
    fn key(&self, path: &Path) -> Result<Result<Key, String>, TransportError> {
        // Held while it's decrypted: fifty hosts at once shall not do it fifty times.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(path) {
            return Ok(Ok(key.clone()));
        }
        only_the_owners(path, "private key").map_err(local)?;
        let text = fs::read_to_string(path)
            .map_err(|error| local(format!("{} can't be read: {error}", path.display())))?;
        let (private, passphrase) = if !is_encrypted(&text) {
            (SecretString::from(text), None)
        } else {
            let Some(passphrase) = self.passphrase(path) else {
                return Ok(Err(format!(
                    "encrypted: load it into an agent with ssh-add, or set {PASSPHRASE}"
                )));
            };
            if text.contains("BEGIN OPENSSH PRIVATE KEY") {
                match decrypt(&text, &passphrase) {
                    Ok(key) => (key, None),
                    Err(why) => return Ok(Err(why)),
                }
            } else {
                (SecretString::from(text), Some(passphrase))
            }
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push("-cert.pub");
        let key = Key {
            private,
            passphrase,
            certificate: fs::read_to_string(PathBuf::from(beside)).ok(),
        };
        keys.insert(path.to_owned(), key.clone());
        Ok(Ok(key))
    }

    fn passphrase(&self, path: &Path) -> Option<SecretString> {
        if let Ok(text) = std::env::var(PASSPHRASE) {
            return Some(text.into());
        }
        let what = format!("the passphrase of {}", path.display());
        self.reader.read(&PasswordSource::Ask(what)).ok()
    }
}

/// Decrypts a key in OpenSSH's own format.
fn decrypt(text: &str, passphrase: &SecretString) -> Result<SecretString, String> {
    let wrong = |error: ssh_key::Error| match error {
        ssh_key::Error::Crypto => "encrypted, and the passphrase is another one".to_owned(),
        error => format!("encrypted, and can't be read: {error}"),
    };
    let key = ssh_key::PrivateKey::from_openssh(text).map_err(wrong)?;
    let key = key.decrypt(passphrase.expose_secret()).map_err(wrong)?;
    let plain = key.to_openssh(ssh_key::LineEnding::LF).map_err(wrong)?;
    Ok(SecretString::from(plain.as_str()))
}

/// Tries each key of a running agent.
fn with_agent(session: &Session, user: &str, tried: &mut Vec<String>) {
    let Ok(mut agent) = session.agent() else {
        return;
    };
    if agent.connect().is_err() || agent.list_identities().is_err() {
        return;
    }
    for identity in agent.identities().unwrap_or_default() {
        if agent.userauth(user, &identity).is_ok() {
            return;
        }
        tried.push(format!("the agent's key {}", identity.comment()));
    }
}

/// Tells "not this key" from a key that can't be read and a connection that broke.
fn is_refusal(error: &ssh2::Error) -> bool {
    // Authentication failed; the public key wasn't accepted.
    matches!(error.code(), ssh2::ErrorCode::Session(-18 | -19))
}

/// Tells a connection that broke from an answer that wasn't liked: the socket's own errors, and
/// the server's farewell.
fn is_broken(error: &ssh2::Error) -> bool {
    matches!(
        error.code(),
        ssh2::ErrorCode::Session(-1 | -7 | -9 | -13 | -30 | -43)
    )
}

fn cut(error: &ssh2::Error) -> TransportError {
    TransportError::new(
        TransportErrorKind::Protocol,
        format!(
            "the connection ended during the login: {}; is the network flaky, or sshd overloaded \
             (MaxStartups, LoginGraceTime)?",
            error.message()
        ),
    )
}

fn usual_keys() -> Vec<PathBuf> {
    let Some(home) = std::env::var_os("HOME") else {
        return Vec::new();
    };
    let folder = PathBuf::from(home).join(".ssh");
    USUAL_KEYS
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| path.exists())
        .collect()
}

/// OpenSSH's own format says so inside its Base64; its header names the cipher `none` otherwise.
fn is_encrypted(key: &str) -> bool {
    // "openssh-key-v1\0" and the length of the cipher's name come first; "AAAABG5vbmU" is "none".
    key.contains("ENCRYPTED")
        || (key.contains("BEGIN OPENSSH PRIVATE KEY") && !key.contains("AAAABG5vbmU"))
}

fn local(message: String) -> TransportError {
    TransportError::new(TransportErrorKind::LocalSetup, message)
}

/// Answers every question of keyboard-interactive with the password.
struct Answer<'a> {
    password: &'a str,
}

impl KeyboardInteractivePrompt for Answer<'_> {
    fn prompt<'b>(&mut self, _: &str, _: &str, prompts: &[Prompt<'b>]) -> Vec<String> {
        prompts.iter().map(|_| self.password.to_owned()).collect()
    }
}
