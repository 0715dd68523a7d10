//! What hosts are told before a run changes anything: which cluster they belong to, and the secrets
//! that they keep, so that any workstation can go on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use paas_cluster_build::event::StepResult;
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::Operation;
use paas_cluster_build::plan::{ClusterNote, Keepsake, Plan, Stage, Step};
use paas_cluster_build::report::printable;

use crate::conductor::{Conductor, describe};
use crate::exit::{Exit, Failure};
use crate::state;
use crate::survey::Survey;

impl Conductor<'_> {
    /// Makes the secrets that nobody has, notes on the hosts what they have to know, and plans again
    /// where that changes the plan. The last thing before a run, after every question.
    pub fn settle(
        &self,
        operation: &Operation,
        selection: &Selection,
        survey: &mut Survey,
        plan: Plan,
        force: bool,
    ) -> Result<Plan, Failure> {
        let makes = !survey.found.missing.is_empty();
        let cluster = &self.workspace.cluster;
        let Some(belonging) = &survey.facts.belonging else {
            return Ok(plan);
        };
        // Here first: what a host is told, this machine knows.
        let folder = self.state_dir()?;
        state::remember(folder, cluster, &belonging.id).map_err(|error| {
            let folder = folder.display();
            Failure::usage(format!(
                "the cluster can't be remembered in {folder}: {error}"
            ))
        })?;
        self.vault(selection).make(&mut survey.found)?;
        let hosts = cluster.hosts.iter().map(|host| host.address);
        let built = hosts.filter(|host| selection.has_host(*host)).map(|host| {
            let on_it = cluster.components.iter().filter(|component| {
                let mut instances = component.instances.iter();
                instances.any(|instance| instance.address == host)
            });
            (
                host,
                on_it.map(|component| component.name.clone()).collect(),
            )
        });
        let note = belonging.note(cluster, built, jiff::Timestamp::now());
        let steps = self.keepsakes(selection, survey, &note)?;
        self.tell_hosts(steps)?;
        match makes {
            true => self.plan(operation, survey, force),
            false => Ok(plan),
        }
    }

    /// Notes on the hosts what was taken down; what can't be noted is told, and no more.
    pub fn note_removal(
        &self,
        selection: &Selection,
        survey: &Survey,
        removed: &BTreeMap<IpAddr, BTreeSet<String>>,
    ) {
        let Some(belonging) = &survey.facts.belonging else {
            return;
        };
        let left = removed.iter().filter_map(|(host, components)| {
            let member = belonging.members.get(host)?;
            Some((
                *host,
                member.components.difference(components).cloned().collect(),
            ))
        });
        let note = belonging.note(&self.workspace.cluster, left, jiff::Timestamp::now());
        // A cluster that no host has a note of needs none for what is gone.
        if belonging.is_new {
            return;
        }
        let noted = self
            .keepsakes(selection, survey, &note)
            .and_then(|steps| self.tell_hosts(steps));
        if let Err(failure) = noted {
            errln!("warning: {}", failure.message.trim_end());
        }
    }

    /// What has to be noted where; nothing for a host that has it all.
    fn keepsakes(
        &self,
        selection: &Selection,
        survey: &Survey,
        note: &ClusterNote,
    ) -> Result<Vec<Step>, Failure> {
        let vault = self.vault(selection);
        let found = &survey.found;
        let mut steps = Vec::new();
        for host in survey.facts.hosts.keys() {
            let (Some(known), names) = (survey.facts.known(*host), vault.kept_on(*host)) else {
                continue;
            };
            if !selection.has_host(*host) && names.is_empty() {
                continue;
            }
            let is_known =
                |name: &&str| found.known.contains(*name) || found.configured.contains(*name);
            let (configured, kept): (Vec<&str>, Vec<&str>) = names
                .into_iter()
                .filter(is_known)
                .partition(|name| found.configured.contains(*name));
            let value = |name: &str| found.secrets.get(name);
            let keepsake = Keepsake {
                host: *host,
                note,
                secrets: kept
                    .into_iter()
                    .filter_map(|name| Some((name, value(name)?)))
                    .collect(),
                configured,
            };
            if !keepsake.is_there(known) {
                steps.push(keepsake.step(known).map_err(Failure::usage)?);
            }
        }
        Ok(steps)
    }

    /// One host first, then the others: of two workstations that come at once, one is told no there
    /// before it has written anything anywhere.
    fn tell_hosts(&self, mut steps: Vec<Step>) -> Result<(), Failure> {
        if steps.is_empty() {
            return Ok(());
        }
        let others = steps.split_off(1);
        let outcome = self.ask(&Plan {
            cluster: self.workspace.cluster.name.clone(),
            operation: "keep".to_owned(),
            stages: vec![
                Stage::unlimited("keep", steps),
                Stage::unlimited("keep", others),
            ],
        })?;
        let mut failed: BTreeMap<IpAddr, String> = BTreeMap::new();
        for (id, result) in &outcome.results {
            if *result != StepResult::Succeeded {
                let said = outcome.outputs.get(id).map(|answer| answer.text.trim());
                let said = said.filter(|said| !said.is_empty());
                let why = said.map_or_else(|| describe(result), printable);
                failed.insert(id.host, why);
            }
        }
        let unreachable = outcome.unreachable.iter();
        failed.extend(unreachable.map(|(host, why)| (*host, printable(&why.error))));
        if failed.is_empty() {
            return Ok(());
        }
        let list = failed
            .iter()
            .map(|(host, why)| format!("  {host}: {why}\n"));
        Err(Failure::new(
            Exit::Failed,
            format!(
                "hosts can't be told what they're to keep; nothing else was changed\n{}help: the same \
                 command again looks at them anew\n",
                list.collect::<String>()
            ),
        ))
    }
}
