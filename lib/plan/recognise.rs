//! Looks at steps that somebody else may have done: a script for each, which changes nothing.

use std::collections::BTreeSet;

use askama::Template;
use serde::Serialize;

use super::adopt::Recognition;
use super::package::Prepared;
use super::receipt::sha256_hex;
use super::release_files;
use super::render::Rendered;
use super::resolve::{PlanError, Planner};
use super::step::StepId;
use crate::job::{Action, HOME, INSTALLED, Job};
use crate::model::{Artifact, ReleaseSource};
use crate::operation::{Operation, Task};
use crate::script::Values;

/// The folders by which a release runs; where it has them all, the rest isn't compared.
const RUN_BY: [&str; 3] = ["bin/", "jobs/", "lib/"];

/// What a release brings along for the home, as bootstrap unpacks it.
const MICRO_PAAS: &str = "micro-paas/";

/// `deploy/recognise_host.sh`.
#[derive(Template, Serialize)]
#[template(path = "recognise_host.sh", config = "config/askama.toml")]
struct HostScript<'a> {
    user: &'a str,
    home: &'a str,
    packages: Vec<&'a str>,
    has_release: bool,
    has_micro_paas: bool,
    release_ref: &'a str,
    /// What a git repository's tree is compared in: all but the files that are edited.
    pathspecs: Vec<String>,
    files: &'a [ComparedFile],
}

/// A file of the release that has to be the same on the host.
#[derive(Serialize)]
struct ComparedFile {
    path: String,
    sha256: String,
}

impl Planner<'_> {
    /// Renders, for every machine and job that an operation builds, the script that recognises it
    /// where somebody else built it, and whether that compares settings as well.
    ///
    /// # Errors
    /// The first one that can't be rendered, or a release that can't be read.
    pub fn recognition(&self, operation: &Operation) -> Result<Vec<Recognition>, PlanError> {
        let files = self.compared_files()?;
        let tasks = operation.stages.iter().flat_map(|stage| &stage.tasks);
        let mut all = Vec::new();
        for task in tasks {
            let Rendered { name, values, .. } = self.render(task)?;
            let secrets = values.iter().filter(|(_, input)| input.secret);
            let mut secrets: Vec<String> = secrets.map(|(name, _)| name.to_owned()).collect();
            let (script, compares, of_release) = match task {
                Task::Bootstrap { .. } => (self.recognise_host(&values, &files)?, true, false),
                Task::Job {
                    job,
                    host,
                    component,
                    ..
                } => {
                    let (_, _, job) = self.find(component, *host, job)?;
                    let compared = job.compared_secrets(&values);
                    secrets.retain(|name| !compared.contains(name));
                    let of_release = job.facts().needs_release;
                    match job.recognise(&values)? {
                        Some(script) => (script, true, of_release),
                        None => (job.render(Action::Health, &values)?, false, of_release),
                    }
                }
                _ => continue,
            };
            all.push(Recognition {
                id: StepId {
                    step: name,
                    host: task.host(),
                },
                script,
                compares,
                secrets,
                of_release,
            });
        }
        Ok(all)
    }

    fn recognise_host(&self, values: &Values, files: &[ComparedFile]) -> Result<String, PlanError> {
        let text = |name| {
            let value = values.get(name).and_then(|input| input.value.as_str());
            value.unwrap_or_default()
        };
        let packages = values
            .get("packages")
            .and_then(|input| input.value.as_array());
        let packages = packages
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str());
        let release = self.release.map(|release| &release.paas_release);
        let edited = self.edited_files();
        let left_out = edited.iter().map(|path| format!(":(exclude){path}"));
        let script = HostScript {
            user: text("user"),
            home: text("home"),
            packages: packages.collect(),
            has_release: release.is_some(),
            has_micro_paas: self
                .release
                .is_some_and(|release| release.micro_paas.is_some()),
            release_ref: match release {
                Some(Prepared::Git { reference, .. }) => reference,
                _ => "",
            },
            pathspecs: std::iter::once(".".to_owned()).chain(left_out).collect(),
            files,
        };
        let script = script.render().map_err(|error| PlanError {
            message: format!("deploy/recognise_host.sh can't be rendered: {error}"),
            place: None,
        })?;
        Ok(format!("{HOME}\n{INSTALLED}\n{script}\n"))
    }

    /// The files of a release in which some job sets something.
    fn edited_files(&self) -> BTreeSet<&'static str> {
        self.catalog.iter().flat_map(Job::edited_files).collect()
    }

    /// The files that the release on a host has to have as they are here; none where the release is
    /// elsewhere.
    fn compared_files(&self) -> Result<Vec<ComparedFile>, PlanError> {
        let release = self.cluster.release.as_ref();
        let Some(ReleaseSource::Artifact(Artifact::Path { path, .. })) =
            release.map(|release| &release.paas_release)
        else {
            return Ok(Vec::new());
        };
        let edited = self.edited_files();
        let is_wanted = |path: &str| {
            let is_odd = path.contains(['\n', '\\']);
            !is_odd && !edited.contains(path) && !path.starts_with(MICRO_PAAS)
        };
        let mut files = release_files::read(path, is_wanted).map_err(|error| PlanError {
            message: format!("the release {} can't be read: {error}", path.display()),
            place: release.and_then(|release| release.place),
        })?;
        let has = |folder: &str| files.keys().any(|path| path.starts_with(folder));
        if RUN_BY.iter().all(|folder| has(folder)) {
            files.retain(|path, _| RUN_BY.iter().any(|folder| path.starts_with(folder)));
        }
        let file = |(path, bytes): (String, Vec<u8>)| ComparedFile {
            path,
            sha256: sha256_hex(&bytes),
        };
        Ok(files.into_iter().map(file).collect())
    }
}
