//! How one host is logged in to: the cluster file's settings, and what OpenSSH's configuration says
//! where the cluster file leaves something open.
//!
//! OpenSSH parses its files itself (`ssh -G`): `Match`, patterns and includes are its business. What
//! it says without any configuration is taken away from that, so that its defaults don't count as
//! somebody's wish. The login user isn't taken from there: scripts are made for it beforehand.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh2::{MethodType, Session};

use super::known_hosts::host_field;
use super::tokens::{Tokens, in_home};
use super::unhonoured::{self, Unhonoured};
use super::{bounded, openssh, setup};
use crate::model::{Host, SshConfig, SshSettings};
use crate::transport::TransportError;

/// The keys that are tried when nobody names one.
const USUAL_KEYS: [&str; 5] = [
    "id_rsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
];

/// Everything that a login to one host goes by.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The host's address and settings as the cluster file has them.
    pub(super) address: IpAddr,
    pub(super) ssh: SshSettings,
    /// What is connected to: the address, or the `HostName` that is configured for it.
    pub(super) name: String,
    /// The port there.
    pub(super) port: u16,
    /// What known_hosts calls the host: with its port, or by its `HostKeyAlias`.
    pub(super) key_name: String,
    /// The same without a port.
    pub(super) plain_key_name: String,
    /// The way there.
    pub(super) way: Way,
    /// The keys, and how they're chosen.
    pub(super) keys: Keys,
    /// The methods of logging in, in the order in which they're tried.
    pub(super) methods: Vec<String>,
    /// The files of known host keys; new ones are noted in the first.
    pub(super) known_hosts: Vec<PathBuf>,
    /// The site's own files of known host keys.
    pub(super) site_known_hosts: Vec<PathBuf>,
    /// Algorithms in an order of somebody's own.
    pub(super) algorithms: Algorithms,
    /// What is configured and not done here.
    pub(super) unhonoured: Vec<Unhonoured>,
}

/// A way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight.
    Straight,
    /// Through these hosts, outermost first.
    Through(Vec<Hop>),
    /// Over the input and output of this command, its tokens replaced; and before that.
    Command(String, String),
}

/// A host on the way to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) user: Option<String>,
    pub(super) host: String,
    /// Only where it was named; else OpenSSH's configuration may know another than 22.
    pub(super) port: Option<u16>,
}

/// Which keys are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// Files of keys, of public halves that choose a key of the agent's, or that aren't there.
    pub(super) files: Vec<PathBuf>,
    /// Whether somebody named these files; else they're the usual ones.
    pub(super) named_by: NamedBy,
    /// Certificates beside those that lie beside the keys.
    pub(super) certificates: Vec<PathBuf>,
    /// The agent's socket, if there is one.
    pub(super) agent: Option<PathBuf>,
    /// Whether the agent's other keys stay out of it.
    pub(super) only_these: bool,
}

/// Who named the files of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// The cluster file.
    ClusterFile,
    /// OpenSSH's configuration.
    Configuration,
    /// Nobody.
    Nobody,
}

/// Algorithms in OpenSSH's notation, best first, where somebody configured them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Algorithms {
    pub(super) kex: Option<String>,
    pub(super) ciphers: Option<String>,
    pub(super) macs: Option<String>,
    pub(super) host_keys: Option<String>,
}

impl Algorithms {
    /// Asks for these in a session; what libssh2 doesn't have it leaves out.
    pub(super) fn prefer(&self, session: &Session) {
        for (kinds, wanted) in [
            (vec![MethodType::Kex], &self.kex),
            (
                vec![MethodType::CryptCs, MethodType::CryptSc],
                &self.ciphers,
            ),
            (vec![MethodType::MacCs, MethodType::MacSc], &self.macs),
        ] {
            for kind in kinds {
                if let Some(wanted) = wanted {
                    // Where it has none of them it keeps its own order.
                    let _ = session.method_pref(kind, wanted);
                }
            }
        }
    }
}

/// Finds out how a host is logged in to. Without OpenSSH on this machine the cluster file says all.
/// OpenSSH has so long to say what is configured.
///
/// # Errors
/// OpenSSH doesn't get to an end with its configuration.
pub(super) fn target(host: &Host, limit: Duration) -> Result<Target, TransportError> {
    let file = match &host.ssh.config {
        SshConfig::Off => {
            return Ok(merge(
                host.address,
                &host.ssh,
                &Said::default(),
                &Said::default(),
            ));
        }
        SshConfig::Usual => None,
        SshConfig::File(path) => Some(path.display().to_string()),
    };
    let said = ask(file.as_deref(), host, limit)?;
    let usual = ask(Some("none"), host, limit)?;
    Ok(match (said, usual) {
        (Some(said), Some(usual)) => merge(host.address, &host.ssh, &said, &usual),
        _ => merge(host.address, &host.ssh, &Said::default(), &Said::default()),
    })
}

