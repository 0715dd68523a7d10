//! What OpenSSH's configuration says and this tool doesn't do. It is told: what is passed over in
//! silence is looked for in the wrong place.

use std::fmt;

use super::config::Said;

/// What is done here, as `ssh -G` names it; the login user is the cluster file's.
const HONOURED: [&str; 21] = [
    "certificatefile",
    "ciphers",
    "globalknownhostsfile",
    "host",
    "hostkeyalgorithms",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "macs",
    "passwordauthentication",
    "port",
    "preferredauthentications",
    "proxycommand",
    "proxyjump",
    "pubkeyauthentication",
    "user",
    "userknownhostsfile",
];

/// What can't matter: the tool's connections are its own, its commands have no terminal, and it
/// forwards nothing.
const INDIFFERENT: [&str; 33] = [
    "addkeystoagent",
    "batchmode",
    "canonicalizemaxdots",
    "canonicalizefallbacklocal",
    "checkhostip",
    "clearallforwardings",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "enableescapecommandline",
    "escapechar",
    "exitonforwardfailure",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "loglevel",
    "logverbose",
    "numberofpasswordprompts",
    "permitlocalcommand",
    "requesttty",
    "serveralivecountmax",
    "serveraliveinterval",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tcpkeepalive",
    "tunneldevice",
    "updatehostkeys",
    "visualhostkey",
    "xauthlocation",
];

/// What Debian's own /etc/ssh/ssh_config sets for everybody: worth a word only where a login fails.
const DISTRIBUTION: [(&str, &str); 4] = [
    ("gssapiauthentication", "yes"),
    ("hashknownhosts", "yes"),
    ("sendenv", "LANG"),
    ("sendenv", "LC_*"),
];

/// A setting that isn't honoured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unhonoured {
    keyword: String,
    value: String,
    why: String,
    /// Whether it's the distribution's and not the operator's.
    pub(super) is_usual: bool,
}

impl Unhonoured {
    /// A setting whose value holds a token or variable that isn't known here.
    pub(super) fn token(keyword: &str, value: &str, token: &str) -> Unhonoured {
        Unhonoured {
            keyword: keyword.to_owned(),
            value: value.to_owned(),
            why: format!("{token} has no value here"),
            is_usual: false,
        }
    }
}

impl fmt::Display for Unhonoured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.keyword, self.value, self.why)
    }
}

/// Lists what differs from OpenSSH's defaults and isn't honoured.
pub(super) fn settings(said: &Said, usual: &Said) -> Vec<Unhonoured> {
    let matters = |keyword: &&str| !HONOURED.contains(keyword) && !INDIFFERENT.contains(keyword);
    let mut found = Vec::new();
    for keyword in said.keywords().filter(matters) {
        for value in said.all(keyword) {
            if usual.all(keyword).contains(value) {
                continue;
            }
            found.push(Unhonoured {
                keyword: keyword.to_owned(),
                value: value.clone(),
                why: why(keyword).to_owned(),
                is_usual: DISTRIBUTION.contains(&(keyword, value.as_str())),
            });
        }
    }
    found
}

/// What to do instead, where there's something.
fn why(keyword: &str) -> &'static str {
    match keyword {
        "stricthostkeychecking" => "ssh.host_keys in the cluster file counts",
        "connecttimeout" => "--connect-timeout counts",
        "setenv" | "sendenv" => "commands on hosts get no variables from here",
        "localforward" | "remoteforward" | "dynamicforward" | "forwardagent" | "forwardx11" => {
            "nothing is forwarded"
        }
        "remotecommand" => "the tool runs its own",
        _ => "it has no effect here",
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::said;
    use super::*;

    #[test]
    fn what_differs_and_is_not_done_is_named_with_its_value() {
        let usual = said("compression no\nsendenv X\nport 22\nloglevel INFO\n");
        let now =
            said("compression yes\nsendenv X\nsendenv LANG\nport 2222\nloglevel DEBUG\nnew z\n");
        let found = settings(&now, &usual);
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.keyword.as_str(), one.value.as_str(), one.is_usual))
            .collect();
        assert_eq!(
            told,
            [
                ("compression", "yes", false),
                ("new", "z", false),
                ("sendenv", "LANG", true)
            ]
        );
    }
}
