//! Where the cluster file comes from: a file with a folder of its own, or something that is read
//! once, such as standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// The longest file that is looked at; the reader refuses shorter ones already, with better words.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The files that are a process's open ones under another name.
const OPEN_FILES: [&str; 4] = [
    "/dev/stdin",
    "/dev/fd/",
    "/proc/self/fd/",
    "/proc/thread-self/fd/",
];

/// The cluster file as it was named.
pub enum Source<'a> {
    /// A file that can be read as often as one likes.
    File(&'a Path),
    /// Standard input, or a pipe that the shell made (`<(…)`).
    Once(&'a Path),
}

impl<'a> Source<'a> {
    /// Tells from the name what it is: `-` is standard input.
    pub fn of(path: &'a Path) -> Source<'a> {
        let is_open = |name: &str| OPEN_FILES.iter().any(|open| name.starts_with(open));
        match path.to_str() {
            Some(name) if name == "-" || is_open(name) => Source::Once(path),
            _ => Source::File(path),
        }
    }

    /// What messages call it. What is read once has no folder, so that relative paths in it are
    /// those of the working directory.
    pub fn shown(&self) -> PathBuf {
        match self {
            Source::File(path) => path.to_path_buf(),
            Source::Once(_) => PathBuf::from("<stdin>"),
        }
    }

    /// Tells whether it's there, without reading anything of it.
    pub fn find(&self) -> io::Result<()> {
        match self {
            Source::File(path) => fs::metadata(path).map(|_| ()),
            Source::Once(_) => Ok(()),
        }
    }

    /// Reads it whole; of what has no end, no more than so much.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Source::Once(path) if path.as_os_str() == "-" => {
                io::stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)?
            }
            Source::File(path) | Source::Once(path) => {
                File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?
            }
        };
        Ok(bytes)
    }

    /// Refuses what can't be read again, for a command that starts a process with the same file.
    pub fn again(&self, what: &str) -> Result<(), Failure> {
        match self {
            Source::File(_) => Ok(()),
            Source::Once(path) => Err(Failure::usage(format!(
                "{what} reads the cluster file again later, and {} can be read only once\n\
                 help: write it to a file and name that with -c FILE",
                path.display()
            ))),
        }
    }
}
