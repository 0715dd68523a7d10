//! The `%` tokens and `${VARIABLES}` of OpenSSH's configuration: `ssh -G` prints them as they were
//! written.

use std::fs;
use std::path::PathBuf;

/// What the tokens stand for, for one connection.
pub(super) struct Tokens<'a> {
    /// `%h`: the name that is connected to.
    pub(super) name: &'a str,
    /// `%n`: the address in the cluster file.
    pub(super) original: &'a str,
    /// `%k`: the name in known_hosts.
    pub(super) key_name: &'a str,
    /// `%p`.
    pub(super) port: u16,
    /// `%r`: the login user there.
    pub(super) user: &'a str,
}

impl Tokens<'_> {
    /// Replaces the tokens of a command line, whose variables its shell knows.
    ///
    /// # Errors
    /// The first token that isn't known here.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(letter) = rest.next() {
            if letter != '%' {
                expanded.push(letter);
                continue;
            }
            let token = rest.next();
            match token.and_then(|token| self.value(token)) {
                Some(value) => expanded.push_str(&value),
                None => return Err(token.map_or("%".to_owned(), |token| format!("%{token}"))),
            }
        }
        Ok(expanded)
    }

    /// Replaces `~`, the tokens and the variables of a file's path.
    ///
    /// # Errors
    /// The first token or variable that isn't known here.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, String> {
        let expanded = self.expand(text)?;
        let expanded = variables(&expanded)?;
        Ok(in_home(&expanded))
    }

    fn value(&self, token: char) -> Option<String> {
        let host_name = || fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Some(match token {
            '%' => "%".to_owned(),
            'h' => self.name.to_owned(),
            'n' => self.original.to_owned(),
            'k' => self.key_name.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.user.to_owned(),
            'd' => std::env::var("HOME").ok()?,
            'u' => std::env::var("USER")
                .or_else(|_| std::env::var("LOGNAME"))
                .ok()?,
            'l' => host_name()?.trim().to_owned(),
            'L' => host_name()?.trim().split('.').next()?.to_owned(),
            _ => return None,
        })
    }
}

/// Replaces each `${NAME}` by this process's variable.
fn variables(text: &str) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("${")?;
        let value = std::env::var(name).map_err(|_| format!("${{{name}}}"))?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Puts the operator's home in the place of a leading `~/`.
pub(super) fn in_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_and_an_unknown_one_is_named() {
        let tokens = Tokens {
            name: "real",
            original: "10.0.0.7",
            key_name: "alias",
            port: 2200,
            user: "DOMAIN\\ada",
        };
        assert_eq!(
            tokens.expand("nc -x %n %h:%p %r %k 100%%").unwrap(),
            "nc -x 10.0.0.7 real:2200 DOMAIN\\ada alias 100%"
        );
        assert_eq!(tokens.expand("/%C/x").unwrap_err(), "%C");
        assert_eq!(tokens.expand("end %").unwrap_err(), "%");
        let unset = tokens.path("${PCB_TEST_NO_SUCH_VARIABLE}/k").unwrap_err();
        assert_eq!(unset, "${PCB_TEST_NO_SUCH_VARIABLE}");
        assert_eq!(tokens.path("/k/%h").unwrap(), PathBuf::from("/k/real"));
    }
}
