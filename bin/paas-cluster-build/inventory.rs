//! The hosts that builds from this machine have touched, so that one that disappears from the
//! cluster file can be named.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use paas_cluster_build::model::{Cluster, Selection};

/// Each host with its components.
pub type Hosts = BTreeMap<IpAddr, Vec<String>>;

/// Names the hosts of earlier builds that the file no longer has.
pub fn gone(state: &Path, cluster: &Cluster) -> Vec<(IpAddr, Vec<String>)> {
    let mut hosts = read(&path(state, cluster));
    hosts.retain(|host, _| cluster.host(*host).is_none());
    hosts.into_iter().collect()
}

/// Remembers the hosts of a build; those that are no longer in the file stay remembered.
pub fn remember(state: &Path, cluster: &Cluster, selection: &Selection) -> std::io::Result<()> {
    let path = path(state, cluster);
    let mut hosts = read(&path);
    for host in &cluster.hosts {
        if selection.has_host(host.address) {
            let on_it = cluster.components.iter().filter(|component| {
                let mut instances = component.instances.iter();
                instances.any(|i| i.address == host.address)
            });
            let names = on_it.map(|component| component.name.clone()).collect();
            hosts.insert(host.address, names);
        }
    }
    write(&path, &hosts)
}

/// Forgets a host from which everything was taken away.
pub fn forget(state: &Path, cluster: &Cluster, host: IpAddr) -> std::io::Result<()> {
    let path = path(state, cluster);
    let mut hosts = read(&path);
    match hosts.remove(&host) {
        Some(_) => write(&path, &hosts),
        None => Ok(()),
    }
}

fn path(state: &Path, cluster: &Cluster) -> PathBuf {
    state.join(&cluster.name).join("hosts.json")
}

/// A file that can't be read is as if it weren't there: it only helps to remember.
pub fn read(path: &Path) -> Hosts {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write(path: &Path, hosts: &Hosts) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, hosts)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
