//! What a known_hosts file says of a host's key, by OpenSSH's rules. It neither reads nor writes
//! the file, and decides nothing.
//!
//! libssh2's own look-up isn't used for this: it ignores `@revoked` and wildcards, gives up on lines
//! that it doesn't understand, and doesn't tell the line of the old key. It only tells whether a
//! hashed name fits.

use base64ct::{Base64, Encoding};
use ssh2::{CheckResult, KnownHostFileKind, Session};

use super::blob;

/// What the file says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this host's.
    Known,
    /// There is nothing about this host.
    Unknown,
    /// The host had these other keys.
    Changed(Vec<OldKey>),
    /// It is marked as revoked in this line.
    Revoked(usize),
}

/// A key that a host had.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OldKey {
    /// The line, from 1.
    pub(super) line: usize,
    /// The key as it goes over the wire.
    pub(super) key: Vec<u8>,
}

/// What a host is called in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// With its port, where that isn't 22.
    pub(super) full: &'a str,
    /// Without.
    pub(super) plain: &'a str,
}

/// One line of the file.
struct Entry<'a> {
    line: usize,
    marker: Option<&'a str>,
    names: &'a str,
    algorithm: &'a str,
    encoded: &'a str,
}

/// Looks a host's key up.
pub(super) fn look_up(text: &str, names: Names<'_>, key: &[u8]) -> Verdict {
    let Names { full, plain } = names;
    let encoded = Base64::encode_string(key);
    let mut old = Vec::new();
    let mut known = false;
    for entry in entries(text) {
        let is_same = entry.encoded == encoded;
        match entry.marker {
            Some("@revoked") if is_same && (entry.fits(full) || entry.fits(plain)) => {
                return Verdict::Revoked(entry.line);
            }
            // A certificate authority's key isn't the host's own.
            Some(_) => {}
            None if entry.fits(full) => {
                known |= is_same;
                let key = Base64::decode_vec(entry.encoded).unwrap_or_default();
                old.push(OldKey {
                    line: entry.line,
                    key,
                });
            }
            // An entry without a port says nothing bad of another port, only something good.
            None => known |= is_same && entry.fits(plain),
        }
    }
    match (known, old.is_empty()) {
        (true, _) => Verdict::Known,
        (false, true) => Verdict::Unknown,
        (false, false) => Verdict::Changed(old),
    }
}

/// Lists the kinds of the keys that are known of a host, so that it is asked for one of these: its
/// other keys, though right, would look like changed ones.
pub(super) fn known_algorithms<'a>(text: &'a str, names: Names<'_>) -> Vec<&'a str> {
    entries(text)
        .filter(|entry| entry.marker.is_none() && entry.fits(names.full))
        .map(|entry| entry.algorithm)
        .collect()
}

/// Tells whether an authority is named that may vouch for a host by a certificate.
pub(super) fn has_authority(text: &str, names: Names<'_>) -> bool {
    entries(text).any(|entry| {
        entry.marker == Some("@cert-authority")
            && (entry.fits(names.full) || entry.fits(names.plain))
    })
}

/// Keeps only what a file says of authorities and of revoked keys, so that a certificate is judged
/// and no plain key helps it.
pub(super) fn marked(text: &str) -> String {
    let marked = text
        .lines()
        .filter(|line| line.trim_start().starts_with('@'));
    marked.flat_map(|line| [line, "\n"]).collect()
}

/// Writes the line of a host's key.
pub(super) fn line_of(name: &str, key: &[u8]) -> Option<String> {
    Some(format!(
        "{name} {} {}",
        blob::kind(key)?,
        Base64::encode_string(key)
    ))
}

/// Names a host as known_hosts does.
pub(super) fn host_field(host: &str, port: u16) -> String {
    if port == 22 {
        host.to_owned()
    } else {
        format!("[{host}]:{port}")
    }
}

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let mut fields = line.split_whitespace().peekable();
        let marker = fields.next_if(|field| field.starts_with('@'));
        let names = fields.next().filter(|names| !names.starts_with('#'))?;
        let (algorithm, encoded) = (fields.next()?, fields.next()?);
        Some(Entry {
            line: index + 1,
            marker,
            names,
            algorithm,
            encoded,
        })
    })
}

impl Entry<'_> {
    /// Tells whether one of the patterns fits, and none that is negated.
    fn fits(&self, name: &str) -> bool {
        if self.names.starts_with('|') {
            return self.hash_fits(name);
        }
        let (mut fits, mut excluded) = (false, false);
        for pattern in self.names.split(',') {
            match pattern.strip_prefix('!') {
                Some(pattern) => excluded |= glob(pattern.as_bytes(), name.as_bytes()),
                None => fits |= glob(pattern.as_bytes(), name.as_bytes()),
            }
        }
        fits && !excluded
    }

    /// Asks libssh2 about a hashed name, with a file of just this line.
    fn hash_fits(&self, name: &str) -> bool {
        let line = format!("{} {} {}", self.names, self.algorithm, self.encoded);
        let Ok(mut known) = Session::new().and_then(|session| session.known_hosts()) else {
            return false;
        };
        known.read_str(&line, KnownHostFileKind::OpenSSH).is_ok()
            && matches!(
                known.check(name, b"any key"),
                CheckResult::Match | CheckResult::Mismatch
            )
    }
}