/// What OpenSSH says, by keyword; a keyword may have several values.
#[derive(Debug, Default)]
pub(super) struct Said(BTreeMap<String, Vec<String>>);

impl Said {
    /// All values of a keyword.
    pub(super) fn all(&self, keyword: &str) -> &[String] {
        self.0.get(keyword).map_or(&[], Vec::as_slice)
    }

    fn first(&self, keyword: &str) -> Option<&str> {
        self.all(keyword).first().map(String::as_str)
    }

    pub(super) fn keywords(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn ask(file: Option<&str>, host: &Host, limit: Duration) -> Result<Option<Said>, TransportError> {
    let mut ssh = openssh::ssh();
    if let Some(file) = file {
        ssh.args(["-F", file]);
    }
    let destination = host.address.to_string();
    ssh.args(["-l", &host.ssh.user, "-G", "--", &destination]);
    match bounded::output(&mut ssh, limit) {
        Ok((status, text)) if status.success() => Ok(Some(parse(&String::from_utf8_lossy(&text)))),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(setup(&format!(
            "`ssh -G {destination}`, which tells what OpenSSH's configuration says of the host, \
             didn't end within {} s; does a `Match exec` there hang, or a name server? `ssh.config: \
             false` in the cluster file passes it over",
            limit.as_secs()
        ))),
        _ => Ok(None),
    }
}

/// Reads an answer of `ssh -G`, for a test.
#[cfg(test)]
pub(super) fn said(text: &str) -> Said {
    parse(text)
}

fn parse(text: &str) -> Said {
    let mut said = Said::default();
    for line in text.lines() {
        if let Some((keyword, value)) = line.split_once(' ') {
            let values = said.0.entry(keyword.to_ascii_lowercase()).or_default();
            values.push(value.trim().to_owned());
        }
    }
    said
}

fn merge(address: IpAddr, ssh: &SshSettings, said: &Said, usual: &Said) -> Target {
    // A value only counts where it isn't there without a configuration.
    let own = |keyword: &str| {
        let value = said.first(keyword)?;
        (usual.first(keyword) != Some(value)).then_some(value)
    };
    let original = address.to_string();
    let name = own("hostname").unwrap_or(&original).to_owned();
    let port = match own("port").and_then(|port| port.parse().ok()) {
        Some(port) if !ssh.port_is_set => port,
        _ => ssh.port,
    };
    let (key_name, plain_key_name) = match own("hostkeyalias") {
        Some(alias) => (alias.to_owned(), alias.to_owned()),
        None => (host_field(&name, port), name.clone()),
    };
    let tokens = Tokens {
        name: &name,
        original: &original,
        key_name: &plain_key_name,
        port,
        user: &ssh.user,
    };
    let mut unhonoured = unhonoured::settings(said, usual);
    let way = way(ssh, own("proxycommand"), own("proxyjump"), &tokens).unwrap_or_else(|token| {
        let value = own("proxycommand").unwrap_or_default();
        unhonoured.push(Unhonoured::token("ProxyCommand", value, &token));
        Way::Straight
    });
    let keys = keys(ssh, said, usual, &tokens, &mut unhonoured);
    let owned = |keyword| own(keyword).map(str::to_owned);
    Target {
        known_hosts: match &ssh.known_hosts {
            Some(file) => vec![file.clone()],
            None => match own("userknownhostsfile") {
                Some(files) => paths(files),
                None => usual_known_hosts(),
            },
        },
        site_known_hosts: match (&ssh.known_hosts, own("globalknownhostsfile")) {
            // The file that the cluster file names is the only one that counts.
            (Some(_), _) => Vec::new(),
            (None, Some(files)) => paths(files),
            (None, None) => paths("/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"),
        },
        methods: methods(said),
        algorithms: Algorithms {
            kex: owned("kexalgorithms"),
            ciphers: owned("ciphers"),
            macs: owned("macs"),
            host_keys: owned("hostkeyalgorithms"),
        },
        ssh: ssh.clone(),
        address,
        way,
        keys,
        unhonoured,
        name,
        port,
        key_name,
        plain_key_name,
    }
}

/// The way to a host; the error is a token of the ProxyCommand that isn't known.
fn way(
    ssh: &SshSettings,
    command: Option<&str>,
    jumps: Option<&str>,
    tokens: &Tokens<'_>,
) -> Result<Way, String> {
    if !ssh.jump.is_empty() {
        let hops = ssh.jump.iter().map(|jump| Hop {
            user: jump.user.clone(),
            host: jump.host.clone(),
            port: (jump.port != 22).then_some(jump.port),
        });
        return Ok(Way::Through(hops.collect()));
    }
    let given = |value: Option<&str>| value.filter(|value| *value != "none").map(str::to_owned);
    if let Some(command) = given(command) {
        let ready = tokens.expand(&command)?;
        return Ok(Way::Command(ready, command));
    }
    let hops: Vec<Hop> = given(jumps)
        .map(|jumps| jumps.split(',').filter_map(hop).collect())
        .unwrap_or_default();
    Ok(match hops.is_empty() {
        true => Way::Straight,
        false => Way::Through(hops),
    })
}

fn keys(
    ssh: &SshSettings,
    said: &Said,
    usual: &Said,
    tokens: &Tokens<'_>,
    unhonoured: &mut Vec<Unhonoured>,
) -> Keys {
    let mut files_of = |keyword: &str, shown: &str| {
        let mut files = Vec::new();
        for value in said.all(keyword).iter().filter(|value| *value != "none") {
            match tokens.path(value) {
                Ok(path) => files.push(path),
                Err(token) => unhonoured.push(Unhonoured::token(shown, value, &token)),
            }
        }
        files
    };
    let (files, named_by) = match &ssh.identity {
        Some(file) => (vec![file.clone()], NamedBy::ClusterFile),
        None if said.all("identityfile") != usual.all("identityfile") => (
            files_of("identityfile", "IdentityFile"),
            NamedBy::Configuration,
        ),
        None => {
            let usual = USUAL_KEYS.map(|name| in_home(&format!("~/.ssh/{name}")));
            (usual.to_vec(), NamedBy::Nobody)
        }
    };
    Keys {
        files,
        named_by,
        certificates: files_of("certificatefile", "CertificateFile"),
        agent: agent(said.first("identityagent"), tokens, unhonoured),
        only_these: said.first("identitiesonly") == Some("yes"),
    }
}

/// The agent's socket: `IdentityAgent`, or what the environment says.
fn agent(
    configured: Option<&str>,
    tokens: &Tokens<'_>,
    unhonoured: &mut Vec<Unhonoured>,
) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let socket = match configured {
        None | Some("SSH_AUTH_SOCK") => variable("SSH_AUTH_SOCK"),
        Some("none") => None,
        Some(text) => match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
            Some(name) => variable(name),
            None => match tokens.path(text) {
                Ok(path) => Some(path),
                Err(token) => {
                    unhonoured.push(Unhonoured::token("IdentityAgent", text, &token));
                    None
                }
            },
        },
    };
    socket.filter(|path| !path.as_os_str().is_empty())
}

