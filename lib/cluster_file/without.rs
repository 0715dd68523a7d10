//! The file as it would be without some of its instances: for asking whether that is still a cluster.

use std::net::IpAddr;

use super::ClusterFile;

impl ClusterFile {
    /// Returns the file without the instances that `is_gone` names by component and address. A
    /// component that loses its last one goes as a whole; everything else stays at its place.
    pub fn without(&self, is_gone: impl Fn(&str, IpAddr) -> bool) -> ClusterFile {
        let mut file = self.clone();
        for server in &mut file.server {
            let name = server.name.value.clone();
            server.hosts.retain(|host| !is_gone(&name, host.ip.value));
        }
        let (kept, lost): (Vec<_>, Vec<_>) = file
            .server
            .into_iter()
            .partition(|server| !server.hosts.is_empty());
        file.server = kept;
        file.components
            .retain(|name| !lost.iter().any(|server| server.name.value == name.value));
        // A room's machine goes with the last component that ran on it.
        let used: Vec<IpAddr> = file
            .server
            .iter()
            .flat_map(|server| server.hosts.iter().map(|host| host.ip.value))
            .collect();
        for room in file.global_ks.iter_mut().flat_map(|ks| &mut ks.rooms) {
            room.hosts.retain(|host| used.contains(&host.value));
        }
        file
    }
}
