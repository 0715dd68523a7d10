//! Which secrets stay as the release has them. Where the release is a folder or an archive on this
//! machine, its own files say which ones it still has; of another it's only known what it came with.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Serialize;

use crate::job::{Catalog, DefaultSecret};
use crate::model::{Artifact, Cluster, ReleaseSource};

/// The program by which a release's top is known.
const COMMAND: &str = "bin/paas";

/// No file that is looked at is longer; what comes behind this isn't read.
const LONGEST: u64 = 1024 * 1024;

/// A secret of a cluster's component that stays as the release has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StayingSecret {
    /// The component that it belongs to.
    pub component: String,
    /// Which secret it is, and what it opens.
    pub what: String,
    /// Where it stands, below the release: one file, or the ones that are possible.
    pub files: Vec<String>,
    /// Its line there, from 1; `None` where something is left out, or where nobody could look.
    pub line: Option<usize>,
    /// Whether it was found in the release; else the release couldn't be read here.
    pub seen: bool,
    /// What to do about it.
    pub to_do: String,
}

/// Lists what stays of the secrets of every component, in the file's order.
///
/// # Errors
/// The release, a folder or archive here, can't be read.
pub fn staying_secrets(cluster: &Cluster, catalog: &Catalog) -> io::Result<Vec<StayingSecret>> {
    let mut wanted: Vec<(&str, &DefaultSecret)> = Vec::new();
    for component in &cluster.components {
        let jobs = component.jobs.iter().filter_map(|job| catalog.get(job));
        let of_jobs = jobs.flat_map(|job| job.default_secrets());
        wanted.extend(of_jobs.map(|secret| (component.name.as_str(), secret)));
    }
    let paths = wanted.iter().flat_map(|(_, secret)| secret.paths());
    let files = match cluster
        .release
        .as_ref()
        .map(|release| &release.paas_release)
    {
        Some(ReleaseSource::Artifact(Artifact::Path { path, .. })) if !wanted.is_empty() => {
            Some(read_release(path, &paths.copied().collect::<Vec<_>>())?)
        }
        _ => None,
    };
    let staying = |(component, secret): &(&str, &DefaultSecret)| {
        let (found, line) = match &files {
            None => (secret.paths(), None),
            Some(files) => {
                let mut paths = secret.paths().chunks(1);
                let path = paths.find(|path| files.contains_key(path[0]))?;
                (path, secret.found_in(&files[path[0]])?)
            }
        };
        Some(StayingSecret {
            component: (*component).to_owned(),
            what: secret.what().to_owned(),
            files: found.iter().map(|path| (*path).to_owned()).collect(),
            line,
            seen: files.is_some(),
            to_do: secret.advice().to_owned(),
        })
    };
    Ok(wanted.iter().filter_map(staying).collect())
}

/// Reads these files of a release that is a folder or archive: those that it has.
fn read_release(release: &Path, paths: &[&str]) -> io::Result<BTreeMap<String, String>> {
    match fs::metadata(release)?.is_dir() {
        true => read_folder(release, paths),
        false => read_archive(release, paths),
    }
}

fn read_folder(release: &Path, paths: &[&str]) -> io::Result<BTreeMap<String, String>> {
    let mut top = release.to_owned();
    if !top.join(COMMAND).exists() {
        for entry in fs::read_dir(release)? {
            let inner = entry?.path();
            if inner.join(COMMAND).exists() {
                top = inner;
            }
        }
    }
    let mut found = BTreeMap::new();
    for path in paths {
        match File::open(top.join(path)) {
            Ok(file) => found.insert((*path).to_owned(), text_of(file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
    }
    Ok(found)
}

/// The command and the files may come in any order, so that each is kept by its whole name until the
/// release's top is known.
fn read_archive(release: &Path, paths: &[&str]) -> io::Result<BTreeMap<String, String>> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(release)?));
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut top = String::new();
    for entry in archive.entries()? {
        let entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let below = |path: &str| {
            let folder = name.strip_suffix(path)?;
            let is_top = folder.is_empty()
                || folder.ends_with('/') && !folder[..folder.len() - 1].contains('/');
            is_top.then(|| folder.to_owned())
        };
        if let Some(folder) = below(COMMAND) {
            top = folder;
        }
        if entry.header().entry_type().is_file() && paths.iter().any(|path| below(path).is_some()) {
            texts.insert(name.clone(), text_of(entry)?);
        }
    }
    let of_release = |(name, text): (String, String)| {
        let path = name.strip_prefix(&top)?.to_owned();
        paths.contains(&path.as_str()).then_some((path, text))
    };
    Ok(texts.into_iter().filter_map(of_release).collect())
}

fn text_of(file: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