/// The methods that this tool knows, in OpenSSH's order or the configured one, without those that
/// are turned off.
fn methods(said: &Said) -> Vec<String> {
    let order = said
        .first("preferredauthentications")
        .unwrap_or("publickey,keyboard-interactive,password");
    let is_off = |method: &str| {
        let keyword = match method {
            "publickey" => "pubkeyauthentication",
            "password" => "passwordauthentication",
            "keyboard-interactive" => "kbdinteractiveauthentication",
            _ => return true,
        };
        matches!(said.first(keyword), Some("no" | "false"))
    };
    order
        .split(',')
        .map(str::trim)
        .filter(|method| !is_off(method))
        .map(str::to_owned)
        .collect()
}

/// Splits the files of one keyword. A space that no path follows belongs to a name.
fn paths(files: &str) -> Vec<PathBuf> {
    let mut paths: Vec<String> = Vec::new();
    for word in files.split(' ') {
        match paths.last_mut() {
            Some(last) if !word.starts_with(['/', '~']) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => paths.push(word.to_owned()),
        }
    }
    let is_file = |path: &String| path != "none" && !path.is_empty();
    paths
        .iter()
        .filter(|path| is_file(path))
        .map(|path| in_home(path))
        .collect()
}

fn usual_known_hosts() -> Vec<PathBuf> {
    let in_folder = |name: &str| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".ssh").join(name))
    };
    ["known_hosts", "known_hosts2"]
        .into_iter()
        .filter_map(in_folder)
        .collect()
}

