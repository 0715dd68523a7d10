//! Whether an authority of known_hosts vouches for a host. libssh2 doesn't know host certificates,
//! so OpenSSH is asked: it makes a key exchange of its own, and judges signature, principals, validity
//! and revocation. What it accepted is a certificate *of a key*; that the host has this key, libssh2
//! sees in its own key exchange.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::config::Target;
use super::openssh;
use super::{setup, through};
use crate::transport::TransportError;

/// What a certificate that OpenSSH accepted says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certified {
    /// The kind of the key: `ssh-ed25519`.
    pub(super) kind: String,
    /// The key's fingerprint, as OpenSSH prints it.
    pub(super) fingerprint: String,
}

/// Only these: without a certificate there is no key exchange.
const CERTIFICATES: &str = "ssh-ed25519-cert-v01@openssh.com,\
    ecdsa-sha2-nistp256-cert-v01@openssh.com,ecdsa-sha2-nistp384-cert-v01@openssh.com,\
    ecdsa-sha2-nistp521-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,\
    rsa-sha2-256-cert-v01@openssh.com";

/// Asks OpenSSH for the certified key of a host; `None`: it shows no certificate that counts.
/// `marked` is what known_hosts says of authorities and revoked keys, and nothing else: without a
/// plain key there, OpenSSH goes on behind the key exchange only with a certificate that it accepted.
pub(super) fn ask(
    target: &Target,
    marked: &str,
    timeout: Duration,
) -> Result<Option<Certified>, TransportError> {
    let failed = |what: &str, error: std::io::Error| {
        setup(&format!("{what}, to check the host's certificate: {error}"))
    };
    let no_file = |error| failed("no file for the known authorities", error);
    let known = tempfile::NamedTempFile::new().map_err(no_file)?;
    fs::write(known.path(), marked).map_err(no_file)?;
    // Not from its standard error: there a server's greeting stands as well.
    let log = tempfile::NamedTempFile::new().map_err(|e| failed("no file for ssh's words", e))?;
    let mut ssh = openssh::ssh();
    ssh.args(["-F", "none", "-v", "-E"]).arg(log.path());
    let seconds = timeout.as_secs().max(1);
    let mut option = |text: String| {
        ssh.args(["-o".to_owned(), text]);
    };
    option("BatchMode=yes".into());
    option("StrictHostKeyChecking=yes".into());
    option("UpdateHostKeys=no".into());
    option("PreferredAuthentications=none".into());
    option(format!("ConnectTimeout={seconds}"));
    option(format!("HostKeyAlgorithms={CERTIFICATES}"));
    option(format!("UserKnownHostsFile=\"{}\"", known.path().display()));
    option("GlobalKnownHostsFile=none".into());
    if target.key_name == target.plain_key_name && target.key_name != target.name {
        option(format!("HostKeyAlias={}", target.key_name));
    }
    if let Some(command) = through::proxy_command(target, timeout) {
        option(format!("ProxyCommand={command}"));
    }
    let mut child = ssh
        .args(["-p", &target.port.to_string()])
        .args(["-l", &target.ssh.user])
        .args(["--", &target.name, "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed("ssh can't start", error))?;
    let until = Instant::now() + timeout + Duration::from_secs(2);
    while child
        .try_wait()
        .map_err(|error| failed("ssh is lost", error))?
        .is_none()
    {
        if Instant::now() >= until {
            // Its end is all that counts; it has said what it found by now, or never will.
            let _ = child.kill();
            let _ = child.wait();
        }
        thread::sleep(Duration::from_millis(10));
    }
    let said = fs::read(log.path()).map_err(|e| failed("ssh's words can't be read", e))?;
    Ok(read(&String::from_utf8_lossy(&said)))
}

/// Reads OpenSSH's account of a key exchange: which certificate it was shown, and that it went on.
fn read(log: &str) -> Option<Certified> {
    const SHOWN: &str = "debug1: Server host certificate: ";
    const WENT_ON: &str = "debug1: SSH2_MSG_NEWKEYS received";
    let mut lines = log.lines().map(str::trim_end);
    let shown = lines.find_map(|line| line.strip_prefix(SHOWN))?;
    lines.find(|line| *line == WENT_ON)?;
    let mut words = shown.split([' ', ',']);
    let kind = words.next()?.strip_suffix("-cert-v01@openssh.com")?;
    let fingerprint = words.next().filter(|word| word.starts_with("SHA256:"))?;
    Some(Certified {
        kind: kind.to_owned(),
        fingerprint: fingerprint.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "debug1: Server host certificate: ssh-ed25519-cert-v01@openssh.com \
        SHA256:abc, serial 0 ID \"x\" CA ssh-ed25519 SHA256:def valid forever\r\n";
    const MATCHES: &str = "debug1: Host '[10.0.0.7]:2222' is known and matches the ED25519-CERT \
        host certificate.\r\n";
    const WENT_ON: &str = "debug1: SSH2_MSG_NEWKEYS received\r\n";

    #[test]
    fn only_a_certificate_that_was_shown_and_accepted_counts() {
        let both = read(&format!("debug1: x\r\n{SHOWN}{MATCHES}{WENT_ON}")).unwrap();
        assert_eq!(both.kind, "ssh-ed25519");
        assert_eq!(both.fingerprint, "SHA256:abc");
        // OpenSSH says that it matches before it looks at names and dates.
        let refused =
            format!("{SHOWN}{MATCHES}Certificate invalid: name is not a listed principal");
        for log in [&refused, WENT_ON, "", "debug1: Server host certificate: \n"] {
            assert_eq!(read(log), None, "{log}");
        }
    }
}
