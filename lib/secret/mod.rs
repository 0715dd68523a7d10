//! Reads secrets from where the cluster file says they are: environment, file, command, or the
//! operator. Each source is asked once for as long as the reader lives.

mod blot;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use blot::blotted;
use secrecy::{ExposeSecret, SecretString};

use crate::model::PasswordSource;

/// How long a command may take that prints a secret.
const COMMAND_TIME: Duration = Duration::from_secs(120);
/// How much of its output is looked at.
const COMMAND_OUTPUT: u64 = 64 * 1024;
/// A shorter one would blot out half of every output that it's kept out of.
const SHORTEST: usize = 4;

/// Asks the operator for a secret; gets the words to ask with.
pub type Prompt = Box<dyn Fn(&str) -> io::Result<SecretString> + Send + Sync>;

/// Reads secrets, each once.
#[derive(Default)]
pub struct SecretReader {
    prompt: Option<Prompt>,
    known: Mutex<HashMap<PasswordSource, SecretString>>,
}

impl SecretReader {
    /// Makes a reader that can ask nobody.
    pub fn new() -> SecretReader {
        SecretReader::default()
    }

    /// Makes a reader that asks the operator in this way.
    pub fn with_prompt(prompt: Prompt) -> SecretReader {
        SecretReader {
            prompt: Some(prompt),
            ..SecretReader::default()
        }
    }

    /// Returns the secret of a source.
    ///
    /// # Errors
    /// Why it can't be had, and what to do; never any part of it.
    pub fn read(&self, source: &PasswordSource) -> Result<SecretString, String> {
        // Held while it's read: fifty hosts at once shall not ask the operator fifty times.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = known.get(source) {
            return Ok(secret.clone());
        }
        let text = match source {
            PasswordSource::Env(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name}, for a secret, isn't set"))?,
            PasswordSource::File(path) => from_file(path)?,
            PasswordSource::Command { line, folder } => from_command(line, folder)?,
            PasswordSource::Ask(what) => self.ask(what)?,
        };
        // What such files and programs print has a line end, and perhaps more below the secret.
        let secret = text.lines().next().unwrap_or_default();
        if secret.chars().count() < SHORTEST {
            return Err(format!(
                "{} gives a secret of fewer than {SHORTEST} characters",
                words(source)
            ));
        }
        let secret = SecretString::from(secret);
        known.insert(source.clone(), secret.clone());
        Ok(secret)
    }

    fn ask(&self, what: &str) -> Result<String, String> {
        let cant = |why: String| format!("{what} can't be asked for: {why}");
        let prompt = self
            .prompt
            .as_ref()
            .ok_or_else(|| cant("there is no terminal".to_owned()))?;
        let answer = prompt(what).map_err(|error| cant(error.to_string()))?;
        Ok(answer.expose_secret().to_owned())
    }
}

fn words(source: &PasswordSource) -> String {
    match source {
        PasswordSource::Env(name) => format!("the environment variable {name}"),
        PasswordSource::File(path) => path.display().to_string(),
        PasswordSource::Command { line, .. } => format!("`{line}`"),
        PasswordSource::Ask(what) => what.clone(),
    }
}

fn from_file(path: &Path) -> Result<String, String> {
    only_the_owners(path, "secret")?;
    fs::read_to_string(path).map_err(|error| format!("{} can't be read: {error}", path.display()))
}

/// Refuses a file that others can read.
///
/// # Errors
/// What it is and how to mend it; also when it isn't there.
pub fn only_the_owners(path: &Path, what: &str) -> Result<(), String> {
    let metadata =
        fs::metadata(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(format!(
            "others can read the {what} in {0}; `chmod 600 {0}`",
            path.display()
        ));
    }
    Ok(())
}

/// Runs a command of the operator's in the cluster file's folder, and takes what it prints.
fn from_command(line: &str, folder: &Path) -> Result<String, String> {
    let failed = |why: String| format!("`{line}`, for a secret, {why}");
    let mut child = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("can't be started: {error}")))?;
    let read = |stream: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            // What can't be read isn't there; the exit status tells.
            let _ = stream.take(COMMAND_OUTPUT).read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let output = stdout.map(|stream| read(Box::new(stream)));
    let errors = stderr.map(|stream| read(Box::new(stream)));
    let until = Instant::now() + COMMAND_TIME;
    let status = loop {
        match child
            .try_wait()
            .map_err(|error| failed(error.to_string()))?
        {
            Some(status) => break status,
            None if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!(
                    "didn't end within {} s",
                    COMMAND_TIME.as_secs()
                )));
            }
        }
    };
    let text = |thread: Option<thread::JoinHandle<String>>| {
        thread
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    };
    if !status.success() {
        let said = text(errors);
        let last = said.lines().last().unwrap_or_default().trim();
        let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
        return Err(failed(format!("failed ({status}): {last}")));
    }
    Ok(text(output))
}

/// Lists the ways in which a secret may turn up in outputs, so that each of them is blotted out: as
/// it is, quoted for a shell, in JSON, in a URL, and in Base64.
pub fn forms(secret: &str) -> Vec<String> {
    let quoted = shell_words::quote(secret).into_owned();
    let json = serde_json::to_string(secret).unwrap_or_default();
    let url: String = secret
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let mut forms = vec![
        secret.to_owned(),
        quoted,
        json.trim_matches('"').to_owned(),
        url,
        base64(secret.as_bytes()),
    ];
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Without the padding, so that it's found in the middle of more as well.
fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64Unpadded, Encoding};
    Base64Unpadded::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn command(line: &str) -> Result<String, String> {
        let source = PasswordSource::Command {
            line: line.to_owned(),
            folder: std::env::temp_dir(),
        };
        let secret = SecretReader::new().read(&source)?;
        Ok(secret.expose_secret().to_owned())
    }

    #[test]
    fn a_command_gives_its_first_line_or_its_reason() {
        assert_eq!(command("echo hunter2; echo more"), Ok("hunter2".into()));
        assert_eq!(
            command("cat; echo hunter2"),
            Ok("hunter2".into()),
            "no input"
        );
        let why = command("echo no such key >&2; exit 3").unwrap_err();
        assert!(why.contains("no such key") && why.contains('3'), "{why}");
        let why = command("echo ab").unwrap_err();
        assert!(
            why.contains("fewer than 4") && !why.contains("gives a secret of ab"),
            "{why}"
        );
    }

    #[test]
    fn a_source_is_asked_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let reader = SecretReader::with_prompt(Box::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok("hunter2".into())
        }));
        let source = PasswordSource::Ask("the password".into());
        for _ in 0..3 {
            assert_eq!(reader.read(&source).unwrap().expose_secret(), "hunter2");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let why = SecretReader::new().read(&source).unwrap_err();
        assert!(why.contains("no terminal"), "{why}");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("secret");
        fs::write(&path, "hunter2\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let source = PasswordSource::File(path.clone());
        let why = SecretReader::new().read(&source).unwrap_err();
        assert!(why.contains("chmod 600"), "{why}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SecretReader::new().read(&source).is_ok());
    }

    #[test]
    fn a_secret_is_known_in_all_its_forms() {
        let forms = forms("it's a \"secret\"/1");
        for form in [
            "it's a \"secret\"/1",
            "'it'\\''s a \"secret\"/1'",
            "it's a \\\"secret\\\"/1",
            "it%27s%20a%20%22secret%22%2F1",
            "aXQncyBhICJzZWNyZXQiLzE",
        ] {
            assert!(forms.iter().any(|known| known == form), "{form}: {forms:?}");
        }
    }
}
