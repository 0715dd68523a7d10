//! What a release holds that is a folder or an archive on this machine, by the paths that its files
//! have on a host.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::package::LEFT_OUT;

/// The program by which a release's top is known: it lies there, or in the single folder there.
const COMMAND: &str = "bin/paas";

/// Reads the files of a release whose paths are wanted.
///
/// # Errors
/// The folder, the archive or one of the files can't be read.
pub(super) fn read(
    release: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    if !fs::metadata(release)?.is_dir() {
        return read_archive(release, is_wanted);
    }
    let mut top = release.to_owned();
    if !top.join(COMMAND).exists() {
        for entry in fs::read_dir(release)? {
            let inner = entry?.path();
            if inner.join(COMMAND).exists() {
                top = inner;
            }
        }
    }
    read_folder(&top, "", &is_wanted, &mut found)?;
    Ok(found)
}

fn read_folder(
    folder: &Path,
    inside: &str,
    is_wanted: &impl Fn(&str) -> bool,
    found: &mut BTreeMap<String, Vec<u8>>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let path = format!("{inside}{}", name.to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), is_wanted, found)?;
        } else if kind.is_file() && is_wanted(&path) {
            found.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// The command may come behind the files, so that each is kept under both names that it may have until
/// the release's top is known.
fn read_archive(
    release: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(release)?));
    let mut read = BTreeMap::new();
    let mut top = String::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let inner = name.split_once('/').map(|(_, inner)| inner);
        if inner == Some(COMMAND) && top.is_empty() {
            top = name[..name.len() - COMMAND.len()].to_owned();
        }
        let may_be_wanted = is_wanted(&name) || inner.is_some_and(&is_wanted);
        if entry.header().entry_type().is_file() && may_be_wanted {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            read.insert(name, bytes);
        }
    }
    let of_release = |(name, bytes): (String, Vec<u8>)| {
        let path = name.strip_prefix(&top)?.to_owned();
        is_wanted(&path).then_some((path, bytes))
    };
    Ok(read.into_iter().filter_map(of_release).collect())
}
