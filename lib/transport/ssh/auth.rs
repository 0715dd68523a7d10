//! Logging in: every method that is configured and that the server takes, one factor after the
//! other, as `ssh` would.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use ssh2::{KeyboardInteractivePrompt, Prompt, Session};

use super::candidates::{AgentKeys, Candidate, in_order};
use super::config::{NamedBy, Target};
use super::identity::{KeyFiles, Unusable, public_half};
use super::refusal::{Refusal, cut};
use crate::model::PasswordSource;
use crate::secret::SecretReader;
use crate::transport::{TransportError, TransportErrorKind};

/// Keys and passwords, each read once for all hosts.
#[derive(Default)]
pub(super) struct Credentials {
    reader: Arc<SecretReader>,
    files: KeyFiles,
}

/// How an attempt ended.
enum Outcome {
    /// It was refused, or couldn't be made.
    No,
    /// The server checked a signature or password: it took it and wants more, or refused it. It
    /// has to be asked which.
    AskAgain,
}

impl Credentials {
    /// Makes the credentials whose secrets this reader reads.
    pub(super) fn new(reader: Arc<SecretReader>) -> Credentials {
        Credentials {
            files: KeyFiles::new(reader.clone()),
            reader,
        }
    }

    /// Reads a password from where the cluster file says.
    pub(super) fn password(&self, source: &PasswordSource) -> Result<SecretString, TransportError> {
        self.reader
            .read(source)
            .map_err(|message| TransportError::new(TransportErrorKind::LocalSetup, message))
    }

    /// Logs in, or says everything that was tried.
    pub(super) fn log_in(&self, session: &Session, target: &Target) -> Result<(), TransportError> {
        let mut login = Login {
            credentials: self,
            session,
            target,
            user: &target.ssh.user,
            offered: None,
            agent: None,
            candidates: Vec::new(),
            done: BTreeSet::new(),
            refusal: Refusal::default(),
        };
        login.ask()?;
        login.run()
    }
}

/// One login on its way.
struct Login<'a> {
    credentials: &'a Credentials,
    session: &'a Session,
    target: &'a Target,
    user: &'a str,
    /// The methods that the server takes next, where it said so.
    offered: Option<String>,
    agent: Option<AgentKeys>,
    candidates: Vec<Candidate>,
    /// The methods that have been tried to their end.
    done: BTreeSet<String>,
    refusal: Refusal,
}

