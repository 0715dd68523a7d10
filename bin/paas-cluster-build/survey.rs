//! What is known before something is decided: the selected hosts are asked, over the connections that
//! a run then goes on with, and the secrets are found.

use std::net::IpAddr;

use paas_cluster_build::engine::{Outcome, event_channel};
use paas_cluster_build::job::Secrets;
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, Operation};
use paas_cluster_build::plan::{
    Belonging, Facts, HostFacts, HostState, Plan, copies, same_machines,
};
use paas_cluster_build::report::printable;

use crate::args::Output;
use crate::commands::build::not_ready;
use crate::conductor::{Conductor, describe};
use crate::exit::Failure;
use crate::patience::name_the_silent;
use crate::secrets::Found;
use crate::state::{Remembered, remembered};

/// What is known before something is decided.
pub struct Survey {
    /// The hosts.
    pub facts: Facts,
    /// The secrets of the selected components.
    pub found: Found,
}

impl Survey {
    /// What is planned with while nothing is known: stand-ins, or no secrets at all.
    pub fn blind(secrets: Secrets) -> Survey {
        Survey {
            facts: Facts::default(),
            found: Found {
                secrets,
                ..Found::default()
            },
        }
    }
}

impl Conductor<'_> {
    /// Looks at the selected hosts, and at those that keep their secrets, over the connections
    /// that a run then goes on with; finds the secrets, and makes none. Refuses where two addresses
    /// are one machine's.
    pub fn survey(&self, selection: &Selection) -> Result<Survey, Failure> {
        let facts = self.look(selection, true)?;
        self.with_secrets(facts, selection)
    }

    /// Looks at the selected hosts, at those that keep their secrets, and at their fellows; what is
    /// wrong with the machines is told and no more.
    pub fn look_to_show(&self, selection: &Selection) -> Result<Facts, Failure> {
        self.look(selection, false)
    }

    /// Finds the secrets of the selected components, and makes none.
    pub fn with_secrets(&self, facts: Facts, selection: &Selection) -> Result<Survey, Failure> {
        let vault = self.vault(selection);
        // Where the cluster can't be planned whole, no receipt is asked what it was made with.
        let build = operation::build(&self.workspace.cluster, selection);
        let uses = match self.rehearse(&build, selection) {
            Ok(plan) => vault.uses(&plan),
            Err(_) => Vec::new(),
        };
        let found = vault.find(&facts, &uses)?;
        for warning in &found.warnings {
            errln!("warning: {warning}");
        }
        Ok(Survey { facts, found })
    }

    /// Does the same for an operation: what it doesn't use is neither missed nor made for it.
    pub fn survey_for(
        &self,
        operation: &Operation,
        selection: &Selection,
    ) -> Result<Survey, Failure> {
        let mut survey = self.survey(selection)?;
        let plan = self.rehearse(operation, selection)?;
        survey.found.narrow(&self.vault(selection).uses(&plan));
        Ok(survey)
    }

    fn look(&self, selection: &Selection, is_strict: bool) -> Result<Facts, Failure> {
        let vault = self.vault(selection);
        let mut others = vault.keepers();
        others.extend(self.fellows(selection));
        let probe = operation::probe(&self.workspace.cluster, selection, &others);
        let plan = self.plan(&probe, &Survey::blind(vault.stand_ins()), false)?;
        let hosts = plan
            .stages
            .iter()
            .map(|stage| stage.steps.len())
            .sum::<usize>();
        if self.output != Output::Json {
            errln!(
                "looking at {hosts} host{}",
                if hosts == 1 { "" } else { "s" }
            );
        }
        let outcome = self.unless_interrupted(async { Ok(self.listen(&plan).await) })?;
        for setting in self.transport.unhonoured() {
            errln!("note: {}", printable(&setting));
        }
        let mut facts = facts_of(outcome);
        self.forget_the_dead(&mut facts);
        self.tell_machines(&facts, is_strict)?;
        let cluster = &self.workspace.cluster;
        let remembered = match &self.state_dir {
            Ok(state) => remembered(&state.join(&cluster.name)),
            Err(_) => Remembered::default(),
        };
        let known = remembered.id.as_deref();
        let belonging = Belonging::learn(
            cluster,
            &facts,
            known,
            &self.adopted.borrow(),
            &self.fresh_id,
        );
        facts.belonging = Some(belonging);
        Ok(facts)
    }

    /// Runs queries; names the hosts that let them wait.
    pub(crate) async fn listen(&self, plan: &Plan) -> Outcome {
        let (sink, receiver) = event_channel(&self.run.id);
        let look = async {
            let outcome = self.engine.run(plan, &self.run, &self.cancel, &sink).await;
            drop(sink);
            outcome
        };
        let is_quiet = self.output == Output::Json;
        tokio::join!(look, name_the_silent(receiver, is_quiet)).0
    }

    /// Two addresses of one machine would be two runs that meet on it; copies of one image are
    /// worth a warning.
    pub(crate) fn tell_machines(&self, facts: &Facts, is_strict: bool) -> Result<(), Failure> {
        let findings = same_machines(facts);
        if is_strict && !findings.is_empty() {
            return Err(not_ready(&findings));
        }
        if self.output != Output::Json && !self.has_told_copies.replace(true) {
            let problems = findings.into_iter().map(|finding| finding.problem);
            for problem in problems.chain(copies(facts)) {
                errln!("warning: {problem}");
            }
        }
        Ok(())
    }

    /// A step whose controller ran on this machine and is dead is nobody's, whatever the host
    /// thinks: it may not have noticed yet.
    fn forget_the_dead(&self, facts: &mut Facts) {
        for state in facts.hosts.values_mut() {
            let HostState::Known(host) = state else {
                continue;
            };
            if let Some(busy) = &mut host.busy
                && busy.holder.workstation == self.run.workstation
                && let Ok(folder) = self.folder(&busy.holder.run)
                && folder.is_dead()
            {
                busy.followed = false;
            }
        }
    }

    /// The hosts of all instances of each selected component: how many of them are up matters.
    fn fellows(&self, selection: &Selection) -> Vec<IpAddr> {
        let mut hosts = Vec::new();
        for component in &self.workspace.cluster.components {
            let instances = || component.instances.iter().map(|i| i.address);
            if instances().any(|host| selection.has(&component.name, host)) {
                hosts.extend(instances());
            }
        }
        hosts
    }
}

/// Reads what the probe's queries said.
pub(crate) fn facts_of(outcome: Outcome) -> Facts {
    let mut facts = Facts::default();
    let unknown = |kind: &str, why: String| HostState::Unknown {
        kind: kind.to_owned(),
        why,
    };
    for (host, unreachable) in outcome.unreachable {
        facts
            .hosts
            .insert(host, unknown(unreachable.kind.name(), unreachable.error));
    }
    for (id, result) in outcome.results {
        let state = match outcome.outputs.get(&id) {
            Some(answer) if answer.status == 0 => {
                HostState::Known(Box::new(HostFacts::parse(&answer.text, answer.at)))
            }
            Some(answer) => unknown(
                "host",
                format!(
                    "looking at it failed: {}",
                    answer.text.lines().last().unwrap_or_default()
                ),
            ),
            None => unknown("lost", describe(&result)),
        };
        facts.hosts.insert(id.host, state);
    }
    facts
}
