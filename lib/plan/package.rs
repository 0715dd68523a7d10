//! Makes the release ready to travel: a folder becomes a `.tar.gz` whose bytes depend on its
//! content alone, a file is measured, a URL or a git reference is passed on.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::receipt::to_hex;
use crate::cluster_file::Place;
use crate::model::{Artifact, Release, ReleaseSource};
use crate::script::Upload;

/// Folders that are no part of a release.
pub(super) const LEFT_OUT: [&str; 2] = [".git", "__pycache__"];

/// A release whose parts can be pushed or fetched.
#[derive(Debug)]
pub struct PreparedRelease {
    /// The compiled dependencies.
    pub micro_paas: Option<Prepared>,
    /// The release itself.
    pub paas_release: Prepared,
    /// Where the file names it.
    pub place: Option<Place>,
    /// Holds the archives that were made here, until the run is over.
    _scratch: TempDir,
}

/// One part of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// A `.tar.gz` here, to be pushed.
    Push(Upload),
    /// A `.tar.gz` that each host fetches.
    Fetch {
        /// Where from.
        url: String,
        /// Its SHA-256 in hex.
        sha256: String,
    },
    /// A git repository that each host clones.
    Git {
        /// Where from.
        url: String,
        /// Branch, tag or commit.
        reference: String,
    },
}

/// A folder of the site's own packages, packed to travel.
#[derive(Debug)]
pub struct PreparedPackages {
    /// The archive.
    pub upload: Upload,
    _scratch: TempDir,
}

impl PreparedPackages {
    /// Packs a folder.
    ///
    /// # Errors
    /// A folder that can't be read.
    pub fn prepare(folder: &Path) -> Result<PreparedPackages, PackageError> {
        let unreadable = |source| PackageError::Unreadable {
            path: folder.to_owned(),
            source,
        };
        let scratch = TempDir::new().map_err(unreadable)?;
        let artifact = Artifact::Path {
            path: folder.to_owned(),
            sha256: None,
        };
        let archive = scratch.path().join("packages.tar.gz");
        match prepare(&artifact, &archive)? {
            Prepared::Push(upload) => Ok(PreparedPackages {
                upload,
                _scratch: scratch,
            }),
            _ => Err(PackageError::NotAnArchive {
                path: folder.to_owned(),
            }),
        }
    }
}

/// Why a release can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The path isn't there or can't be read.
    #[error("{} can't be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file isn't the one that the cluster file means.
    #[error("{} has SHA-256 {found}, but {expected} is expected", path.display())]
    WrongDigest {
        /// Which.
        path: PathBuf,
        /// What the cluster file says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The path is neither a folder nor a gzip archive.
    #[error("{} is neither a folder nor a .tar.gz archive", path.display())]
    NotAnArchive {
        /// Which.
        path: PathBuf,
    },
}

impl PreparedRelease {
    /// Packs, measures and checks all parts of a release.
    ///
    /// # Errors
    /// A part that can't be read or isn't what the cluster file says.
    pub fn prepare(release: &Release) -> Result<PreparedRelease, PackageError> {
        let scratch = TempDir::new().map_err(|source| PackageError::Unreadable {
            path: std::env::temp_dir(),
            source,
        })?;
        let micro_paas = match &release.micro_paas {
            Some(artifact) => Some(prepare(
                artifact,
                &scratch.path().join("micro-paas.tar.gz"),
            )?),
            None => None,
        };
        let paas_release = match &release.paas_release {
            ReleaseSource::Git { url, reference } => Prepared::Git {
                url: url.clone(),
                reference: reference.clone(),
            },
            ReleaseSource::Artifact(artifact) => {
                prepare(artifact, &scratch.path().join("paas-release.tar.gz"))?
            }
        };
        Ok(PreparedRelease {
            micro_paas,
            paas_release,
            place: release.place,
            _scratch: scratch,
        })
    }
}

impl Prepared {
    /// Tells which content it is: a digest, or the git reference where only git can know more.
    pub fn identity(&self) -> String {
        match self {
            Prepared::Push(upload) => upload.sha256.clone(),
            Prepared::Fetch { sha256, .. } => sha256.clone(),
            Prepared::Git { url, reference } => format!("{url} at {reference}"),
        }
    }
}

