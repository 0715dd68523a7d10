//! OpenSSH's own client as a child: for jump hosts, for its configuration, and for what it alone can
//! judge.

use std::ffi::OsStr;
use std::process::Command;

/// What it, and a ProxyCommand, gets of this process's environment. The rest isn't its business: it
/// may hold the secrets that the operator has given to this tool.
const ENVIRONMENT: [&str; 22] = [
    "ALL_PROXY",
    "AWS_CONFIG_FILE",
    "AWS_PROFILE",
    "AWS_REGION",
    "CLOUDSDK_CONFIG",
    "DISPLAY",
    "HOME",
    "HTTPS_PROXY",
    "KRB5CCNAME",
    "KUBECONFIG",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "SHELL",
    "SSH_AUTH_SOCK",
    "TERM",
    "TMPDIR",
    "USER",
    "XAUTHORITY",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// Makes a call of `ssh` without arguments.
pub(super) fn ssh() -> Command {
    command(OsStr::new("ssh"))
}

/// Makes a call of a program without arguments.
pub(super) fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}
