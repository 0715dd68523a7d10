//! The pieces of keys, certificates and messages as SSH sends them (RFC 4251, section 5).

use base64ct::{Base64, Encoding};

/// Splits a string, which follows its length, off.
pub(super) fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Appends a string with its length before it.
pub(super) fn push_string(bytes: &mut Vec<u8>, string: &[u8]) {
    bytes.extend((string.len() as u32).to_be_bytes());
    bytes.extend(string);
}

/// Reads the name of its kind, with which every key begins.
pub(super) fn kind(key: &[u8]) -> Option<&str> {
    let (name, _) = split_string(key)?;
    str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// What a public key, or a certificate, looks like in its own file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Public {
    /// As it goes over the wire.
    pub(super) blob: Vec<u8>,
    /// Kind, Base64 and perhaps a comment.
    pub(super) line: String,
}

impl Public {
    /// Makes the line of a key.
    pub(super) fn of(blob: Vec<u8>) -> Option<Public> {
        let line = format!("{} {}", kind(&blob)?, Base64::encode_string(&blob));
        Some(Public { blob, line })
    }

    /// Reads the first key of a file's text.
    pub(super) fn read(text: &str) -> Option<Public> {
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (name, encoded) = (words.next()?, words.next()?);
            let blob = Base64::decode_vec(encoded).ok()?;
            (kind(&blob)? == name).then(|| Public {
                blob,
                line: line.trim().to_owned(),
            })
        })
    }

    /// Reads the public half of a private key in OpenSSH's own format, which isn't encrypted.
    pub(super) fn of_private(text: &str) -> Option<Public> {
        let (_, rest) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?;
        let (body, _) = rest.split_once("-----END")?;
        let body: String = body.split_whitespace().collect();
        let bytes = Base64::decode_vec(&body).ok()?;
        let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
        // Cipher, and how the passphrase is made a key of.
        for _ in 0..3 {
            rest = split_string(rest)?.1;
        }
        let (blob, _) = split_string(rest.get(4..)?)?;
        Public::of(blob.to_vec())
    }
}

/// The plain key that a certificate is for.
pub(super) fn certified_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let name = kind(certificate)?;
    let plain = name.strip_suffix("-cert-v01@openssh.com")?;
    // A key of a hardware token has its application's name behind the rest.
    let (kind, fields) = match plain {
        "ssh-ed25519" => (plain.to_owned(), 1),
        "sk-ssh-ed25519" => (format!("{plain}@openssh.com"), 2),
        "sk-ecdsa-sha2-nistp256" => (format!("{plain}@openssh.com"), 3),
        "ssh-rsa" => (plain.to_owned(), 2),
        _ if plain.starts_with("ecdsa-sha2-") => (plain.to_owned(), 2),
        _ => return None,
    };
    let (_, rest) = split_string(certificate)?;
    let (_nonce, mut rest) = split_string(rest)?;
    let mut key = Vec::new();
    push_string(&mut key, kind.as_bytes());
    for _ in 0..fields {
        let (field, after) = split_string(rest)?;
        push_string(&mut key, field);
        rest = after;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    fn keygen(arguments: &[&str]) {
        let made = Command::new("ssh-keygen")
            .arg("-q")
            .args(arguments)
            .status();
        assert!(made.unwrap().success());
    }

    #[test]
    fn public_halves_and_certificates_of_every_kind_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        keygen(&["-t", "ed25519", "-N", "", "-f", &path("ca")]);
        for (kind, passphrase) in [("ed25519", ""), ("ecdsa", "encrypted"), ("rsa", "")] {
            let key = path(kind);
            keygen(&["-t", kind, "-N", passphrase, "-f", &key]);
            let line = fs::read_to_string(format!("{key}.pub")).unwrap();
            let public = Public::read(&line).unwrap();
            let private = fs::read_to_string(&key).unwrap();
            assert_eq!(Public::of_private(&private).unwrap().blob, public.blob);
            keygen(&["-s", &path("ca"), "-I", "x", &format!("{key}.pub")]);
            let text = fs::read_to_string(format!("{key}-cert.pub")).unwrap();
            let certificate = Public::read(&text).unwrap();
            assert_eq!(certified_key(&certificate.blob).unwrap(), public.blob);
            for length in 0..certificate.blob.len() {
                // Whatever is cut short is no other key.
                let cut = certified_key(&certificate.blob[..length]);
                assert!(cut.is_none_or(|key| key == public.blob));
            }
        }
        for text in ["", "ssh-ed25519", "ssh-rsa AAAA", "no key at all", "a\nb c"] {
            assert_eq!(Public::read(text), None, "{text}");
            assert_eq!(Public::of_private(text), None, "{text}");
        }
    }
}
