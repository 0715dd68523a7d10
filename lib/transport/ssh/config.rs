//! What OpenSSH's configuration says of a host, for what the cluster file leaves open.
//!
//! OpenSSH parses its files itself (`ssh -G`): `Match`, patterns and includes are its business. What
//! it says without any configuration is taken away from that, so that its defaults don't count as
//! somebody's wish. The login user isn't taken from there: scripts are made for it beforehand.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{bounded, openssh, setup};
use crate::model::{Host, Jump, SshConfig, SshSettings};
use crate::transport::TransportError;

/// Returns the host with everything filled in that its settings leave open. Without OpenSSH on this
/// machine nothing is. It has so long to say it.
///
/// # Errors
/// OpenSSH doesn't get to an end with its configuration.
pub(super) fn fill_in(host: &Host, limit: Duration) -> Result<Host, TransportError> {
    let mut host = host.clone();
    let ssh = &host.ssh;
    let is_open = !ssh.port_is_set
        || ssh.identity.is_none()
        || ssh.jump.is_empty()
        || ssh.known_hosts.is_none();
    let file = match &ssh.config {
        SshConfig::Off => return Ok(host),
        SshConfig::Usual => None,
        SshConfig::File(path) => Some(path.display().to_string()),
    };
    if !is_open {
        return Ok(host);
    }
    let destination = format!("{}@{}", ssh.user, host.address);
    let said = ask(file.as_deref(), &destination, limit)?;
    let usual = ask(Some("none"), &destination, limit)?;
    if let (Some(said), Some(usual)) = (said, usual) {
        apply(&mut host.ssh, &said, &usual);
    }
    Ok(host)
}

/// What OpenSSH says, by keyword; a keyword may have several values.
type Said = BTreeMap<String, Vec<String>>;

fn ask(
    file: Option<&str>,
    destination: &str,
    limit: Duration,
) -> Result<Option<Said>, TransportError> {
    let mut ssh = openssh::ssh();
    if let Some(file) = file {
        ssh.args(["-F", file]);
    }
    ssh.args(["-G", "--", destination]);
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

fn parse(text: &str) -> Said {
    let mut said = Said::new();
    for line in text.lines() {
        if let Some((keyword, value)) = line.split_once(' ') {
            let values = said.entry(keyword.to_ascii_lowercase()).or_default();
            values.push(value.trim().to_owned());
        }
    }
    said
}

fn apply(ssh: &mut SshSettings, said: &Said, usual: &Said) {
    // The first value that isn't there without a configuration.
    let own = |keyword: &str| {
        let usual = usual.get(keyword);
        let values = said.get(keyword)?;
        let mut own = values
            .iter()
            .filter(|value| !usual.is_some_and(|usual| usual.contains(*value)));
        own.next().filter(|value| *value != "none")
    };
    if !ssh.port_is_set
        && let Some(port) = own("port").and_then(|port| port.parse().ok())
    {
        ssh.port = port;
    }
    if ssh.identity.is_none() {
        ssh.identity = own("identityfile").map(|path| in_home(path));
    }
    if ssh.known_hosts.is_none() {
        let first = own("userknownhostsfile").and_then(|files| files.split(' ').next());
        ssh.known_hosts = first.map(in_home);
    }
    if ssh.jump.is_empty()
        && let Some(jumps) = own("proxyjump")
    {
        ssh.jump = jumps.split(',').filter_map(jump).collect();
    }
}

fn in_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// Reads `[user@]host[:port]`; an IPv6 address with a port stands in brackets.
fn jump(text: &str) -> Option<Jump> {
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
        Some(port) => port.parse().ok()?,
        None => 22,
    };
    (!host.is_empty()).then(|| Jump {
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

    const USUAL: &str = "port 22\nidentityfile ~/.ssh/id_rsa\nuserknownhostsfile /k /k2\n";

    #[test]
    fn only_what_somebody_configured_counts_and_only_where_nothing_is_set() {
        let mut ssh = open();
        apply(&mut ssh, &parse(USUAL), &parse(USUAL));
        assert_eq!(ssh, open());
        let said = "port 2222\nidentityfile /keys/deploy\nidentityfile ~/.ssh/id_rsa\n\
                    userknownhostsfile /site/known /k2\nproxyjump ada@gate:2200,inner,[fd00::1]:22\n";
        apply(&mut ssh, &parse(said), &parse(USUAL));
        assert_eq!(
            (ssh.port, ssh.identity),
            (2222, Some("/keys/deploy".into()))
        );
        assert_eq!(ssh.known_hosts, Some("/site/known".into()));
        let jumps: Vec<_> = ssh
            .jump
            .iter()
            .map(|j| (j.user.as_deref(), j.host.as_str(), j.port))
            .collect();
        assert_eq!(
            jumps,
            [
                (Some("ada"), "gate", 2200),
                (None, "inner", 22),
                (None, "fd00::1", 22)
            ]
        );
        let mut set = SshSettings {
            port_is_set: true,
            identity: Some("/mine".into()),
            ..open()
        };
        apply(&mut set, &parse(said), &parse(USUAL));
        assert_eq!((set.port, set.identity), (22, Some("/mine".into())));
    }
}
