//! Logging in: the file's key or password, else the agent and the usual keys, as `ssh` would.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ssh2::{KeyboardInteractivePrompt, Prompt, Session};

use crate::model::{Host, PasswordSource};
use crate::transport::{TransportError, TransportErrorKind};

/// The keys that are tried when the file names none, as OpenSSH names them.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Names the passphrase of an encrypted key. libssh2 decrypts it anew for each host, a quarter of a
/// second of work each; an agent is better.
const PASSPHRASE: &str = "PAAS_SSH_PASSPHRASE";

/// Keys and passwords, each read once for all hosts.
#[derive(Default)]
pub(super) struct Credentials {
    files: Mutex<HashMap<PathBuf, String>>,
}

impl Credentials {
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
            if offered.contains("password") {
                let _ = session.userauth_password(user, &password);
            }
            if !session.authenticated() && offered.contains("keyboard-interactive") {
                let mut answer = Answer {
                    password: &password,
                };
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
    pub(super) fn password(&self, source: &PasswordSource) -> Result<String, TransportError> {
        match source {
            PasswordSource::Env(name) => std::env::var(name).map_err(|_| {
                local(format!(
                    "the environment variable {name}, for a password, isn't set"
                ))
            }),
            PasswordSource::File(path) => {
                only_the_owners(path, "password")?;
                let text = self.read(path)?;
                Ok(text.lines().next().unwrap_or_default().to_owned())
            }
        }
    }

    fn with_key(
        &self,
        session: &Session,
        user: &str,
        path: &Path,
        tried: &mut Vec<String>,
    ) -> Result<(), TransportError> {
        only_the_owners(path, "private key")?;
        let key = self.read(path)?;
        let passphrase = std::env::var(PASSPHRASE)
            .ok()
            .filter(|_| is_encrypted(&key));
        if is_encrypted(&key) && passphrase.is_none() {
            tried.push(format!(
                "{} (encrypted: load it into an agent with ssh-add, or set {PASSPHRASE})",
                path.display()
            ));
            return Ok(());
        }
        match session.userauth_pubkey_memory(user, None, &key, passphrase.as_deref()) {
            Ok(()) => return Ok(()),
            Err(error) if is_refusal(&error) => tried.push(path.display().to_string()),
            Err(error) => tried.push(format!("{} ({})", path.display(), error.message())),
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<String, TransportError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = files.get(path) {
            return Ok(text.clone());
        }
        let text = fs::read_to_string(path)
            .map_err(|error| local(format!("{} can't be read: {error}", path.display())))?;
        files.insert(path.to_owned(), text.clone());
        Ok(text)
    }
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

fn only_the_owners(path: &Path, what: &str) -> Result<(), TransportError> {
    let metadata = fs::metadata(path)
        .map_err(|error| local(format!("{} can't be read: {error}", path.display())))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(local(format!(
            "others can read the {what} in {}; `chmod 600` it",
            path.display()
        )));
    }
    Ok(())
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
