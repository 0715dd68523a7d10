//! Where this machine keeps what it remembers of a cluster, and which cluster that is: files with the
//! same name, or with none, don't share runs and passwords.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use paas_cluster_build::journal;
use paas_cluster_build::model::Cluster;
use paas_cluster_build::plan::{Instances, fits, instances, sha256_hex};
use serde::{Deserialize, Serialize};

use crate::args::Common;
use crate::exit::Failure;
use crate::inventory;
use crate::workspace::Workspace;

/// The folder for clusters whose name another one has already.
const APART: &str = "apart";

/// What is remembered of a cluster beside its runs, in `cluster.json`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    /// Its id.
    pub id: Option<String>,
    /// The cluster files that it was built with.
    pub files: BTreeSet<PathBuf>,
}

/// Returns the state folder for a cluster, from the command line or the environment. Below it, the
/// cluster's name is the folder's, unless another cluster of this name has it.
pub fn state_dir(common: &Common, workspace: &Workspace) -> Result<PathBuf, Failure> {
    let variable = std::env::var_os;
    let base = journal::state_dir(
        common.state_dir.as_deref(),
        variable("XDG_STATE_HOME").as_deref(),
        variable("HOME").as_deref(),
    )
    .map_err(Failure::usage)?;
    let is_adopted = common.adopt.contains(&workspace.cluster.name);
    Ok(choose(&base, &workspace.cluster, is_adopted))
}

/// Says where another cluster of the same name is kept, if this one is kept apart from it.
pub fn told_apart(state: &Path, cluster: &Cluster) -> Option<String> {
    let apart = state.parent().filter(|folder| folder.ends_with(APART))?;
    let other = apart.parent()?.join(&cluster.name);
    let files = remembered(&other).files;
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let built_from = match files.is_empty() {
        true => String::new(),
        false => format!(", built from {}", files.join(", ")),
    };
    Some(format!(
        "another cluster called {name} is known here{built_from}; it has other hosts or components, so \
         this one is kept apart from it, with passwords and runs of its own. If it is the same, use \
         --adopt {name}; else a `name:` of its own in the file tells them apart",
        name = cluster.name
    ))
}

/// Reads what is remembered of a cluster; a file that can't be read is as if it weren't there.
pub fn remembered(folder: &Path) -> Remembered {
    let text = fs::read_to_string(folder.join("cluster.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Remembers the id of a cluster, and the file that it's built with.
pub fn remember(state: &Path, cluster: &Cluster, id: &str) -> std::io::Result<()> {
    let folder = state.join(&cluster.name);
    let mut remembered = remembered(&folder);
    remembered.id = Some(id.to_owned());
    remembered.files.insert(path_of(cluster));
    fs::create_dir_all(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    serde_json::to_writer_pretty(&mut file, &remembered)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(folder.join("cluster.json"))?;
    Ok(())
}

fn choose(base: &Path, cluster: &Cluster, is_adopted: bool) -> PathBuf {
    let file = path_of(cluster);
    let is_free = |state: &Path| is_of(&state.join(&cluster.name), cluster, &file);
    if is_adopted || is_free(base) != Some(false) {
        return base.to_owned();
    }
    let apart = base.join(APART);
    let others = fs::read_dir(&apart).into_iter().flatten();
    let mut others: Vec<PathBuf> = others
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    others.sort();
    if let Some(known) = others
        .into_iter()
        .find(|state| is_free(state) == Some(true))
    {
        return known;
    }
    let digest = sha256_hex(file.as_os_str().as_encoded_bytes());
    // The same file may have described several clusters by and by.
    let names = (1..).map(|number| match number {
        1 => digest[..12].to_owned(),
        number => format!("{}-{number}", &digest[..12]),
    });
    let mut folders = names.map(|name| apart.join(name));
    folders
        .find(|state| is_free(state) != Some(false))
        .unwrap_or(apart)
}

/// Tells whether a folder is a cluster's; `None` when nothing is known that speaks against it.
fn is_of(folder: &Path, cluster: &Cluster, file: &Path) -> Option<bool> {
    let hosts = inventory::read(&folder.join("hosts.json"));
    if hosts.is_empty() {
        return None;
    }
    let known: Instances = hosts
        .iter()
        .flat_map(|(host, names)| names.iter().map(|name| (*host, name.clone())))
        .collect();
    let files = remembered(folder).files;
    // The file that it was built with, or a folder of an older version, which names no file.
    if files.is_empty() || files.contains(file) {
        return Some(hosts.keys().any(|host| cluster.host(*host).is_some()));
    }
    Some(fits(&known, &instances(cluster)))
}

fn path_of(cluster: &Cluster) -> PathBuf {
    let absolute = || std::path::absolute(&cluster.file).unwrap_or_else(|_| cluster.file.clone());
    fs::canonicalize(&cluster.file).unwrap_or_else(|_| absolute())
}