impl Login<'_> {
    /// Goes on for as long as a method is left that the server takes next.
    fn run(&mut self) -> Result<(), TransportError> {
        while !self.session.authenticated() {
            let next = self.target.methods.iter().find(|method| {
                !self.done.contains(*method) && self.is_offered(method) && self.is_at_hand(method)
            });
            let Some(method) = next.cloned() else {
                return Err(self.refused());
            };
            match method.as_str() {
                "publickey" => self.with_keys()?,
                _ => self.with_password(&method)?,
            }
        }
        Ok(())
    }

    /// Asks the server which methods it takes next; after a partial success these are others. The
    /// question counts as an attempt there, except for the first.
    fn ask(&mut self) -> Result<(), TransportError> {
        let answer = self.session.auth_methods(self.user);
        if let Ok(Some(greeting)) = self.session.userauth_banner() {
            self.refusal.heard(greeting);
        }
        match answer {
            Ok(methods) => self.offered = Some(methods.to_owned()),
            Err(error) if is_broken(&error) => return Err(self.ended(&error)),
            Err(_) => self.offered = None,
        }
        Ok(())
    }

    fn is_offered(&self, method: &str) -> bool {
        match &self.offered {
            Some(offered) => offered.split(',').any(|offered| offered == method),
            // A server that doesn't say is only shown keys.
            None => method == "publickey",
        }
    }

    fn is_at_hand(&self, method: &str) -> bool {
        method == "publickey" || self.target.ssh.password.is_some()
    }

    /// Offers one key after the other, until the server takes one or none is left.
    fn with_keys(&mut self) -> Result<(), TransportError> {
        if !self.done.contains("listed") {
            self.done.insert("listed".to_owned());
            self.list_keys();
        }
        while !self.candidates.is_empty() {
            let candidate = self.candidates.remove(0);
            let outcome = match &candidate {
                Candidate::Agent { at, file } => self.with_agent(*at, file.as_deref())?,
                Candidate::File { path, certificate } => {
                    let line = certificate.as_ref().map(|public| public.line.as_str());
                    self.with_file(path, line)?
                }
            };
            if self.session.authenticated() {
                return Ok(());
            }
            if let Outcome::AskAgain = outcome {
                let before = self.offered.clone();
                self.ask()?;
                if self.offered != before {
                    // The rest of the keys is for a later turn.
                    return Ok(());
                }
            }
        }
        self.done.insert("publickey".to_owned());
        Ok(())
    }

    fn list_keys(&mut self) {
        let keys = &self.target.keys;
        if let Some(socket) = &keys.agent {
            match AgentKeys::ask(self.session, socket, keys) {
                Ok(agent) => self.agent = Some(agent),
                Err(why) => self.refusal.passed_over(format!("the agent ({why})")),
            }
        }
        let agent: Vec<Vec<u8>> = self.agent.as_ref().map_or_else(Vec::new, |agent| {
            agent.keys.iter().map(|key| key.blob().to_vec()).collect()
        });
        self.candidates = in_order(keys, &agent);
    }

    fn with_agent(&mut self, at: usize, file: Option<&Path>) -> Result<Outcome, TransportError> {
        let Some(AgentKeys { agent, keys, .. }) = &self.agent else {
            return Ok(Outcome::No);
        };
        let Some(key) = keys.get(at) else {
            return Ok(Outcome::No);
        };
        let shown = match file {
            Some(file) => format!("{} (by the agent)", file.display()),
            None => format!("the agent's key {}", key.comment()),
        };
        let answer = agent.userauth(self.user, key);
        match (answer, file) {
            // An agent that is locked, or asks its user, may not sign; then the file may do.
            (Err(error), Some(file)) if is_unsigned(&error) && file.exists() => {
                self.refusal
                    .passed_over(format!("{shown}: it doesn't sign"));
                self.with_file(file, None)
            }
            (answer, _) => self.judge(answer, shown),
        }
    }

    fn with_file(
        &mut self,
        path: &Path,
        certificate: Option<&str>,
    ) -> Result<Outcome, TransportError> {
        let shown = match certificate {
            Some(_) => format!("{}'s certificate", path.display()),
            None => path.display().to_string(),
        };
        let public = match certificate {
            Some(line) => Some(line.to_owned()),
            None => public_half(path).map(|public| public.line),
        };
        // Nobody is asked for the passphrase of a key that the server wouldn't take.
        if let Some(public) = &public
            && !self.credentials.files.is_ready(path)
            && let Some(refused) = self.is_refused(public)
        {
            return self.judge(Err(refused), shown);
        }
        let key = match self.credentials.files.private(path) {
            Ok(key) => key,
            Err(Unusable::Missing) => {
                if self.target.keys.named_by != NamedBy::Nobody {
                    self.refusal.passed_over(format!("{shown} (isn't there)"));
                }
                return Ok(Outcome::No);
            }
            Err(Unusable::Because(why)) => {
                self.refusal.passed_over(format!("{shown} ({why})"));
                return Ok(Outcome::No);
            }
        };
        let answer = self.session.userauth_pubkey_memory(
            self.user,
            certificate,
            key.text.expose_secret(),
            key.passphrase.as_ref().map(|text| text.expose_secret()),
        );
        self.judge(answer, shown)
    }

    /// Shows the server a public half only, to see whether it would take the key.
    fn is_refused(&self, public: &str) -> Option<ssh2::Error> {
        // There is no private half to sign with, so nothing more comes of it.
        let answer = self
            .session
            .userauth_pubkey_memory(self.user, Some(public), "", None);
        answer.err().filter(|error| !is_unsigned(error))
    }

    fn with_password(&mut self, method: &str) -> Result<(), TransportError> {
        self.done.insert(method.to_owned());
        let Some(source) = &self.target.ssh.password else {
            return Ok(());
        };
        let password = self.credentials.password(source)?;
        let password = password.expose_secret();
        let answer = if method == "password" {
            self.session.userauth_password(self.user, password)
        } else {
            let mut answer = Answer { password };
            self.session
                .userauth_keyboard_interactive(self.user, &mut answer)
        };
        let shown = match method {
            "password" => "the password".to_owned(),
            _ => "the password as keyboard-interactive".to_owned(),
        };
        self.judge(answer, shown)?;
        if !self.session.authenticated() {
            self.ask()?;
        }
        Ok(())
    }

    /// Tells how an attempt ended, and notes one that didn't lead in.
    fn judge(
        &mut self,
        answer: Result<(), ssh2::Error>,
        shown: String,
    ) -> Result<Outcome, TransportError> {
        let Err(error) = answer else {
            return Ok(Outcome::No);
        };
        if is_refusal(&error) {
            self.refusal.tried(shown);
            return Ok(Outcome::No);
        }
        if is_checked(&error) {
            self.refusal.tried(shown);
            return Ok(Outcome::AskAgain);
        }
        self.refusal.tried(format!("{shown} ({})", error.message()));
        match is_broken(&error) {
            // What the server said at the end is only told to a question.
            true => self.ask().map(|()| Outcome::No),
            false => Ok(Outcome::No),
        }
    }

    fn refused(&self) -> TransportError {
        self.refusal.error(self.target, self.offered.as_deref())
    }

    /// The server ended the connection.
    fn ended(&self, error: &ssh2::Error) -> TransportError {
        if self.refusal.is_silent() {
            return cut(error);
        }
        self.refusal.ended(self.target, self.offered.as_deref())
    }
}

/// Tells "not this key" from a key that can't be read and a connection that broke.
fn is_refusal(error: &ssh2::Error) -> bool {
    // Authentication failed.
    matches!(error.code(), ssh2::ErrorCode::Session(-18))
}

/// Tells that a server was shown a signature and didn't say "you're in".
fn is_checked(error: &ssh2::Error) -> bool {
    matches!(error.code(), ssh2::ErrorCode::Session(-19)) && !is_unsigned(error)
}

/// Tells that the server would take a key, but there was no signature to show.
fn is_unsigned(error: &ssh2::Error) -> bool {
    // libssh2 has one code for all that may happen to a signature; only its words tell.
    matches!(error.code(), ssh2::ErrorCode::Session(-19)) && error.message().starts_with("Callback")
}

/// Tells a connection that broke from an answer that wasn't liked: the socket's own errors, and
/// the server's farewell.
fn is_broken(error: &ssh2::Error) -> bool {
    matches!(
        error.code(),
        ssh2::ErrorCode::Session(-1 | -7 | -9 | -13 | -30 | -43)
    )
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
