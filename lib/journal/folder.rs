//! Where runs are kept: `<state>/<cluster>/runs/<run-id>/`, and a `latest` link beside them.
//!
//! Folders are 0700 and files 0600: outputs may hold what isn't for every user of this machine.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::limit::write_error_words;
use crate::plan::StepId;

/// The tool's folder below a state home.
const TOOL: &str = "paas-cluster-build";

/// The name of the link to the newest run.
const LATEST: &str = "latest";

/// The name of the file that marks the folder of a run that was only looked at from here.
const WATCHED: &str = "watched";

/// The file that marks a run which changed no host by a plan.
const ASIDE: &str = "aside";

/// Why a run's folder can't be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing says where state is kept.
    #[error(
        "there's no folder to keep state in: --state-dir isn't given, {xdg_state_home}, {home}\n\
         help: name a folder with --state-dir, or set HOME"
    )]
    NoStateDir {
        /// What the variable is, in words.
        xdg_state_home: String,
        /// What the variable is, in words.
        home: String,
    },
    /// The cluster's name or the run's id can't be the name of a folder.
    #[error("`{0}` can't be the name of a folder")]
    BadName(String),
    /// The system refused.
    #[error("can't make {}: {}", .path.display(), write_error_words(source))]
    Io {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Finds the state folder: the given one, or `paas-cluster-build` below `$XDG_STATE_HOME`, or
/// below `$HOME/.local/state`. Empty and relative variables count as unset, as the XDG base
/// directory specification has it.
///
/// # Errors
/// [`FolderError::NoStateDir`] when none is usable, with what each variable is.
pub fn state_dir(
    given: Option<&Path>,
    xdg_state_home: Option<&OsStr>,
    home: Option<&OsStr>,
) -> Result<PathBuf, FolderError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let absolute = |value: Option<&OsStr>| value.map(PathBuf::from).filter(|p| p.is_absolute());
    absolute(xdg_state_home)
        .or_else(|| absolute(home).map(|home| home.join(".local/state")))
        .map(|base| base.join(TOOL))
        .ok_or_else(|| FolderError::NoStateDir {
            xdg_state_home: variable_words("XDG_STATE_HOME", xdg_state_home),
            home: variable_words("HOME", home),
        })
}

fn variable_words(name: &str, value: Option<&OsStr>) -> String {
    match value {
        None => format!("{name} isn't set"),
        Some(value) if value.is_empty() => format!("{name} is empty"),
        Some(value) => format!("{name} is {value:?}, which isn't an absolute path"),
    }
}

