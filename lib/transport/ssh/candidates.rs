//! Which keys a server is offered, in which order: as OpenSSH does it, since a server takes only a
//! few (`MaxAuthTries`).

use std::path::{Path, PathBuf};

use ssh2::{Agent, PublicKey, Session};

use super::agent_relay::Relay;
use super::blob::{Public, certified_key, kind};
use super::config::{Keys, NamedBy};
use super::identity;

/// One key to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Candidate {
    /// The agent's, by its place in the agent's list; and the file of the same key.
    Agent { at: usize, file: Option<PathBuf> },
    /// One of a file, with a certificate or without.
    File {
        path: PathBuf,
        certificate: Option<Public>,
    },
}

/// A key's file, and what is known of it without a passphrase.
struct Named<'a> {
    path: &'a Path,
    plain: Option<Public>,
    certificates: Vec<Public>,
}

/// The agent, if there is one, and its keys.
pub(super) struct AgentKeys {
    pub(super) agent: Agent,
    pub(super) keys: Vec<PublicKey>,
    /// Only where libssh2 needs help with them.
    _relay: Option<Relay>,
}

impl AgentKeys {
    /// Asks the agent behind a socket; the error says why there's none.
    pub(super) fn ask(session: &Session, socket: &Path, keys: &Keys) -> Result<AgentKeys, String> {
        let failed = |why: &str| format!("{}: {why}", socket.display());
        let reach = |socket: &Path| -> Result<AgentKeys, ssh2::Error> {
            let mut agent = session.agent()?;
            agent.set_identity_path(socket)?;
            agent.connect()?;
            agent.list_identities()?;
            let keys = agent.identities()?;
            Ok(AgentKeys {
                agent,
                keys,
                _relay: None,
            })
        };
        let plain = reach(socket).map_err(|error| failed(error.message()))?;
        let certificates = certificates(keys);
        if !plain.needs_help(&certificates) {
            return Ok(plain);
        }
        let relay = Relay::start(socket, &certificates).map_err(|e| failed(&e.to_string()))?;
        let mut helped = reach(&relay.socket()).map_err(|error| failed(error.message()))?;
        helped._relay = Some(relay);
        Ok(helped)
    }

    /// Tells whether the agent has keys that libssh2 can't use by itself.
    fn needs_help(&self, certificates: &[Public]) -> bool {
        let has = |blob: &[u8]| self.keys.iter().any(|key| key.blob() == blob);
        let is_hard = |key: &PublicKey| {
            kind(key.blob())
                .is_some_and(|kind| kind.starts_with("sk-") || kind.contains("rsa-cert"))
        };
        self.keys.iter().any(is_hard)
            || certificates
                .iter()
                .any(|one| certified_key(&one.blob).is_some_and(|plain| has(&plain)))
    }
}

/// All certificates in files: the named ones, or else, as OpenSSH has it, those beside the keys.
fn certificates(keys: &Keys) -> Vec<Public> {
    if keys.certificates.is_empty() {
        let beside = |path: &PathBuf| identity::certificate_beside(path);
        return keys.files.iter().filter_map(beside).collect();
    }
    let read = |path: &PathBuf| Public::read(&std::fs::read_to_string(path).ok()?);
    keys.certificates.iter().filter_map(read).collect()
}