/// Reads `[user@]host[:port]`; an IPv6 address with a port stands in brackets.
fn hop(text: &str) -> Option<Hop> {
    let text = text.trim();
    let text = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None if rest.matches(':').count() == 1 => {
            let (host, port) = rest.split_once(':')?;
            (host, Some(port))
        }
        None => (rest, None),
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then(|| Hop {
        user,
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostKeyPolicy;

    fn open() -> SshSettings {
        SshSettings {
            user: "paas".into(),
            port: 22,
            port_is_set: false,
            identity: None,
            password: None,
            jump: Vec::new(),
            known_hosts: None,
            host_keys: HostKeyPolicy::AcceptNew,
            config: SshConfig::Usual,
        }
    }

    const USUAL: &str = "hostname 10.0.0.7\nport 22\nidentityfile ~/.ssh/id_rsa\nidentitiesonly no\n\
                         userknownhostsfile /k /k2\nbatchmode no\n";

    fn merged(ssh: &SshSettings, more: &str) -> Target {
        let address = "10.0.0.7".parse().unwrap();
        // The first line of a keyword counts.
        merge(
            address,
            ssh,
            &parse(&format!("{more}{USUAL}")),
            &parse(USUAL),
        )
    }

    #[test]
    fn nothing_counts_that_nobody_configured() {
        let target = merged(&open(), "");
        assert_eq!((target.name.as_str(), target.port), ("10.0.0.7", 22));
        assert_eq!(target.way, Way::Straight);
        assert_eq!(target.keys.named_by, NamedBy::Nobody);
        assert_eq!(
            target.methods,
            ["publickey", "keyboard-interactive", "password"]
        );
        assert_eq!(target.unhonoured.len(), 0, "{:?}", target.unhonoured);
    }

    #[test]
    fn what_is_configured_counts_where_the_file_leaves_it_open() {
        let said = "port 2222\nhostname real\nhostkeyalias alias\nidentityfile /keys/%h\n\
                    identityfile /keys/%C\nuserknownhostsfile /site/known it /k2\n\
                    proxyjump ada@gate:2200,inner,[fd00::1]:22\nidentityagent none\n\
                    preferredauthentications password,gssapi-with-mic,publickey\n\
                    pubkeyauthentication false\nidentitiesonly yes\n";
        let target = merged(&open(), said);
        assert_eq!((target.name.as_str(), target.port), ("real", 2222));
        assert_eq!(target.key_name, "alias");
        assert_eq!(target.keys.files[0], PathBuf::from("/keys/real"));
        assert!(target.keys.only_these && target.keys.agent.is_none());
        assert_eq!(
            target.known_hosts,
            [PathBuf::from("/site/known it"), PathBuf::from("/k2")]
        );
        assert_eq!(target.methods, ["password"]);
        let Way::Through(hops) = target.way else {
            panic!("{:?}", target.way)
        };
        let hops: Vec<_> = hops
            .iter()
            .map(|hop| (hop.user.as_deref(), hop.host.as_str(), hop.port))
            .collect();
        assert_eq!(
            hops,
            [
                (Some("ada"), "gate", Some(2200)),
                (None, "inner", None),
                (None, "fd00::1", Some(22))
            ]
        );
        let told: Vec<_> = target.unhonoured.iter().map(ToString::to_string).collect();
        assert!(
            told.iter()
                .any(|text| text.contains("/keys/%C") && text.contains("%C"))
        );
        let mut set = open();
        set.port_is_set = true;
        set.identity = Some("/mine".into());
        let target = merged(&set, said);
        assert_eq!((target.port, target.keys.files.len()), (22, 1));
        assert_eq!(target.keys.named_by, NamedBy::ClusterFile);
    }

    #[test]
    fn a_command_is_ready_to_run_and_a_jump_of_the_file_wins() {
        let said = "proxycommand nc %h %p 100%%\n";
        let way = merged(&open(), said).way;
        let command = "nc 10.0.0.7 22 100%".to_owned();
        assert_eq!(way, Way::Command(command, "nc %h %p 100%%".into()));
        let mut through = open();
        through.jump = vec![crate::model::Jump {
            user: None,
            host: "gate".into(),
            port: 22,
        }];
        assert!(matches!(merged(&through, said).way, Way::Through(_)));
        let unknown = merged(&open(), "proxycommand nc %h %C\n");
        assert!(unknown.unhonoured[0].to_string().contains("%C"));
    }
}