/// The folder of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Names the folder of a run without touching the disk.
    ///
    /// # Errors
    /// A cluster's name or run id that isn't a plain folder name.
    pub fn of(state: &Path, cluster: &str, run: &str) -> Result<RunFolder, FolderError> {
        for name in [cluster, run] {
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
                return Err(FolderError::BadName(name.to_owned()));
            }
        }
        if run == LATEST {
            return Err(FolderError::BadName(run.to_owned()));
        }
        let path = state.join(cluster).join("runs").join(run);
        Ok(RunFolder { path })
    }

    /// Returns the folder of the newest run of a cluster, if there is one.
    pub fn latest(state: &Path, cluster: &str) -> Option<RunFolder> {
        let link = state.join(cluster).join("runs").join(LATEST);
        let run = fs::read_link(link).ok()?;
        let folder = RunFolder::of(state, cluster, run.to_str()?).ok()?;
        folder.path.is_dir().then_some(folder)
    }

    /// Lists the runs of a cluster by their ids, which sort by time; oldest first.
    pub fn all(state: &Path, cluster: &str) -> Vec<RunFolder> {
        let Ok(entries) = fs::read_dir(state.join(cluster).join("runs")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        let folders = names
            .iter()
            .filter_map(|name| RunFolder::of(state, cluster, name).ok());
        folders.filter(|folder| folder.path.is_dir()).collect()
    }

    /// Returns the run's id.
    pub fn run(&self) -> &str {
        // Made of a text in `of`.
        self.path
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or_default()
    }

    /// Tells whether the process that writes the journal is alive.
    pub fn is_live(&self) -> bool {
        let Ok(file) = File::open(self.journal()) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Tells whether the journal is that of somebody who only looked on: whether the run lives, it
    /// doesn't tell.
    pub fn is_watched(&self) -> bool {
        self.path.join(WATCHED).exists()
    }

    /// Tells whether the process that this machine ran the run with is known to be dead.
    pub fn is_dead(&self) -> bool {
        self.journal().exists() && !self.is_watched() && !self.is_live()
    }

    /// Tells whether the run only asked or rehearsed: such runs don't push out those that changed
    /// hosts.
    pub fn is_aside(&self) -> bool {
        self.path.join(ASIDE).exists()
    }

    /// Marks the run as one that only asked or rehearsed.
    pub(super) fn put_aside(&self) -> Result<(), FolderError> {
        let path = self.path.join(ASIDE);
        make_private_file(&path)
            .map(|_| ())
            .map_err(|e| failed(&path, e))
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the journal: `journal.jsonl`.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// Returns the path of a step's log: `steps/<step>-<host>.log`. A step is once in a run, so
    /// its stage isn't needed to tell logs apart.
    pub fn step_log(&self, id: &StepId) -> PathBuf {
        let host = id.host.to_string().replace(':', "-");
        self.path
            .join("steps")
            .join(format!("{}-{host}.log", file_name(&id.step)))
    }

    /// Makes the folder and points `latest` at it.
    pub(super) fn create(&self) -> Result<(), FolderError> {
        self.create_beside()?;
        let link = self.path.with_file_name(LATEST);
        self.point_latest(&link).map_err(|e| failed(&link, e))
    }

    /// Makes the folder for somebody who only looks on.
    pub(super) fn create_watched(&self) -> Result<(), FolderError> {
        self.create()?;
        let mark = self.path.join(WATCHED);
        match make_private_file(&mark) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed(&mark, e)),
            _ => Ok(()),
        }
    }

    /// Makes the folder; `latest` stays with the newest run of a plan.
    pub(super) fn create_beside(&self) -> Result<(), FolderError> {
        let steps = self.path.join("steps");
        make_private_dir(&steps).map_err(|e| failed(&steps, e))
    }

    /// Replaces the link by a rename, so that it's never missing.
    fn point_latest(&self, link: &Path) -> io::Result<()> {
        let Some(run) = self.path.file_name() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut name = OsStr::new(".latest-").to_owned();
        name.push(run);
        let fresh = link.with_file_name(name);
        match symlink(run, &fresh) {
            // Left behind by a run of this id that died between the two steps.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        fs::rename(&fresh, link)
    }
}

/// Removes the oldest runs beside this one and of its kind, beyond so many; a live one stays. What
/// can't be removed stays as well: it's only a matter of room.
pub(super) fn prune(newest: &RunFolder, keep: usize) {
    let Some(runs) = newest.path.parent() else {
        return;
    };
    let Some((cluster, state)) = runs
        .parent()
        .and_then(|c| Some((c.file_name()?.to_str()?, c.parent()?)))
    else {
        return;
    };
    let mut all = RunFolder::all(state, cluster);
    all.retain(|run| run.is_aside() == newest.is_aside());
    let surplus = all.len().saturating_sub(keep);
    for old in all.iter().take(surplus) {
        if old != newest && !old.is_live() {
            let _ = fs::remove_dir_all(&old.path);
        }
    }
}

pub(super) fn failed(path: &Path, source: io::Error) -> FolderError {
    FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Makes a file that didn't exist, readable by its owner only.
pub(super) fn make_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a step's name a file name; what isn't harmless there becomes `%` and its bytes in hex.
fn file_name(step: &str) -> String {
    let mut out = String::with_capacity(step.len());
    for (i, byte) in step.bytes().enumerate() {
        match byte {
            b'.' if i == 0 => out.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn the_state_folder_is_given_or_xdg_or_home() {
        let dir = |given: Option<&str>, xdg: Option<&str>, home: Option<&str>| {
            state_dir(
                given.map(Path::new),
                xdg.map(OsStr::new),
                home.map(OsStr::new),
            )
            .ok()
            .map(|p| p.to_str().unwrap().to_owned())
        };
        assert_eq!(dir(Some("x"), Some("/s"), Some("/h")).as_deref(), Some("x"));
        assert_eq!(
            dir(None, Some("/s"), Some("/h")).as_deref(),
            Some("/s/paas-cluster-build")
        );
        for unset in [None, Some(""), Some("relative")] {
            assert_eq!(
                dir(None, unset, Some("/h")).as_deref(),
                Some("/h/.local/state/paas-cluster-build")
            );
            assert_eq!(dir(None, unset, unset), None);
        }
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "a\0b"] {
            assert!(
                RunFolder::of(Path::new("/s"), name, "r").is_err(),
                "{name:?}"
            );
            assert!(
                RunFolder::of(Path::new("/s"), "c", name).is_err(),
                "{name:?}"
            );
        }
        assert!(RunFolder::of(Path::new("/s"), "c", "latest").is_err());
    }

    #[test]
    fn step_logs_have_harmless_names() {
        let folder = RunFolder::of(Path::new("/s"), "c", "r").unwrap();
        let log = |step: &str, host: &str| {
            let host: IpAddr = host.parse().unwrap();
            let step = step.to_owned();
            let path = folder.step_log(&StepId { step, host });
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(log("uaa_cc.uaa", "10.0.0.1"), "uaa_cc.uaa-10.0.0.1.log");
        assert_eq!(log("nats", "fd00::1"), "nats-fd00--1.log");
        assert_eq!(log("../ä", "10.0.0.1"), "%2E.%2F%C3%A4-10.0.0.1.log");
    }
}
