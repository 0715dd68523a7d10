//! A throw-away Debian of a test's own: a folder on top of one of the lab's bases, without a boot.
//! Whatever runs in it has its own processes and mounts, so killing the first of them is as if its
//! power went.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use paas_cluster_build::lab::requirements;
use tempfile::TempDir;

use super::site::Site;
use super::skip;

/// What mounts the root and enters it: `$1` the layers below, `$2` the folder, then the command.
const ENTER: &str = r#"
set -eu
below=$1 folder=$2
shift 2
mount -t overlay overlay -o "lowerdir=$below,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
mount -t proc proc "$folder/root/proc"
mount -t tmpfs tmpfs "$folder/root/run"
exec chroot "$folder/root" "$@" </dev/null
"#;

/// One Debian; gone with the test.
pub struct Debian {
    folder: TempDir,
    /// The read-only layers, the uppermost first.
    below: Vec<PathBuf>,
}

impl Debian {
    /// One for each base that the lab has. Makes a base where there is none yet; none at all, said
    /// loudly, where that can't be.
    pub fn bases() -> Vec<PathBuf> {
        if let Err(missing) = requirements() {
            skip(&format!(
                "a Debian to break: the lab can't run here ({})",
                missing[0]
            ));
            return Vec::new();
        }
        if bases().is_empty() {
            let text =
                "name: dpkg-base\ncomponents: [nothing]\nserver: {nothing: {ip: 10.77.211.11}}\n";
            drop(Site::boot(text, &[("nothing", "{}\n", "true\n")]));
        }
        bases()
    }

    /// A fresh one on these layers.
    pub fn on(below: &[PathBuf]) -> Debian {
        let folder = TempDir::new().unwrap();
        for part in ["upper", "work", "root"] {
            fs::create_dir(folder.path().join(part)).unwrap();
            // The root's own mode: what isn't root has to get in too.
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder.path().join(part), mode).unwrap();
        }
        Debian {
            folder,
            below: below.to_vec(),
        }
    }

    /// A fresh one on top of what this one is now.
    pub fn copy(&self) -> Debian {
        let mut below = vec![self.folder.path().join("upper")];
        below.extend(self.below.iter().cloned());
        Debian::on(&below)
    }

    /// Writes a file into it, which must not run at this moment.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.upper(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Names a file as it lies here, if it was written in this one.
    pub fn upper(&self, path: &str) -> PathBuf {
        self.folder
            .path()
            .join("upper")
            .join(path.trim_start_matches('/'))
    }

    fn command(&self, words: &[&str]) -> Command {
        let below: Vec<String> = self.below.iter().map(|l| l.display().to_string()).collect();
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child=KILL",
                "sh",
                "-c",
                ENTER,
                "enter",
            ])
            .arg(below.join(":"))
            .arg(self.folder.path())
            .args(words)
            .stdin(Stdio::null());
        command
    }

    /// Runs a shell script in it to its end.
    pub fn sh(&self, script: &str) -> Output {
        self.command(&["sh", "-c", script]).output().unwrap()
    }

    /// Runs a shell script that must succeed, and returns what it printed.
    pub fn succeeds(&self, script: &str) -> String {
        let output = self.sh(script);
        let said = super::site::said(&output);
        assert!(output.status.success(), "{script}\n{said}");
        said
    }

    /// Runs a shell script until the file `stop` appears in it, and then takes its power away.
    /// Returns whether that was before the script's end.
    pub fn cut_when(&self, stop: &str, script: &str) -> bool {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut child = self
            .command(&["sh", "-c", script])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let stop = self.upper(stop);
        let until = Instant::now() + Duration::from_secs(300);
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if stop.exists() {
                break;
            }
            assert!(Instant::now() < until, "{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        take_power(&mut child);
        fs::remove_file(&stop).unwrap();
        true
    }

    /// What the script that was cut had printed.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Kills the first process inside, and with it all others, and waits until none is left.
fn take_power(unshare: &mut Child) {
    let path = format!("/proc/{0}/task/{0}/children", unshare.id());
    let first = fs::read_to_string(path).unwrap();
    let killed = Command::new("kill").arg("-9").arg(first.trim()).status();
    assert!(killed.unwrap().success());
    unshare.wait().unwrap();
}

fn bases() -> Vec<PathBuf> {
    let folder = std::env::var_os("PAAS_LAB_CACHE").map_or_else(
        || PathBuf::from("/var/cache/paas-cluster-build-lab"),
        PathBuf::from,
    );
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_base = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("base-") && !name.contains('.') && path.join("etc/debian_version").exists()
    };
    let mut found: Vec<PathBuf> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| is_base(p))
        .collect();
    found.sort();
    // One for each release: recipes come and go.
    found.dedup_by_key(|path| fs::read_to_string(path.join("etc/debian_version")).unwrap());
    found
}
