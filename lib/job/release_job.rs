//! A built-in job that drives a release: it configures a component and starts it.

use askama::Template;
use serde::de::DeserializeOwned;

use super::frame::{as_error, assemble};
use super::health::{Check, Health};
use super::{Action, Context, Job, JobError, SecretNeed, refuse_nul};
use crate::model::{JobFacts, Need, Port};
use crate::script::Values;

/// How long a service may take to come up after the release says that it started, in seconds.
const START_TIMEOUT: u32 = 90;

type Collect = fn(&Context<'_>, &mut Values) -> Result<(), JobError>;
type Render = fn(&Values) -> Result<String, JobError>;

/// A job as its folder in `cluster_jobs/` describes it.
pub struct ReleaseJob {
    facts: JobFacts,
    health: Health,
    secrets: Vec<SecretNeed>,
    collect: Collect,
    render: Render,
    template: (&'static str, &'static str),
}

impl ReleaseJob {
    /// Describes the job of the component `name`: its script's type, text and values.
    pub fn new<Script: Template + DeserializeOwned>(
        name: &str,
        template: (&'static str, &'static str),
        collect: Collect,
    ) -> ReleaseJob {
        ReleaseJob {
            facts: JobFacts {
                name: name.to_owned(),
                needs: Vec::new(),
                provides: Vec::new(),
                needs_release: true,
            },
            health: Health {
                services: vec![name.to_owned()],
                units: Vec::new(),
                checks: Vec::new(),
                logs: vec![format!("build_dir/log/{name}.log")],
                timeout: START_TIMEOUT,
            },
            secrets: Vec::new(),
            collect,
            render: render_part::<Script>,
            template,
        }
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

    /// Adds a question that tells whether it's healthy.
    pub fn check(mut self, check: Check) -> Self {
        self.health.checks.push(check);
        self
    }

    /// Adds a component of the release that is started before the job's own.
    pub fn after(mut self, service: &str) -> Self {
        self.health
            .services
            .insert(self.health.services.len() - 1, service.to_owned());
        self.health
            .logs
            .push(format!("build_dir/log/{service}.log"));
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

fn render_part<Script: Template + DeserializeOwned>(values: &Values) -> Result<String, JobError> {
    let script: Script = serde_json::from_value(values.to_json()).map_err(as_error)?;
    script.render().map_err(as_error)
}

impl Job for ReleaseJob {
    fn facts(&self) -> &JobFacts {
        &self.facts
    }

    fn secrets(&self) -> &[SecretNeed] {
        &self.secrets
    }

    fn values(&self, context: &Context<'_>) -> Result<Values, JobError> {
        let mut values = context.base_values()?;
        (self.collect)(context, &mut values)?;
        refuse_nul(&self.facts.name, &values)?;
        Ok(values)
    }

    fn render(&self, action: Action, values: &Values) -> Result<String, JobError> {
        assemble(action, values, &self.health, || match action {
            // Its settings lie in the release's own files, which stay as they are.
            Action::Remove => Ok(String::new()),
            _ => (self.render)(values),
        })
    }

    fn template(&self) -> (&str, &str) {
        self.template
    }
}
