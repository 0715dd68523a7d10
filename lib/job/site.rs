//! Jobs that a site keeps on disk: a folder with `job.yml` and `<name>.sh`.

mod error;
mod folder;
mod shell;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::SiteJobError;
use folder::{JobFolder, Text};
pub use shell::read_by_shells;

use super::frame::assemble;
use super::health::{Check, Health};
use super::{Action, Context, Job, JobError, SecretNeed, refuse_nul};
use crate::cluster_file::{At, CheckEntry, ValueSource};
use crate::model::{JobFacts, Need, Port};
use crate::script::{Values, render_site_template};

/// How long a site job's service may take to come up unless `job.yml` says otherwise, in seconds.
const START_TIMEOUT: u32 = 120;

/// A job read from disk.
pub(super) struct SiteJob {
    facts: JobFacts,
    health: Health,
    values: BTreeMap<String, ValueSource>,
    template_path: String,
    template: String,
    /// `job.yml`: its path and text.
    job_file: (String, String),
    /// The job's own way back, with its path.
    removal: Option<(String, String)>,
    leader: Option<String>,
    secrets: Vec<SecretNeed>,
}

/// Reads every folder; a folder that can't be read is an error beside the jobs that can.
pub(super) fn read_all(folder: &Path) -> (Vec<SiteJob>, Vec<SiteJobError>) {
    let folders = match folder::folders(folder) {
        Ok(folders) => folders,
        Err(error) => return (Vec::new(), vec![error]),
    };
    let mut jobs = Vec::new();
    let mut errors = Vec::new();
    for folder in folders {
        match folder::read(&folder) {
            Ok(folder) => jobs.push(SiteJob::new(folder)),
            Err(wrong) => errors.extend(wrong),
        }
    }
    (jobs, errors)
}

impl SiteJob {
    fn new(folder: JobFolder) -> SiteJob {
        let JobFolder { name, file, .. } = folder;
        let needs = file.needs.into_iter().map(|(job, why)| Need {
            job: job.value,
            why,
        });
        let provides = file.provides.into_iter();
        let provides = provides.map(|(name, number)| Port { name, number });
        let secrets = file.values.iter().filter_map(|(_, source)| match source {
            ValueSource::Secret(secret) => Some(SecretNeed {
                name: secret.clone(),
                kept_by: name.clone(),
            }),
            _ => None,
        });
        let secrets = secrets.collect();
        let texts = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect();
        let in_full = |text: Text| (text.path.display().to_string(), text.text);
        let (template_path, template) = in_full(folder.template);
        SiteJob {
            secrets,
            facts: JobFacts {
                name,
                needs: needs.collect(),
                provides: provides.collect(),
                needs_release: file.needs_release || !file.services.is_empty(),
                packages: Vec::new(),
                needs_one_release: None,
            },
            health: Health {
                services: texts(file.services),
                units: texts(file.units),
                checks: file.health.into_iter().map(check).collect(),
                logs: texts(file.logs),
                timeout: file.health_timeout.unwrap_or(START_TIMEOUT),
            },
            values: file
                .values
                .into_iter()
                .map(|(name, source)| (name.value, source))
                .collect(),
            template,
            template_path,
            job_file: in_full(folder.yml),
            removal: folder.removal.map(in_full),
            leader: file.leader.map(|at| at.value),
        }
    }
    /// Where there are services or units, stopping them for good is a way back.
    fn removal_without_script(&self, values: &Values) -> Result<String, JobError> {
        if self.health.services.is_empty() && self.health.units.is_empty() {
            let name = &self.facts.name;
            return Err(JobError::new(format!(
                "the job {name} has no way back: it names neither services nor units; write \
                 {name}.remove.sh beside {}",
                self.template_path
            )));
        }
        assemble(Action::Remove, values, &self.health, true, || {
            Ok(String::new())
        })
    }
}

impl Job for SiteJob {
    fn facts(&self) -> &JobFacts {
        &self.facts
    }

    fn health(&self) -> &Health {
        &self.health
    }

    fn secrets(&self) -> &[SecretNeed] {
        &self.secrets
    }

    fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    fn values(&self, context: &Context<'_>) -> Result<Values, JobError> {
        let mut values = context.base_values()?;
        let own = context.instance;
        for (name, source) in &self.values {
            match source {
                ValueSource::Value(value) => values.set(name, value),
                ValueSource::AddressOf(job) => {
                    context.set_address(&mut values, name, &job.value)?;
                }
                ValueSource::OwnAddress => values.set_from(name, own.address, own.place),
                ValueSource::Index => values.set_from(name, own.index, own.place),
                ValueSource::Secret(secret) => {
                    context.set_secret_as(&mut values, name, secret)?;
                }
                ValueSource::Var {
                    name: variable,
                    default,
                } => match (context.var(variable), default) {
                    (Some((value, place)), _) => values.set_from(name, value, *place),
                    (None, Some(default)) => values.set(name, default),
                    (None, None) => {
                        return Err(JobError {
                            message: format!(
                                "{} needs vars.{variable}, which isn't set",
                                self.facts.name
                            ),
                            place: Some(context.component.place),
                        });
                    }
                },
            }
        }
        refuse_nul(&self.facts.name, &values)?;
        Ok(values)
    }

    fn render(&self, action: Action, values: &Values) -> Result<String, JobError> {
        let (path, text) = match (action, &self.removal) {
            (Action::Remove, Some((path, text))) => (path, text),
            (Action::Remove, None) => return self.removal_without_script(values),
            _ => (&self.template_path, &self.template),
        };
        assemble(action, values, &self.health, true, || {
            render_site_template(path, text, values).map_err(JobError::new)
        })
    }

    fn template(&self) -> (&str, &str) {
        (&self.template_path, &self.template)
    }

    fn sources(&self) -> Vec<(&str, &str)> {
        let (path, text) = &self.job_file;
        vec![self.template(), (path, text)]
    }
}

fn check(entry: CheckEntry) -> Check {
    match entry {
        CheckEntry::Tcp(port) => Check::Tcp(port),
        CheckEntry::Http { port, path } => Check::Http { port, path },
        CheckEntry::Command(line) => Check::Command(line.value),
    }
}