fn prepare(artifact: &Artifact, archive: &Path) -> Result<Prepared, PackageError> {
    let (path, expected) = match artifact {
        Artifact::Url { url, sha256 } => {
            return Ok(Prepared::Fetch {
                url: url.clone(),
                sha256: sha256.clone(),
            });
        }
        Artifact::Path { path, sha256 } => (path, sha256),
    };
    let unreadable = |source| PackageError::Unreadable {
        path: path.clone(),
        source,
    };
    let file = if fs::metadata(path).map_err(unreadable)?.is_dir() {
        pack(path, archive).map_err(unreadable)?;
        archive.to_owned()
    } else {
        path.clone()
    };
    let (bytes, sha256) = measure(&file)
        .map_err(unreadable)?
        .ok_or_else(|| PackageError::NotAnArchive { path: path.clone() })?;
    if let Some(expected) = expected
        && !expected.eq_ignore_ascii_case(&sha256)
    {
        return Err(PackageError::WrongDigest {
            path: path.clone(),
            expected: expected.clone(),
            found: sha256,
        });
    }
    Ok(Prepared::Push(Upload {
        path: file,
        bytes,
        sha256,
    }))
}

/// Packs a folder: names in order, no owner, no times, so that equal content is an equal archive.
fn pack(folder: &Path, archive: &Path) -> io::Result<()> {
    let gzip = GzBuilder::new()
        .mtime(0)
        .write(File::create(archive)?, Compression::default());
    let mut tar = tar::Builder::new(gzip);
    append(&mut tar, folder, Path::new(""))?;
    tar.into_inner()?.finish()?.flush()
}

fn append<W: Write>(tar: &mut tar::Builder<W>, folder: &Path, inside: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let path = entry.path();
        let target = inside.join(&name);
        let metadata = fs::symlink_metadata(&path)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata_in_mode(&metadata, tar::HeaderMode::Deterministic);
        if metadata.is_symlink() {
            header.set_size(0);
            tar.append_link(&mut header, &target, fs::read_link(&path)?)?;
        } else if metadata.is_dir() {
            tar.append_data(&mut header, &target, io::empty())?;
            append(tar, &path, &target)?;
        } else {
            header.set_mode(if metadata.permissions().mode() & 0o111 == 0 {
                0o644
            } else {
                0o755
            });
            tar.append_data(&mut header, &target, File::open(&path)?)?;
        }
    }
    Ok(())
}

/// Returns length and digest of a gzip file; `None` when it doesn't begin as one.
fn measure(path: &Path) -> io::Result<Option<(u64, String)>> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if bytes == 0 && !buffer[..count].starts_with(&[0x1f, 0x8b]) {
            return Ok(None);
        }
        if count == 0 {
            return Ok(Some((bytes, to_hex(&hash.finalize()))));
        }
        hash.update(&buffer[..count]);
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release_of(path: &Path, sha256: Option<String>) -> Release {
        let artifact = Artifact::Path {
            path: path.to_owned(),
            sha256,
        };
        Release {
            micro_paas: None,
            paas_release: ReleaseSource::Artifact(artifact),
            place: None,
        }
    }

    #[test]
    fn equal_folders_make_equal_archives_and_a_change_shows() {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/paas"), "#!/bin/sh\n").unwrap();
        let identity = || {
            let release = release_of(folder.path(), None);
            PreparedRelease::prepare(&release)
                .unwrap()
                .paas_release
                .identity()
        };
        let first = identity();
        let touched = File::options()
            .write(true)
            .open(folder.path().join("bin/paas"))
            .unwrap();
        touched.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(identity(), first);
        fs::write(folder.path().join("bin/paas"), "#!/bin/sh\nexit\n").unwrap();
        assert_ne!(identity(), first);
    }

    #[test]
    fn a_file_with_another_digest_or_no_archive_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("release.tar.gz");
        fs::write(&path, "not gzip").unwrap();
        let error = PreparedRelease::prepare(&release_of(&path, None)).unwrap_err();
        assert!(
            matches!(error, PackageError::NotAnArchive { .. }),
            "{error}"
        );
        pack(folder.path(), &folder.path().join("other.tar.gz")).unwrap();
        let other = release_of(&folder.path().join("other.tar.gz"), Some("00".repeat(32)));
        let error = PreparedRelease::prepare(&other).unwrap_err();
        assert!(matches!(error, PackageError::WrongDigest { .. }), "{error}");
    }

    #[test]
    fn a_missing_release_is_told_with_its_path() {
        let error = PreparedRelease::prepare(&release_of(Path::new("no/such"), None)).unwrap_err();
        assert!(error.to_string().contains("no/such"), "{error}");
    }
}
