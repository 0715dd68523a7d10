//! From the start of the command on a host to its loader's first word. Nothing is sent to a host
//! before that but a password that sudo has asked for: what runs there may be another program than
//! the one that was called, such as a shell that an rc file starts, and would take a request for
//! commands of its own.

use std::io::{self, BufRead, BufReader};
use std::time::{Duration, Instant};

use super::request::{LOADER, nonce};
use super::{Duplex, PREFIX, lost};
use crate::secret::blotted;
use crate::transport::{TransportError, TransportErrorKind};

/// How much of what is said before the first word is kept, and searched for it.
const HEARD: usize = 64 * 1024;
/// How long a shell that reads its standard input may take to end with it.
const END: Duration = Duration::from_secs(2);
/// What the rc files of the usual shells are called.
const RC_FILES: &str =
    "~/.bashrc, ~/.bash_profile, ~/.profile, ~/.zshenv, ~/.config/fish/config.fish";

/// Names the loader's way to root's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Rights {
    /// The login user's own.
    Own,
    /// sudo that asks for nothing.
    Sudo,
    /// sudo that reads a password from standard input, if it needs one.
    SudoWithPassword,
}

/// One start of the loader, with whose rights.
#[derive(Debug)]
pub(in crate::transport) struct Start {
    rights: Rights,
    /// Whether the loader has to find itself root.
    as_root: bool,
    /// What sudo asks with, and what the loader says first: nobody else knows it.
    marker: String,
}

impl Start {
    /// Prepares a start; `as_root` is whether root's rights are needed.
    ///
    /// # Errors
    /// This machine has no random numbers.
    pub(in crate::transport) fn new(
        rights: Rights,
        as_root: bool,
    ) -> Result<Start, TransportError> {
        Ok(Start {
            rights,
            as_root,
            marker: nonce()?,
        })
    }

    /// Writes the one command that every request runs. Both outputs become one pipe on the host
    /// itself, so that a warning of sudo's can't slip into a frame on the way. The login shell may
    /// be any: its part is two words in single quotes. The marker stands there in pieces, so that a
    /// shell which only repeats the command doesn't say it.
    pub(in crate::transport) fn command(&self) -> String {
        let (one, other) = self.marker.split_at(self.marker.len() / 2);
        let begun = "printf \"\\npcb1 begun\\n\"; exec sudo";
        let exec = match self.rights {
            Rights::Own => "exec".to_owned(),
            Rights::Sudo => format!("{begun} -n"),
            Rights::SudoWithPassword => format!("{begun} -k -S -p \"{one}\"\"{other}\""),
        };
        format!(
            "sh -c 'exec 2>&1; LC_ALL=C; export LC_ALL; {exec} sh -c \"$0\" {one} {other}' \
             '{LOADER}'"
        )
    }

    /// Hears what the host says until the loader's first word; answers sudo once.
    ///
    /// # Errors
    /// What the host said instead, or that it said nothing in time.
    pub(in crate::transport) fn pass<D: Duplex>(
        &self,
        stream: &mut BufReader<D>,
        password: Option<&str>,
        secrets: &[String],
        patience: Duration,
    ) -> Result<(), TransportError> {
        let hall = Hall {
            start: self,
            secrets,
            heard: Vec::new(),
            asked: 0,
        };
        stream.get_mut().expect_by(Some(Instant::now() + patience));
        let passed = hall.pass(stream, password, patience);
        stream.get_mut().expect_by(None);
        passed
    }
}

/// Where one waits to be let in.
struct Hall<'a> {
    start: &'a Start,
    secrets: &'a [String],
    /// What was said so far.
    heard: Vec<u8>,
    /// How often sudo asked.
    asked: usize,
}

