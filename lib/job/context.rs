//! What a job may look at while it collects its values.

use std::collections::BTreeMap;
use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::JobError;
use crate::cluster_file::Place;
use crate::model::{Cluster, Component, GlobalKs, Instance, Room};
use crate::script::Values;

/// The secrets of a run by name: from the configuration, from a host, or generated.
pub type Secrets = BTreeMap<String, SecretString>;

/// One job's view of the cluster: the whole of it, and the instance that it stands on.
pub struct Context<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The component that runs the job.
    pub component: &'a Component,
    /// The host's instance of it.
    pub instance: &'a Instance,
    /// The secrets that are known to this run.
    pub secrets: &'a Secrets,
    /// The SHA-256 of the archive with the site's own packages, which is among the host's artifacts.
    pub site_packages: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// Begins a job's values with those that every script has: the login user, its home,
    /// and the host's own address.
    ///
    /// # Errors
    /// A `paas_home` that is no text, or that isn't the whole cluster's: bootstrap puts the release
    /// there, for every job of a host.
    pub fn base_values(&self) -> Result<Values, JobError> {
        let own = [&self.instance.vars, &self.component.vars];
        if let Some((_, place)) = own.iter().find_map(|vars| vars.get("paas_home")) {
            return Err(JobError {
                message: "paas_home is the whole cluster's; set it in the vars on top".to_owned(),
                place: Some(*place),
            });
        }
        let mut values = Values::new();
        let user = self.user();
        values.set("paas_user", user);
        self.set_var(&mut values, "paas_home", &home_of(self.cluster, user))?;
        values.set_from("own_address", self.instance.address, self.instance.place);
        Ok(values)
    }

    /// Finds the address of the first host that runs a job, and where it stands in the file.
    ///
    /// # Errors
    /// No host of the cluster runs it.
    pub fn address_of(&self, job: &str) -> Result<(IpAddr, Place), JobError> {
        let mut instances = self.cluster.instances_of_job(job);
        let (_, first) = instances.next().ok_or_else(|| JobError {
            message: format!("{} needs {job}, which no host runs", self.component.name),
            place: Some(self.component.place),
        })?;
        Ok((first.address, first.place))
    }

    /// Returns the global control plane, and the room that the host stands in.
    ///
    /// # Errors
    /// The cluster carries none, or the host is in no room (an arbiter, for example).
    pub fn room(&self) -> Result<(&'a GlobalKs, &'a Room), JobError> {
        let ks = self.global_ks()?;
        let room = ks.room_of(self.instance.address).ok_or_else(|| JobError {
            message: format!("{} stands in no room of global_ks", self.instance.address),
            place: Some(self.instance.place),
        })?;
        Ok((ks, room))
    }

    /// Returns the global control plane.
    ///
    /// # Errors
    /// The cluster carries none.
    pub fn global_ks(&self) -> Result<&'a GlobalKs, JobError> {
        self.cluster.global_ks.as_ref().ok_or_else(|| JobError {
            message: format!(
                "{} needs `global_ks` in the cluster file",
                self.component.name
            ),
            place: Some(self.component.place),
        })
    }

    /// Lists the hosts that run a job, in the file's order.
    pub fn hosts_of(&self, job: &str) -> Vec<IpAddr> {
        let instances = self.cluster.instances_of_job(job);
        instances.map(|(_, instance)| instance.address).collect()
    }

    /// Finds the host of a room that serves this one with a job: itself if it runs it.
    ///
    /// # Errors
    /// No host of the room runs it.
    pub fn nearest(&self, room: &Room, job: &str) -> Result<IpAddr, JobError> {
        let hosts = self.cluster.hosts_in(room, job);
        let own = hosts.iter().find(|host| **host == self.instance.address);
        own.or(hosts.first()).copied().ok_or_else(|| JobError {
            message: format!(
                "the room {} needs {job}, which no host of it runs",
                room.name
            ),
            place: Some(room.place),
        })
    }

    /// Sets `name` to the address of the first host that runs a job.
    ///
    /// # Errors
    /// No host of the cluster runs it.
    pub fn set_address(&self, values: &mut Values, name: &str, job: &str) -> Result<(), JobError> {
        let (address, place) = self.address_of(job)?;
        values.set_from(name, address, place);
        Ok(())
    }

    /// Sets `name` to the same address as it stands in a URL: an IPv6 one in brackets.
    ///
    /// # Errors
    /// No host of the cluster runs the job.
    pub fn set_url_host(&self, values: &mut Values, name: &str, job: &str) -> Result<(), JobError> {
        let (address, place) = self.address_of(job)?;
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        values.set_from(name, host, place);
        Ok(())
    }

    /// Sets `index` to the instance's number.
    pub fn set_index(&self, values: &mut Values) {
        values.set_from("index", self.instance.index, self.instance.place);
    }

    /// Sets `name` to the variable of that name, or to a default.
    ///
    /// # Errors
    /// The variable isn't a text.
    pub fn set_var(&self, values: &mut Values, name: &str, default: &str) -> Result<(), JobError> {
        match self.var(name) {
            None => values.set(name, default),
            Some((text @ Value::String(_), place)) => values.set_from(name, text, *place),
            Some((other, place)) => {
                return Err(JobError {
                    message: format!("vars.{name} is {other}; a text is expected, in quotes"),
                    place: Some(*place),
                });
            }
        }
        Ok(())
    }

    /// Sets `name` to the secret of that name.
    ///
    /// # Errors
    /// The run doesn't know it.
    pub fn set_secret(&self, values: &mut Values, name: &str) -> Result<(), JobError> {
        self.set_secret_as(values, name, name)
    }

    /// Sets `value` to the secret `name`.
    ///
    /// # Errors
    /// The run doesn't know it.
    pub fn set_secret_as(
        &self,
        values: &mut Values,
        value: &str,
        name: &str,
    ) -> Result<(), JobError> {
        let secret = self.secrets.get(name).ok_or_else(|| {
            JobError::new(format!(
                "{} needs the secret {name}, which is not known",
                self.component.name
            ))
        })?;
        values.set_secret(value, secret.expose_secret());
        Ok(())
    }

    /// Finds a variable: the instance's, else the component's, else the cluster's.
    pub fn var(&self, name: &str) -> Option<&'a (Value, Place)> {
        let layers = [
            &self.instance.vars,
            &self.component.vars,
            &self.cluster.vars,
        ];
        layers.into_iter().find_map(|layer| layer.get(name))
    }

    fn user(&self) -> &'a str {
        self.cluster
            .host(self.instance.address)
            .map_or("paas", |host| &host.ssh.user)
    }
}

/// The function by which every script asks the host itself for a home, where the cluster file says
/// nothing; it takes the user and what [`home_of`] tells.
pub const HOME: &str = include_str!("../../deploy/home.sh");

/// Tells a login user's home: `vars.paas_home`, or the usual place, which is a guess.
pub fn home_of(cluster: &Cluster, user: &str) -> String {
    match cluster.vars.get("paas_home") {
        Some((Value::String(home), _)) => home.clone(),
        _ if user == "root" => "/root".to_owned(),
        _ => format!("/home/{user}"),
    }
}
