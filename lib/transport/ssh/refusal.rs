//! What to say where a login wasn't let in: all that was tried, all that the server said, and what of
//! the configuration had no effect.

use super::config::Target;
use super::said;
use crate::transport::{TransportError, TransportErrorKind};

/// What is gathered during a login, for the case that it fails.
#[derive(Default)]
pub(super) struct Refusal {
    tried: Vec<String>,
    /// How many of them the server was asked about.
    sent: usize,
    /// What the server said: its greeting, and why it ended the login.
    heard: Vec<String>,
}

impl Refusal {
    /// Notes what the server refused.
    pub(super) fn tried(&mut self, what: String) {
        self.sent += 1;
        self.tried.push(what);
    }

    /// Notes what couldn't be tried, and why.
    pub(super) fn passed_over(&mut self, what: String) {
        self.tried.push(what);
    }

    /// Notes the server's own words.
    pub(super) fn heard(&mut self, words: &str) {
        let words = said(words);
        if !words.is_empty() && !self.heard.contains(&words) {
            self.heard.push(words);
        }
    }

    /// Tells whether neither anything was shown to the server nor anything said by it.
    pub(super) fn is_silent(&self) -> bool {
        self.sent <= 1 && self.heard.is_empty()
    }

    /// The error where no method is left.
    pub(super) fn error(&self, target: &Target, offered: Option<&str>) -> TransportError {
        self.with(target, offered, "")
    }

    /// The error where the server ended the connection.
    pub(super) fn ended(&self, target: &Target, offered: Option<&str>) -> TransportError {
        let enough = match self.heard.is_empty() {
            true => {
                "; the server ended the login after these (MaxAuthTries): name the right key with \
                 ssh.identity"
            }
            false => "; the server ended the login",
        };
        self.with(target, offered, enough)
    }

    fn with(&self, target: &Target, offered: Option<&str>, more: &str) -> TransportError {
        let user = &target.ssh.user;
        let tried = match self.tried.as_slice() {
            [] => "nothing could be tried: there is no agent, no key in ~/.ssh and no password"
                .to_owned(),
            tried => format!("tried {}", tried.join(", ")),
        };
        let takes = match offered {
            None | Some("") => "unknown methods",
            Some(offered) => offered,
        };
        let heard = match self.heard.is_empty() {
            true => String::new(),
            false => format!("; the server said: {}", self.heard.join(" / ")),
        };
        let settings: Vec<String> = target.unhonoured.iter().map(ToString::to_string).collect();
        let unhonoured = match settings.is_empty() {
            true => String::new(),
            false => format!(
                "; not used of OpenSSH's configuration: {}",
                settings.join(", ")
            ),
        };
        // Where nothing was shown to the server, the reasons all lie here.
        let kind = match self.sent == 0 && !self.tried.is_empty() {
            true => TransportErrorKind::LocalSetup,
            false => TransportErrorKind::Auth,
        };
        TransportError::new(
            kind,
            format!(
                "the host is there, but lets `{user}` not in ({tried}; it takes \
                 {takes}){more}{heard}; check ssh.user and ssh.identity, and that the public key is \
                 in ~{user}/.ssh/authorized_keys there{unhonoured}"
            ),
        )
    }
}

/// The error for a connection that ended before anything was tried.
pub(super) fn cut(error: &ssh2::Error) -> TransportError {
    TransportError::new(
        TransportErrorKind::Protocol,
        format!(
            "the connection ended during the login: {}; is the network flaky, or sshd overloaded \
             (MaxStartups, LoginGraceTime)?",
            error.message()
        ),
    )
}
