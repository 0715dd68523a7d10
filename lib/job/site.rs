//! Jobs that a site keeps on disk: a folder with `job.yml` and `<name>.sh`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::frame::assemble;
use super::health::{Check, Health};
use super::{Action, Context, Job, JobError, SecretNeed, refuse_nul};
use crate::model::{JobFacts, Need, Port};
use crate::script::{Values, render_site_template};

/// How long a site job's service may take to come up unless `job.yml` says otherwise, in seconds.
const START_TIMEOUT: u32 = 120;

/// The values that every script has.
const BASE_VALUES: [&str; 3] = ["paas_user", "paas_home", "own_address"];

/// What is wrong with a job's folder.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct SiteJobError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong, and where in it.
    pub message: String,
}

impl SiteJobError {
    pub(super) fn new(path: PathBuf, message: impl Into<String>) -> SiteJobError {
        SiteJobError {
            path,
            message: message.into(),
        }
    }
}

/// `job.yml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    #[serde(default)]
    needs: Vec<NeedEntry>,
    #[serde(default)]
    provides: Vec<PortEntry>,
    #[serde(default)]
    needs_release: bool,
    /// The script's values by name.
    #[serde(default)]
    values: BTreeMap<String, Spanned<ValueEntry>>,
    /// Components of the release, in the order of starting.
    #[serde(default)]
    services: Vec<String>,
    /// systemd units, in the order of starting.
    #[serde(default)]
    units: Vec<String>,
    #[serde(default)]
    health: Vec<Spanned<Check>>,
    health_timeout: Option<u32>,
    #[serde(default)]
    logs: Vec<String>,
    /// A command that exits with 0 on the instance that leads.
    leader: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeedEntry {
    job: String,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortEntry {
    name: String,
    port: u16,
}

/// Where a value comes from; exactly one of the members is set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueEntry {
    /// The value itself.
    value: Option<Value>,
    /// The address of the first host that runs this job.
    address_of: Option<String>,
    /// The host's own address.
    #[serde(default)]
    own_address: bool,
    /// The instance's number.
    #[serde(default)]
    index: bool,
    /// A secret: `vars.<name>` says where it is, or it's made once.
    secret: Option<String>,
    /// A variable of the cluster file; `default` is taken where it isn't set.
    var: Option<String>,
    default: Option<Value>,
}

/// A job read from disk.
pub(super) struct SiteJob {
    facts: JobFacts,
    health: Health,
    values: BTreeMap<String, ValueEntry>,
    template_path: String,
    template: String,
    /// The job's own way back, with its path.
    removal: Option<(String, String)>,
    leader: Option<String>,
    secrets: Vec<SecretNeed>,
}

/// Reads every folder; a folder that can't be read is an error beside the jobs that can.
pub(super) fn read_all(folder: &Path) -> (Vec<SiteJob>, Vec<SiteJobError>) {
    let mut folders: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.is_dir() && !is_hidden(path))
            .collect(),
        Err(error) => {
            let message = format!("jobs_dir can't be read: {error}");
            return (
                Vec::new(),
                vec![SiteJobError::new(folder.to_owned(), message)],
            );
        }
    };
    folders.sort();
    let mut jobs = Vec::new();
    let mut errors = Vec::new();
    for folder in folders {
        match read(&folder) {
            Ok(job) => jobs.push(job),
            Err(error) => errors.push(error),
        }
    }
    (jobs, errors)
}

