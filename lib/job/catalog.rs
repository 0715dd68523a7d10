//! The jobs that a cluster may use, by name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::Job;
use super::site::{self, SiteJobError};
use crate::model::JobFacts;

/// Built-in jobs, and those of the site.
#[derive(Default)]
pub struct Catalog {
    jobs: BTreeMap<String, Box<dyn Job>>,
}

impl Catalog {
    /// Makes a catalog of the built-in jobs.
    pub fn new(jobs: impl IntoIterator<Item = Box<dyn Job>>) -> Catalog {
        let named = jobs.into_iter().map(|job| (job.facts().name.clone(), job));
        Catalog {
            jobs: named.collect(),
        }
    }

    /// Adds the jobs that a site keeps in a folder.
    ///
    /// # Errors
    /// Every job that can't be read, and every one that takes a built-in job's name.
    pub fn with_site_jobs(mut self, folder: &Path) -> Result<Catalog, Vec<SiteJobError>> {
        let (jobs, mut errors) = site::read_all(folder);
        for job in jobs {
            match self.jobs.entry(job.facts().name.clone()) {
                Entry::Vacant(free) => {
                    free.insert(Box::new(job));
                }
                Entry::Occupied(taken) => {
                    let name = taken.key();
                    let message = format!("{name} is a built-in job; give the folder another name");
                    errors.push(SiteJobError::new(folder.join(name), message));
                }
            }
        }
        if errors.is_empty() {
            Ok(self)
        } else {
            Err(errors)
        }
    }

    /// Finds a job.
    pub fn get(&self, name: &str) -> Option<&dyn Job> {
        self.jobs.get(name).map(AsRef::as_ref)
    }

    /// Goes through all jobs by name.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Job> {
        self.jobs.values().map(AsRef::as_ref)
    }

    /// Tells what validation has to know of each.
    pub fn facts(&self) -> Vec<JobFacts> {
        self.iter().map(|job| job.facts().clone()).collect()
    }
}