/// Matches `*` (any text) and `?` (any one byte).
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        (Some((b'?', pattern)), Some((_, text))) => glob(pattern, text),
        (Some((wanted, pattern)), Some((byte, text))) => wanted == byte && glob(pattern, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "10.0.0.7";

    fn key(kind: &str, content: &str) -> Vec<u8> {
        [
            &(kind.len() as u32).to_be_bytes(),
            kind.as_bytes(),
            content.as_bytes(),
        ]
        .concat()
    }

    fn ours() -> Vec<u8> {
        key("ssh-ed25519", "ours")
    }

    fn entry(names: &str, key: &[u8]) -> String {
        format!(
            "{names} {} {} a comment\n",
            blob::kind(key).unwrap(),
            Base64::encode_string(key)
        )
    }

    fn with_names<T>(host: &str, port: u16, act: impl FnOnce(Names<'_>) -> T) -> T {
        act(Names {
            full: &host_field(host, port),
            plain: host,
        })
    }

    fn verdict(text: &str, port: u16) -> Verdict {
        with_names(HOST, port, |names| look_up(text, names, &ours()))
    }

    #[test]
    fn a_key_is_found_by_name_list_and_wildcard() {
        for names in ["10.0.0.7", "other,10.0.0.7", "10.0.0.*", "10.0.?.7"] {
            assert_eq!(
                verdict(&entry(names, &ours()), 22),
                Verdict::Known,
                "{names}"
            );
        }
        for names in ["10.0.0.70", "10.0.0.*,!10.0.0.7", "#10.0.0.7"] {
            assert_eq!(
                verdict(&entry(names, &ours()), 22),
                Verdict::Unknown,
                "{names}"
            );
        }
    }

    #[test]
    fn a_changed_key_names_every_old_one_with_its_line() {
        let other = key("ssh-ed25519", "other");
        let text = format!("# a comment\n\nbroken\n{}", entry(HOST, &other));
        let old = vec![OldKey {
            line: 4,
            key: other.clone(),
        }];
        assert_eq!(verdict(&text, 22), Verdict::Changed(old));
        let both = format!("{text}{}", entry(HOST, &ours()));
        assert_eq!(verdict(&both, 22), Verdict::Known);
    }

    #[test]
    fn an_entry_without_a_port_vouches_for_another_port_but_never_accuses() {
        assert_eq!(verdict(&entry(HOST, &ours()), 2222), Verdict::Known);
        let other = key("ssh-ed25519", "other");
        assert_eq!(verdict(&entry(HOST, &other), 2222), Verdict::Unknown);
        let with_port = entry("[10.0.0.7]:2222", &other);
        assert!(matches!(verdict(&with_port, 2222), Verdict::Changed(_)));
        assert_eq!(verdict(&with_port, 22), Verdict::Unknown);
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_it_is_known() {
        let text = format!("{}@revoked {}", entry(HOST, &ours()), entry("*", &ours()));
        assert_eq!(verdict(&text, 22), Verdict::Revoked(2));
        let authority = format!("@cert-authority {}", entry("*", &ours()));
        assert_eq!(verdict(&authority, 22), Verdict::Unknown);
        assert!(with_names(HOST, 2222, |names| has_authority(
            &authority, names
        )));
        let elsewhere = format!("@cert-authority {}", entry("10.1.*", &ours()));
        assert!(!with_names(HOST, 22, |names| has_authority(
            &elsewhere, names
        )));
        assert!(!with_names(HOST, 22, |names| has_authority(&text, names)));
    }

    #[test]
    fn a_hashed_name_is_found() {
        // The hash of 10.0.0.7 by `ssh-keygen -H`, with a real key behind it.
        let key = Base64::decode_vec(HASHED.split_whitespace().nth(2).unwrap()).unwrap();
        let known = |host: &str| with_names(host, 22, |names| look_up(HASHED, names, &key));
        assert_eq!(known(HOST), Verdict::Known);
        assert_eq!(known("10.0.0.8"), Verdict::Unknown);
        assert!(matches!(verdict(HASHED, 22), Verdict::Changed(_)));
    }

    #[test]
    fn the_kinds_of_known_keys_are_listed() {
        let text = entry(HOST, &key("ssh-rsa", "r")) + &entry("10.0.0.8", &ours());
        assert_eq!(
            with_names(HOST, 22, |names| known_algorithms(&text, names)),
            ["ssh-rsa"]
        );
    }

    #[test]
    fn a_line_has_the_form_of_openssh() {
        let line = line_of(&host_field(HOST, 2222), &ours()).unwrap();
        assert!(
            line.starts_with("[10.0.0.7]:2222 ssh-ed25519 AAAA"),
            "{line}"
        );
        assert!(
            line_of(HOST, &ours())
                .unwrap()
                .starts_with("10.0.0.7 ssh-ed25519 ")
        );
        assert_eq!(line_of(HOST, b"\0\0\0\xffnot"), None);
    }

    const HASHED: &str = "|1|2DEUkzN1hIv8apNLQ4Tbp/fzzxE=|D+DlqVK95IzboeP2zqqugh+SoOQ= ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAILxQrLnGKhlm496GPa9VTfcf26/6pAnbo0J+yntdUTCL";
}