fn read(folder: &Path) -> Result<SiteJob, SiteJobError> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_name) {
        let message = "a job's folder is named with a-z, 0-9 and _, a letter first";
        return Err(SiteJobError::new(folder.to_owned(), message));
    }
    let text = |path: &Path| {
        fs::read_to_string(path)
            .map_err(|error| SiteJobError::new(path.to_owned(), format!("can't be read: {error}")))
    };
    let file_path = folder.join("job.yml");
    let options = serde_saphyr::options! { strict_booleans: true };
    let file: JobFile =
        serde_saphyr::from_str_with_options(&text(&file_path)?, options).map_err(|error| {
            // The parser's advice to programmers is none to the job's author.
            let said = error
                .to_string()
                .replace(", set DuplicateKeyPolicy in Options if acceptable", "");
            SiteJobError::new(file_path.clone(), said.trim_start_matches("error: "))
        })?;
    let wrong = |spot: &serde_saphyr::Location, message: String| {
        let message = format!("line {} column {}: {message}", spot.line(), spot.column());
        SiteJobError::new(file_path.clone(), message)
    };
    for (value, entry) in &file.values {
        if let Err(message) = entry.value.check(value) {
            return Err(wrong(&entry.defined, format!("values.{value}: {message}")));
        }
    }
    for check in &file.health {
        if let Err(message) = check.value.validate() {
            return Err(wrong(&check.defined, format!("health: {message}")));
        }
    }
    let template_path = folder.join(format!("{name}.sh"));
    let removal_path = folder.join(format!("{name}.remove.sh"));
    let removal = match removal_path.exists() {
        true => Some((removal_path.display().to_string(), text(&removal_path)?)),
        false => None,
    };
    let needs = file.needs.into_iter().map(|need| Need {
        job: need.job,
        why: need.why,
    });
    let provides = file.provides.into_iter().map(|p| Port {
        name: p.name,
        number: p.port,
    });
    let named = file.values.values();
    let secrets = named.filter_map(|entry| entry.value.secret.clone());
    let secrets = secrets.map(|secret| SecretNeed {
        name: secret,
        kept_by: name.to_owned(),
    });
    let secrets = secrets.collect();
    Ok(SiteJob {
        secrets,
        facts: JobFacts {
            name: name.to_owned(),
            needs: needs.collect(),
            provides: provides.collect(),
            needs_release: file.needs_release || !file.services.is_empty(),
            packages: Vec::new(),
        },
        health: Health {
            services: file.services,
            units: file.units,
            plain_ports: None,
            checks: file.health.into_iter().map(|check| check.value).collect(),
            logs: file.logs,
            timeout: file.health_timeout.unwrap_or(START_TIMEOUT),
        },
        values: file
            .values
            .into_iter()
            .map(|(name, entry)| (name, entry.value))
            .collect(),
        template: text(&template_path)?,
        template_path: template_path.display().to_string(),
        removal,
        leader: file.leader,
    })
}

/// What begins with a dot isn't a job, but a version control's folder, for example.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with('.'))
}

impl ValueEntry {
    /// Looks whether it makes a value that a template can name.
    fn check(&self, name: &str) -> Result<(), &'static str> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_name) {
            return Err("a template can't name it; letters, digits and _ are expected");
        }
        if BASE_VALUES.contains(&name) {
            return Err("every script has a value of this name; give it another");
        }
        if self.sources() != 1 {
            return Err(
                "exactly one of value, address_of, own_address, index, secret and var is expected",
            );
        }
        if self.default.is_some() && self.var.is_none() {
            return Err("default goes with var");
        }
        Ok(())
    }

    fn sources(&self) -> usize {
        [
            self.value.is_some(),
            self.address_of.is_some(),
            self.own_address,
            self.index,
            self.secret.is_some(),
            self.var.is_some(),
        ]
        .into_iter()
        .filter(|is_set| *is_set)
        .count()
    }
}

impl SiteJob {
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

    fn secrets(&self) -> &[SecretNeed] {
        &self.secrets
    }

    fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    fn values(&self, context: &Context<'_>) -> Result<Values, JobError> {
        let mut values = context.base_values()?;
        let own = context.instance;
        for (name, entry) in &self.values {
            if let Some(value) = &entry.value {
                values.set(name, value);
            } else if let Some(job) = &entry.address_of {
                context.set_address(&mut values, name, job)?;
            } else if entry.own_address {
                values.set_from(name, own.address, own.place);
            } else if entry.index {
                values.set_from(name, own.index, own.place);
            } else if let Some(secret) = &entry.secret {
                context.set_secret_as(&mut values, name, secret)?;
            } else if let Some(variable) = &entry.var {
                match (context.var(variable), &entry.default) {
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
                }
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
}
