//! OpenSSH's own client as a child: for jump hosts, and for its configuration.

use std::process::Command;

/// What it gets of this process's environment. The rest isn't its business: it may hold the
/// secrets that the operator has given to this tool.
const ENVIRONMENT: [&str; 12] = [
    "DISPLAY",
    "HOME",
    "KRB5CCNAME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "SHELL",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "USER",
    "XDG_RUNTIME_DIR",
];

/// Makes a call of `ssh` without arguments.
pub(super) fn ssh() -> Command {
    let mut command = Command::new("ssh");
    command.env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}
