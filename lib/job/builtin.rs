//! A built-in job: it configures a component of the release, or software of Debian, and starts it.

use askama::Template;
use serde::de::DeserializeOwned;

use super::frame::{self, as_error, assemble};
use super::health::{Check, Health};
use super::settings::{self, ReleaseFile};
use super::{Action, Context, DefaultSecret, Job, JobError, SecretNeed, refuse_nul};
use crate::model::{JobFacts, Need, Port};
use crate::script::Values;

/// How long a service may take to come up after the release says that it started, in seconds.
const START_TIMEOUT: u32 = 90;

type Collect = fn(&Context<'_>, &mut Values) -> Result<(), JobError>;
type Render = fn(&Values) -> Result<String, JobError>;

/// A job as its folder in `cluster_jobs/` describes it.
pub struct BuiltinJob {
    facts: JobFacts,
    health: Health,
    secrets: Vec<SecretNeed>,
    files: &'static [ReleaseFile],
    default_secrets: &'static [DefaultSecret],
    collect: Collect,
    render: Render,
    template: (&'static str, &'static str),
    way_back: &'static str,
    leader: Option<String>,
}

impl BuiltinJob {
    /// Describes the job of the release's component `name`: its script's type, text and values.
    pub fn of_release<Script: Template + DeserializeOwned>(
        name: &str,
        template: (&'static str, &'static str),
        collect: Collect,
    ) -> BuiltinJob {
        let mut job = BuiltinJob::of_system::<Script>(name, template, collect);
        job.facts.needs_release = true;
        job.health.services.push(name.to_owned());
        job.health.logs.extend(logs_of(name));
        job
    }

    /// Describes a job whose software comes from packages: its script installs, configures and
    /// restarts it, and its units are its services.
    pub fn of_system<Script: Template + DeserializeOwned>(
        name: &str,
        template: (&'static str, &'static str),
        collect: Collect,
    ) -> BuiltinJob {
        BuiltinJob {
            facts: JobFacts {
                name: name.to_owned(),
                needs: Vec::new(),
                provides: Vec::new(),
                needs_release: false,
                packages: Vec::new(),
                needs_one_release: None,
            },
            health: Health {
                services: Vec::new(),
                units: Vec::new(),
                checks: Vec::new(),
                logs: Vec::new(),
                timeout: START_TIMEOUT,
            },
            secrets: Vec::new(),
            files: &[],
            default_secrets: &[],
            collect,
            render: render_part::<Script>,
            template,
            way_back: "",
            leader: None,
        }
    }

    /// Sets what it sets in the release's own files.
    pub fn settings(mut self, files: &'static [ReleaseFile]) -> Self {
        self.files = files;
        self
    }

    /// Sets which secrets stay as the release has them.
    pub fn default_secrets(mut self, secrets: &'static [DefaultSecret]) -> Self {
        self.default_secrets = secrets;
        self
    }

    /// Adds a job that must be in the cluster, and what for.
    pub fn needs(mut self, job: &str, why: &str) -> Self {
        self.facts.needs.push(Need {
            job: job.to_owned(),
            why: why.to_owned(),
        });
        self
    }

    /// Adds a port that it listens on.
    pub fn provides(mut self, name: &str, number: u16) -> Self {
        self.facts.provides.push(Port {
            name: name.to_owned(),
            number,
        });
        self
    }

    /// Adds Debian packages, which the script finds in `packages` and installs.
    pub fn packages(mut self, packages: &[&str]) -> Self {
        let packages = packages.iter().copied().map(str::to_owned);
        self.facts.packages.extend(packages);
        self
    }

    /// Says that all its hosts need the same release of the system, and why.
    pub fn needs_one_release(mut self, why: &str) -> Self {
        self.facts.needs_one_release = Some(why.to_owned());
        self
    }

    /// Adds a systemd unit that is its service.
    pub fn unit(mut self, unit: &str) -> Self {
        self.health.units.push(unit.to_owned());
        self
    }

    /// Adds a file whose end is shown when it doesn't come up.
    pub fn log(mut self, file: &str) -> Self {
        self.health.logs.push(file.to_owned());
        self
    }

    /// Sets how many seconds a start may take.
    pub fn start_timeout(mut self, seconds: u32) -> Self {
        self.health.timeout = seconds;
        self
    }

    /// Sets the script that takes away what stopping and disabling its units leaves.
    pub fn way_back(mut self, script: &'static str) -> Self {
        self.way_back = script;
        self
    }

    /// Sets the command that exits with 0 on the instance that leads the others.
    pub fn leader_by(mut self, command: &str) -> Self {
        self.leader = Some(command.to_owned());
        self
    }

    /// Adds a question that tells whether it's healthy.
    pub fn check(mut self, check: Check) -> Self {
        self.health.checks.push(check);
        self
    }

    /// Adds a component of the release that is started before the job's own.
    pub fn after(mut self, service: &str) -> Self {
        let own = &self.facts.name;
        let place = self.health.services.iter().position(|name| name == own);
        let place = place.unwrap_or_default();
        self.health.services.insert(place, service.to_owned());
        self.health.logs.extend(logs_of(service));
        self
    }

    /// Adds a component of the release that is started after the job's own.
    pub fn then(mut self, service: &str) -> Self {
        self.health.services.push(service.to_owned());
        self.health.logs.extend(logs_of(service));
        self
    }

    /// Adds a secret that its script holds.
    pub fn secret(mut self, name: &str, kept_by: &str) -> Self {
        self.secrets.push(SecretNeed {
            name: name.to_owned(),
            kept_by: kept_by.to_owned(),
        });
        self
    }
}

/// Where the releases let a component write its logs.
fn logs_of(component: &str) -> Vec<String> {
    let kinds = ["log", "stdout.log", "stderr.log"];
    kinds
        .map(|kind| format!("vcap/sys/log/{component}.{kind}"))
        .to_vec()
}

fn render_part<Script: Template + DeserializeOwned>(values: &Values) -> Result<String, JobError> {
    let script: Script = serde_json::from_value(values.to_json()).map_err(as_error)?;
    script.render().map_err(as_error)
}

/// Functions that install Debian's packages, for jobs that bring their own and for bootstrap; they
/// need those of [`INSTALLED`].
pub const PACKAGES: &str = include_str!("../../deploy/packages.sh");

/// Functions that ask dpkg which packages are installed; every job's script but a removal has them.
pub const INSTALLED: &str = include_str!("../../deploy/installed.sh");

impl Job for BuiltinJob {
    fn facts(&self) -> &JobFacts {
        &self.facts
    }

    fn health(&self) -> &Health {
        &self.health
    }

    fn secrets(&self) -> &[SecretNeed] {
        &self.secrets
    }

    fn default_secrets(&self) -> &'static [DefaultSecret] {
        self.default_secrets
    }

    fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    fn values(&self, context: &Context<'_>) -> Result<Values, JobError> {
        let mut values = context.base_values()?;
        if !self.facts.packages.is_empty() {
            values.set("packages", &self.facts.packages);
        }
        (self.collect)(context, &mut values)?;
        refuse_nul(&self.facts.name, &values)?;
        Ok(values)
    }

    fn render(&self, action: Action, values: &Values) -> Result<String, JobError> {
        let drives_release = self.facts.needs_release;
        assemble(
            action,
            values,
            &self.health,
            drives_release,
            || match action {
                // A release job's settings lie in the release's own files, which stay as they are.
                Action::Remove => Ok(self.way_back.to_owned()),
                _ if self.facts.packages.is_empty() => {
                    let settings = settings::script_of(self.files, values)?;
                    Ok(settings + "\n" + &(self.render)(values)?)
                }
                _ => Ok(format!("{PACKAGES}\n{}", (self.render)(values)?)),
            },
        )
    }

    fn edits(&self, values: &Values) -> Result<Vec<String>, JobError> {
        settings::listing(self.files, values)
    }

    fn edited_files(&self) -> Vec<&'static str> {
        settings::edited(self.files)
    }

    fn compared_secrets(&self, values: &Values) -> Vec<String> {
        let secrets = values.iter().filter(|(_, input)| input.secret);
        let named = secrets.filter(|(name, _)| settings::name(self.files, name));
        named.map(|(name, _)| name.to_owned()).collect()
    }

    fn recognise(&self, values: &Values) -> Result<Option<String>, JobError> {
        if !self.facts.needs_release {
            return Ok(None);
        }
        let files = settings::paths(self.files);
        let settings = settings::script_of(self.files, values)?;
        frame::recognition(values, &self.health, &files, &settings).map(Some)
    }

    fn template(&self) -> (&str, &str) {
        self.template
    }
}
