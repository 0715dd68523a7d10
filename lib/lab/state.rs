//! What a lab remembers on disk, and the locks that keep two commands apart.
//!
//! The record is written before anything is made, and nothing but `down`'s last step removes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::error::{At, Error};
use super::suite::Suite;

/// The folders of all labs.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    /// Holds one folder and one lock for each lab.
    pub(super) state: PathBuf,
    /// Holds the base roots.
    pub(super) cache: PathBuf,
}

impl Folders {
    /// Takes the folders from the environment (for tests), or the usual ones.
    pub(super) fn from_environment() -> Result<Folders, Error> {
        let folder = |variable: &str, usual: &str| {
            let own = std::env::var_os(variable).filter(|value| !value.is_empty());
            let path = own.map_or_else(|| PathBuf::from(usual), PathBuf::from);
            // These would end a path in the options of an overlay mount.
            if path
                .as_os_str()
                .as_encoded_bytes()
                .iter()
                .any(|byte| b":,\\\"".contains(byte))
            {
                let why = "the lab can't use a folder with a colon, comma, quote or backslash";
                return Err(Error::Refused(vec![format!("{variable}: {why}")]));
            }
            std::path::absolute(&path).at("find", &path)
        };
        Ok(Folders {
            state: folder("PAAS_LAB_STATE", "/var/lib/paas-cluster-build-lab")?,
            cache: folder("PAAS_LAB_CACHE", "/var/cache/paas-cluster-build-lab")?,
        })
    }

    /// The folder of a lab.
    pub(super) fn lab(&self, lab: &str) -> PathBuf {
        self.state.join(lab)
    }

    /// The names of the labs that have a folder.
    pub(super) fn labs(&self) -> Result<Vec<String>, Error> {
        let entries = match self.state.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("read", &self.state)?,
        };
        let folders = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
        Ok(folders
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    }
}

/// One machine as recorded. Its index is in the names of its link and cgroup and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MachineRecord {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) room: Option<String>,
    /// Records from before there was a choice name none.
    #[serde(default)]
    pub(super) suite: Suite,
}

/// A lab as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) user: String,
    pub(super) authorized_keys: Vec<String>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) machines: Vec<MachineRecord>,
    /// The rooms; a room's place is in the name of its bridge and never changes.
    pub(super) rooms: Vec<Option<String>>,
    /// The address of the bridge in each /24, which machines have as their default gateway.
    pub(super) gateways: BTreeMap<Ipv4Addr, Ipv4Addr>,
}

/// Where the record of a lab is.
pub(super) fn record_path(lab: &Path) -> PathBuf {
    lab.join("lab.json")
}

/// Reads a record; none is there before the first `up` and after a `down`.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.at("read", path)?,
    };
    let why = |error: serde_json::Error| Error::Unexpected {
        what: path.display().to_string(),
        why: error.to_string(),
    };
    serde_json::from_slice(&text).map(Some).map_err(why)
}

/// Writes a record so that a crash leaves the old one or the new one.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| Error::Unexpected {
        what: path.display().to_string(),
        why: error.to_string(),
    })?;
    replace(path, &text)
}

/// Replaces a file by a new one (0600) in one step.
pub(super) fn replace(path: &Path, text: &[u8]) -> Result<(), Error> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).at("write in", folder)?;
    file.write_all(text).at("write", file.path())?;
    file.persist(path)
        .map_err(|error| error.error)
        .at("replace", path)?;
    Ok(())
}

/// Removes a file; one that isn't there is fine.
pub(super) fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

/// Removes a folder with all it holds; one that isn't there is fine.
pub(super) fn remove_folder(path: &Path) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // The launcher of a killed `up` may be just making its first file here; it gives up by
            // itself since its cgroup is gone.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < 5 => tries += 1,
            other => return other.at("remove", path),
        }
    }
}

/// Makes 32 random hexadecimal digits.
pub(super) fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::Unexpected {
        what: "this computer's random numbers".into(),
        why: error.to_string(),
    })?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// A kernel lock on a file. It ends with the process, so it can't be stale.
#[derive(Debug)]
pub(super) struct Lock {
    // Held for its lock only.
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, waiting for whoever has it after a word to `waiting`.
    pub(super) fn take(path: &Path, waiting: &mut dyn FnMut()) -> Result<Lock, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).at("make", folder)?;
        }
        loop {
            let file = match open_lock(path) {
                // A `down` of the last lab removed the folder in between.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Lock::take(path, waiting);
                }
                other => other.at("open", path)?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting();
                    file.lock().at("lock", path)?;
                }
                Err(TryLockError::Error(error)) => return Err(error).at("lock", path),
            }
            if is_still(&file, path) {
                return Ok(Lock {
                    _file: file,
                    path: path.to_owned(),
                });
            }
        }
    }

    /// Takes the lock of something that is there, if nobody has it.
    pub(super) fn try_take(path: &Path) -> Result<Option<Lock>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let file = open_lock(path).at("open", path)?;
        match file.try_lock() {
            Ok(()) if is_still(&file, path) => Ok(Some(Lock {
                _file: file,
                path: path.to_owned(),
            })),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).at("lock", path),
        }
    }

    /// Removes the lock's file while it is held; whoever waits for it notices and takes a new one.
    pub(super) fn remove(self) -> Result<(), Error> {
        remove_file(&self.path)
    }
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Says whether a file is still the one at its path.
fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(now)) => (held.dev(), held.ino()) == (now.dev(), now.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_way_to_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = record_path(folder.path());
        assert_eq!(read_json::<Record>(&path).unwrap(), None);
        let record = Record {
            user: "paas".into(),
            authorized_keys: vec!["ssh-ed25519 AAAA x".into()],
            known_hosts: None,
            machines: vec![MachineRecord {
                index: 0,
                name: "nats".into(),
                address: Ipv4Addr::new(10, 1, 1, 1),
                room: None,
                suite: Suite::Trixie,
            }],
            rooms: vec![None, Some("b".into())],
            gateways: [(Ipv4Addr::new(10, 1, 1, 0), Ipv4Addr::new(10, 1, 1, 254))].into(),
        };
        write_json(&path, &record).unwrap();
        assert_eq!(read_json::<Record>(&path).unwrap(), Some(record));
        std::fs::write(&path, "{").unwrap();
        assert!(
            read_json::<Record>(&path)
                .unwrap_err()
                .to_string()
                .contains("lab.json")
        );
    }

    #[test]
    fn random_ids_differ() {
        let (one, other) = (random_id().unwrap(), random_id().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    #[test]
    fn a_removed_lock_is_not_held_by_the_one_who_waited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let first = Lock::take(&path, &mut || ()).unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| Lock::take(&path, &mut || sender.send(()).unwrap()));
            receiver.recv().unwrap();
            first.remove().unwrap();
            let second = waiter.join().unwrap().unwrap();
            assert!(path.exists());
            second.remove().unwrap();
        });
        assert!(!path.exists());
        assert!(Lock::try_take(&path).unwrap().is_none());
    }
}
