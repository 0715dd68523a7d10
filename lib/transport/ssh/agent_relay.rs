//! Stands between libssh2 and the agent where libssh2 can't use what the agent has: a key whose
//! certificate only lies in a file, an RSA certificate, a key on a hardware token. It signs nothing
//! itself and holds no key.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::blob::{Public, certified_key, kind, push_string, split_string};

/// The messages of the agent's protocol (draft-ietf-sshm-ssh-agent) that are looked into.
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGNATURE: u8 = 14;

/// OpenSSH's own limit.
const LONGEST_MESSAGE: usize = 256 * 1024;

/// How an agent is asked for an RSA signature with another digest than SHA-1.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// A socket that speaks for the agent.
pub(super) struct Relay {
    folder: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Opens the socket; `certificates` are shown as the agent's where it has their keys.
    pub(super) fn start(agent: &Path, certificates: &[Public]) -> io::Result<Relay> {
        // Its folder is its owner's alone.
        let folder = tempfile::Builder::new().prefix("pcb-agent").tempdir()?;
        let listener = UnixListener::bind(folder.path().join("s"))?;
        let (agent, certificates) = (agent.to_owned(), certificates.to_vec());
        let thread = thread::spawn(move || {
            // One login has one connection; where it ends, so does this.
            if let Ok((client, _)) = listener.accept()
                && let Ok(agent) = UnixStream::connect(agent)
            {
                let _ = pass_on(client, agent, &certificates);
            }
        });
        Ok(Relay {
            folder,
            thread: Some(thread),
        })
    }

    /// The socket's path.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Where nobody ever came, the thread still waits for somebody.
        drop(UnixStream::connect(self.socket()));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Passes questions and answers on until one side ends.
fn pass_on(
    mut client: UnixStream,
    mut agent: UnixStream,
    certificates: &[Public],
) -> io::Result<()> {
    loop {
        let question = read_message(&mut client)?;
        let to_agent = match question.first() {
            Some(&SIGN_REQUEST) => for_agent(&question).unwrap_or_else(|| question.clone()),
            _ => question.clone(),
        };
        write_message(&mut agent, &to_agent)?;
        let answer = read_message(&mut agent)?;
        let changed = match (question.first(), answer.first()) {
            (Some(&REQUEST_IDENTITIES), Some(&IDENTITIES)) => with_more(&answer, certificates),
            (Some(&SIGN_REQUEST), Some(&SIGNATURE)) => for_libssh2(&answer),
            _ => None,
        };
        write_message(&mut client, changed.as_ref().unwrap_or(&answer))?;
    }
}

/// Adds certificates to the agent's list.
fn with_more(answer: &[u8], certificates: &[Public]) -> Option<Vec<u8>> {
    let (count, mut rest) = answer.get(1..)?.split_first_chunk::<4>()?;
    let mut keys = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (key, after) = split_string(rest)?;
        let (comment, after) = split_string(after)?;
        keys.push((key.to_vec(), comment.to_vec()));
        rest = after;
    }
    for certificate in certificates {
        let Some(plain) = certified_key(&certificate.blob) else {
            continue;
        };
        let is_there = keys.iter().any(|(key, _)| *key == certificate.blob);
        let of = keys.iter().find(|(key, _)| *key == plain);
        if let (false, Some((_, comment))) = (is_there, of) {
            let comment = comment.clone();
            keys.push((certificate.blob.clone(), comment));
        }
    }
    let mut list = vec![IDENTITIES];
    list.extend((keys.len() as u32).to_be_bytes());
    for (key, comment) in keys {
        push_string(&mut list, &key);
        push_string(&mut list, &comment);
    }
    Some(list)
}

/// Asks for the signature of the plain key that a certificate is for, and with the digest that is
/// named in what is signed.
fn for_agent(question: &[u8]) -> Option<Vec<u8>> {
    let (key, rest) = split_string(question.get(1..)?)?;
    let (signed, flags) = split_string(rest)?;
    let flags = u32::from_be_bytes(*flags.first_chunk::<4>()?);
    let plain = certified_key(key).unwrap_or_else(|| key.to_vec());
    let flags = match signing_method(signed)? {
        name if name.starts_with("rsa-sha2-512") => RSA_SHA2_512,
        name if name.starts_with("rsa-sha2-256") => RSA_SHA2_256,
        _ => flags,
    };
    let mut request = vec![SIGN_REQUEST];
    push_string(&mut request, &plain);
    push_string(&mut request, signed);
    request.extend(flags.to_be_bytes());
    Some(request)
}