impl Hall<'_> {
    fn pass<D: Duplex>(
        mut self,
        stream: &mut BufReader<D>,
        password: Option<&str>,
        patience: Duration,
    ) -> Result<(), TransportError> {
        loop {
            match self.listen(stream) {
                Ok(true) => {}
                Ok(false) => return Err(self.why_it_ended()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(self.why_it_is_silent(stream, patience));
                }
                Err(error) => return Err(lost(&error)),
            }
            if let Some(uid) = self.hello() {
                return self.check(uid);
            }
            match (self.questions(), password) {
                (asked, _) if asked == self.asked => {}
                (1, Some(password)) => {
                    self.asked = 1;
                    let line = format!("{password}\n");
                    let sent = stream.get_mut().write_all(line.as_bytes());
                    sent.and_then(|()| stream.get_mut().flush())
                        .map_err(|error| lost(&error))?;
                }
                // It didn't like the password; a second try would only count against the account.
                (asked, _) => {
                    self.asked = asked;
                    let _ = stream.get_mut().close_write();
                }
            }
        }
    }

    /// Takes what has come; false at the end.
    fn listen<D: Duplex>(&mut self, stream: &mut BufReader<D>) -> io::Result<bool> {
        let available = stream.fill_buf()?;
        let count = available.len();
        self.heard.extend_from_slice(available);
        stream.consume(count);
        // The first words and the newest are kept: both may tell what is wrong.
        if self.heard.len() > 2 * HEARD {
            self.heard.drain(HEARD / 2..HEARD);
        }
        Ok(count > 0)
    }

    /// The loader's first word: whose rights it has.
    fn hello(&self) -> Option<u32> {
        let text = String::from_utf8_lossy(&self.heard);
        let complete = &text[..=text.rfind('\n')?];
        let greeting = format!("{PREFIX}hello {} ", self.start.marker);
        let mut lines = complete.lines();
        lines.find_map(|line| line.strip_prefix(&greeting)?.parse().ok())
    }

    /// How often sudo has asked for a password.
    fn questions(&self) -> usize {
        let marker = self.start.marker.as_bytes();
        let windows = self.heard.windows(marker.len());
        windows.filter(|window| *window == marker).count()
    }

    fn check(&self, uid: u32) -> Result<(), TransportError> {
        if uid == 0 || !self.start.as_root {
            return Ok(());
        }
        Err(TransportError::new(
            TransportErrorKind::Sudo,
            format!(
                "root's rights were asked for, and the command runs with those of uid {uid}; does \
                 an rc file of the login user ({RC_FILES}) start another shell or become another \
                 user, or do sudo's rules set runas_default?"
            ),
        ))
    }

    /// What was said, without the words that are between the two sides.
    fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.heard).replace(&self.start.marker, "");
        let lines = text.lines().map(str::trim_end);
        let lines = lines.filter(|line| !line.trim().is_empty() && !line.starts_with(PREFIX));
        let lines: Vec<String> = lines.map(|line| blotted(line, self.secrets)).collect();
        lines.join("\n")
    }

    fn has_begun(&self) -> bool {
        let text = String::from_utf8_lossy(&self.heard);
        text.lines().any(|line| line == "pcb1 begun")
    }

    /// Why the command ended before its first word.
    fn why_it_ended(&self) -> TransportError {
        let said = self.said();
        if self.asked > 1 {
            return refused_password(&said);
        }
        if self.has_begun() && self.start.rights != Rights::Own {
            return no_sudo(&said);
        }
        why_no_answer(&said)
    }

    /// Why the command says nothing: sudo waits for something, another shell reads what was meant
    /// for the loader, which ends with its input, or something hangs.
    fn why_it_is_silent<D: Duplex>(
        mut self,
        stream: &mut BufReader<D>,
        patience: Duration,
    ) -> TransportError {
        let has_begun = self.has_begun();
        let _ = stream.get_mut().close_write();
        stream.get_mut().expect_by(Some(Instant::now() + END));
        let ended = loop {
            match self.listen(stream) {
                Ok(true) => {}
                Ok(false) => break true,
                Err(_) => break false,
            }
        };
        let said = self.said();
        let patience = patience.as_secs();
        let last = match said.lines().last() {
            Some(last) => format!("; the host said: {last}"),
            None => String::new(),
        };
        if has_begun {
            return TransportError::new(
                TransportErrorKind::Sudo,
                format!(
                    "root's rights can't be had: sudo {} within {patience} s{last}; does it ask for \
                     something else than a password (`Defaults passprompt_override` has it use the \
                     prompt that it's given), or does it wait for a directory or name server?",
                    match self.asked {
                        0 =>
                            "neither asked for the password with the prompt that it was given nor \
                              went on",
                        _ => "took the password and didn't go on",
                    }
                ),
            );
        }
        if ended {
            return TransportError::new(TransportErrorKind::Host, another_shell(&last));
        }
        TransportError::new(
            TransportErrorKind::Timeout,
            format!(
                "the host doesn't answer: the login worked, and within {patience} s nothing came \
                 after it{last}; does its login shell, its home folder or a file that the shell \
                 reads first ({RC_FILES}) hang?"
            ),
        )
    }
}

fn another_shell(last: &str) -> String {
    format!(
        "the login shell reads its standard input instead of running the command that it's \
         called with{last}; an rc file of the login user ({RC_FILES}) starts another shell \
         (`exec bash`): have it do so for a person only (`case $- in *i*) exec bash ;; esac`)"
    )
}

/// Why a command ended that said this, and nothing of the protocol's.
pub(super) fn why_no_answer(said: &str) -> TransportError {
    if said.is_empty() {
        let message = "the connection ended before the host said anything";
        return TransportError::new(TransportErrorKind::Lost, message);
    }
    let sudo = [
        "sudo:",
        "not in the sudoers",
        "a password is required",
        "su:",
        "doas",
    ];
    if sudo.iter().any(|sign| said.contains(sign)) {
        return no_sudo(said);
    }
    // All of it: a refusal has its reason in the first line, its date in the third, its number to
    // call in the last.
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let words: Vec<&str> = lines.collect();
    TransportError::new(
        TransportErrorKind::Host,
        format!("the host's shell said: {}", words.join(" / ")),
    )
}

/// What sudo says of its trouble: the first line of its own that isn't about the host's name, which
/// sudo only complains of.
fn word_of_sudo(said: &str) -> &str {
    let lines = || said.lines().filter(|line| !line.trim().is_empty());
    let complaint = |line: &&str| !line.contains("unable to resolve host");
    let is_sudos = |line: &&str| line.contains("sudo") || line.contains("Sorry, try again");
    let mut own = lines().filter(complaint).filter(is_sudos);
    own.next()
        .or_else(|| lines().rfind(complaint))
        .or_else(|| lines().next())
        .unwrap_or("sudo said nothing")
        .trim()
}

fn refused_password(said: &str) -> TransportError {
    TransportError::new(
        TransportErrorKind::Sudo,
        format!(
            "root's rights can't be had: sudo doesn't take the password that `sudo.password` \
             gives: {}",
            word_of_sudo(said)
        ),
    )
}

fn no_sudo(said: &str) -> TransportError {
    let word = word_of_sudo(said);
    let help = if said.contains("must have a tty") {
        "sudo's rules there have `requiretty`; `Defaults:USER !requiretty` in a file below \
         /etc/sudoers.d, with the login user's name, lifts that for it"
    } else {
        "set `sudo` in the cluster file (a password's source, or false when the login user is \
         root), or let the user call sudo without a password"
    };
    TransportError::new(
        TransportErrorKind::Sudo,
        format!("root's rights can't be had: {word}; {help}"),
    )
}
