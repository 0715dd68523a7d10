//! Which secrets stay as the release has them. Where the release is a folder or an archive on this
//! machine, its own files say which ones it still has; of another it's only known what it came with.

use std::io;

use serde::Serialize;

use super::release_files;
use crate::job::{Catalog, DefaultSecret};
use crate::model::{Artifact, Cluster, ReleaseSource};

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
            let wanted: Vec<&str> = paths.copied().collect();
            Some(release_files::read(path, |path| wanted.contains(&path))?)
        }
        _ => None,
    };
    let staying = |(component, secret): &(&str, &DefaultSecret)| {
        let (found, line) = match &files {
            None => (secret.paths(), None),
            Some(files) => {
                let mut paths = secret.paths().chunks(1);
                let path = paths.find(|path| files.contains_key(path[0]))?;
                let text = String::from_utf8_lossy(&files[path[0]]);
                (path, secret.found_in(&text)?)
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