/// Reads the algorithm from what is signed (RFC 4252, section 7).
fn signing_method(signed: &[u8]) -> Option<&str> {
    let (_session, rest) = split_string(signed)?;
    let (_user, rest) = split_string(rest.get(1..)?)?;
    let (_service, rest) = split_string(rest)?;
    let (_publickey, rest) = split_string(rest)?;
    let (name, _) = split_string(rest.get(1..)?)?;
    str::from_utf8(name).ok()
}

/// Libssh2 takes only a signature's first piece. That of a token's key has two more, which it would
/// send on if they were part of the first.
fn for_libssh2(answer: &[u8]) -> Option<Vec<u8>> {
    let (signature, _) = split_string(answer.get(1..)?)?;
    if !kind(signature)?.starts_with("sk-") {
        return None;
    }
    let (name, pieces) = split_string(signature)?;
    let mut changed = Vec::new();
    push_string(&mut changed, name);
    push_string(&mut changed, pieces);
    let mut message = vec![SIGNATURE];
    push_string(&mut message, &changed);
    Some(message)
}

fn read_message(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write_message(stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
    let mut framed = Vec::with_capacity(message.len() + 4);
    push_string(&mut framed, message);
    stream.write_all(&framed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(pieces: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in pieces {
            push_string(&mut bytes, piece);
        }
        bytes
    }

    fn list(keys: &[&[u8]]) -> Vec<u8> {
        let mut list = vec![IDENTITIES];
        list.extend((keys.len() as u32).to_be_bytes());
        for key in keys {
            list.extend(strings(&[key, b"comment"]));
        }
        list
    }

    #[test]
    fn a_certificate_is_shown_where_the_agent_has_its_key() {
        let plain = strings(&[b"ssh-ed25519", b"point"]);
        let blob = strings(&[b"ssh-ed25519-cert-v01@openssh.com", b"nonce", b"point"]);
        let certificate = Public::of(blob.clone()).unwrap();
        let certificates = std::slice::from_ref(&certificate);
        let with = list(&[&plain, &blob]);
        assert_eq!(with_more(&list(&[&plain]), certificates).unwrap(), with);
        assert_eq!(with_more(&with, certificates).unwrap(), with);
        let none = list(&[]);
        assert_eq!(with_more(&none, certificates).unwrap(), none);
        for length in 0..with.len() {
            assert_eq!(with_more(&with[..length], certificates), None, "{length}");
        }
    }

    #[test]
    fn a_certificate_s_signature_is_its_key_s_with_the_digest_that_is_named() {
        let plain = strings(&[b"ssh-rsa", b"e", b"n"]);
        let blob = strings(&[b"ssh-rsa-cert-v01@openssh.com", b"nonce", b"e", b"n"]);
        let mut signed = strings(&[b"session"]);
        signed.push(50);
        signed.extend(strings(&[b"ada", b"ssh-connection", b"publickey"]));
        signed.push(1);
        signed.extend(strings(&[b"rsa-sha2-512-cert-v01@openssh.com", &blob]));
        let request = |key: &[u8], flags: u32| {
            let mut request = vec![SIGN_REQUEST];
            request.extend(strings(&[key, &signed]));
            request.extend(flags.to_be_bytes());
            request
        };
        let asked = for_agent(&request(&blob, 0)).unwrap();
        assert_eq!(asked, request(&plain, RSA_SHA2_512));
    }

    #[test]
    fn a_token_s_signature_becomes_one_piece_and_others_stay() {
        let mut pieces = strings(&[b"raw"]);
        pieces.extend([1, 0, 0, 0, 9]);
        let name: &[u8] = b"sk-ssh-ed25519@openssh.com";
        let mut signature = strings(&[name]);
        signature.extend(&pieces);
        let mut answer = vec![SIGNATURE];
        answer.extend(strings(&[&signature]));
        let mut expected = vec![SIGNATURE];
        expected.extend(strings(&[&strings(&[name, &pieces])]));
        assert_eq!(for_libssh2(&answer).unwrap(), expected);
        let mut plain = vec![SIGNATURE];
        plain.extend(strings(&[&strings(&[b"ssh-ed25519", b"raw"])]));
        assert_eq!(for_libssh2(&plain), None);
    }
}