/// Puts the keys in order. The one that the cluster file names comes first, from the agent or its
/// file; otherwise as in OpenSSH: those of the agent that are named, its others unless only the named
/// ones count, and then the files.
pub(super) fn in_order(keys: &Keys, agent: &[Vec<u8>]) -> Vec<Candidate> {
    let certificates = certificates(keys);
    let named: Vec<Named<'_>> = keys
        .files
        .iter()
        .map(|path| named(path, &certificates))
        .collect();
    let file_of = |blob: &Vec<u8>| {
        named.iter().find(|named| {
            let publics = named.plain.iter().chain(&named.certificates);
            publics.into_iter().any(|public| public.blob == *blob)
        })
    };
    let mut chosen = Vec::new();
    let mut others = Vec::new();
    for (at, blob) in agent.iter().enumerate() {
        match file_of(blob) {
            Some(named) => chosen.push(Candidate::Agent {
                at,
                file: Some(named.path.to_owned()),
            }),
            None if !keys.only_these => others.push(Candidate::Agent { at, file: None }),
            None => {}
        }
    }
    let is_with_agent = |public: &Public| agent.contains(&public.blob);
    let mut files = Vec::new();
    for named in &named {
        let mut add = |certificate: Option<&Public>| {
            files.push(Candidate::File {
                path: named.path.to_owned(),
                certificate: certificate.cloned(),
            });
        };
        // The certificate first: where one is set up, the bare key mostly isn't known.
        let certificates = named.certificates.iter();
        for certificate in certificates.filter(|certificate| !is_with_agent(certificate)) {
            add(Some(certificate));
        }
        if !named.plain.as_ref().is_some_and(is_with_agent) {
            add(None);
        }
    }
    match keys.named_by {
        NamedBy::ClusterFile => [chosen, files, others].concat(),
        NamedBy::Configuration | NamedBy::Nobody => [chosen, others, files].concat(),
    }
}

fn named<'a>(path: &'a Path, certificates: &[Public]) -> Named<'a> {
    let plain = identity::public_half(path);
    let fits = |certificate: &&Public| {
        let of = certified_key(&certificate.blob);
        of.is_some() && of == plain.as_ref().map(|plain| plain.blob.clone())
    };
    Named {
        certificates: certificates.iter().filter(fits).cloned().collect(),
        path,
        plain,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::blob::push_string;
    use super::*;

    fn blob(name: &str) -> Vec<u8> {
        let mut blob = Vec::new();
        push_string(&mut blob, b"ssh-ed25519");
        push_string(&mut blob, name.as_bytes());
        blob
    }

    fn keys(folder: &Path, names: &[&str], named_by: NamedBy) -> Keys {
        for name in names {
            let line = Public::of(blob(name)).unwrap().line;
            fs::write(folder.join(format!("{name}.pub")), line).unwrap();
        }
        Keys {
            files: names.iter().map(|name| folder.join(name)).collect(),
            named_by,
            certificates: Vec::new(),
            agent: None,
            only_these: false,
        }
    }

    /// `a0` is the agent's first key, `one` a file.
    fn shown(candidates: &[Candidate]) -> String {
        let words: Vec<String> = candidates
            .iter()
            .map(|candidate| match candidate {
                Candidate::Agent { at, .. } => format!("a{at}"),
                Candidate::File { path, .. } => {
                    path.file_name().unwrap().to_string_lossy().into_owned()
                }
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn keys_come_in_openssh_s_order_and_the_cluster_file_s_first() {
        let folder = tempfile::tempdir().unwrap();
        let agent = [blob("other"), blob("two")];
        let order = |named_by, only_these| {
            let mut keys = keys(folder.path(), &["one", "two", "three"], named_by);
            keys.only_these = only_these;
            shown(&in_order(&keys, &agent))
        };
        assert_eq!(order(NamedBy::Configuration, false), "a1 a0 one three");
        assert_eq!(order(NamedBy::Configuration, true), "a1 one three");
        assert_eq!(order(NamedBy::ClusterFile, false), "a1 one three a0");
        assert_eq!(order(NamedBy::Nobody, false), "a1 a0 one three");
    }

    #[test]
    fn a_key_of_the_agent_s_knows_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), &["one"], NamedBy::ClusterFile);
        let candidates = in_order(&keys, &[blob("one")]);
        let [Candidate::Agent { at: 0, file }] = candidates.as_slice() else {
            panic!("{candidates:?}");
        };
        assert_eq!(file.as_deref(), Some(folder.path().join("one").as_path()));
    }
}
