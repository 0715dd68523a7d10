//! The secrets that stay as the release has them: each with its place, and what to do.

use crate::plan::StayingSecret;

/// Shows them as text; empty where there are none.
pub fn default_secrets_text(secrets: &[StayingSecret]) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let mut text = match secrets.iter().all(|secret| secret.seen) {
        true => "secrets that stay as the release has them, so that everybody may know them:\n",
        false => {
            "secrets that stay as the release has them, so that everybody may know them; yours isn't \
             here to be read, and may have others:\n"
        }
    }
    .to_owned();
    for secret in secrets {
        let place = match secret.line {
            Some(line) => format!("{}:{line}", secret.files.join(", or ")),
            None => secret.files.join(", or "),
        };
        let StayingSecret {
            component,
            what,
            to_do,
            ..
        } = secret;
        text += &format!("  {component}: {what}\n    at: {place}\n    to do: {to_do}\n");
    }
    text
}

/// Says in a line how many there are; nothing where there are none.
pub fn default_secrets_note(secrets: &[StayingSecret]) -> Option<String> {
    match secrets.len() {
        0 => None,
        1 => Some("1 secret stays as the release has it; `check` names it".to_owned()),
        n => Some(format!(
            "{n} secrets stay as the release has them; `check` names them"
        )),
    }
}
