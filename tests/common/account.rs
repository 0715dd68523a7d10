//! A user of a test's own, with a password, rc files and rules for sudo; gone with the test. Making
//! one needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::skip;
use super::sshd::user;

/// The user's password, for the login and for sudo.
pub const PASSWORD: &str = "correct horse";

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Prepares a program that makes or removes a user. These wait for no lock of their own, and other test
/// programs may call them at the same moment.
pub fn on_accounts(program: &str) -> Command {
    let mut command = Command::new("flock");
    let lock = std::env::temp_dir().join("paas-cluster-build-test-users.lock");
    command.arg(lock).arg(program);
    command
}

/// A user whose login shell is bash.
pub struct Account {
    pub name: String,
}

impl Account {
    /// Makes one that sudo asks for its password; `None`, noted as skipped, where that can't be.
    pub fn make() -> Option<Account> {
        Account::make_with("")
    }

    /// The same, with more lines of rules for sudo; `USER` stands for the user's name.
    pub fn make_with(rules: &str) -> Option<Account> {
        if user() != "root" {
            skip("a user with rc files of its own: making one needs root");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("pcb-{}-{count}", std::process::id());
        let hash = said(Command::new("openssl").args(["passwd", "-6", PASSWORD]));
        let made = on_accounts("useradd")
            .args(["-m", "-s", "/bin/bash", "-p", &hash, &name])
            .status();
        assert!(made.unwrap().success(), "useradd fails");
        let account = Account { name };
        let name = &account.name;
        let usual = format!("Defaults:{name} !lecture\n{name} ALL=(ALL) ALL\n");
        let rules = usual + &rules.replace("USER", name);
        fs::write(account.rules(), rules).unwrap();
        fs::set_permissions(account.rules(), fs::Permissions::from_mode(0o440)).unwrap();
        Some(account)
    }

    fn rules(&self) -> PathBuf {
        Path::new("/etc/sudoers.d").join(&self.name)
    }

    /// Names a file in the user's home.
    pub fn file(&self, name: &str) -> PathBuf {
        Path::new("/home").join(&self.name).join(name)
    }

    /// Writes what bash reads first, also for a command over SSH.
    pub fn rc(&self, text: &str) {
        fs::write(self.file(".bashrc"), text).unwrap();
    }

    /// Puts a program before all others of its name, by the rc file.
    pub fn program(&self, name: &str, text: &str) {
        let folder = self.file("bin");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        self.rc(&format!("PATH={}:$PATH\n", folder.display()));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.rules());
        for _ in 0..50 {
            let removal = on_accounts("userdel").args(["-rf", &self.name]).output();
            if removal.is_ok_and(|removal| removal.status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
