//! `adopt`: what somebody else has built is noted in receipts, and nothing runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use paas_cluster_build::engine::{Limits, Outcome};
use paas_cluster_build::model::Selection;
use paas_cluster_build::operation;
use paas_cluster_build::plan::{
    Difference, HostState, Plan, Recognised, Recognition, Stage, Step, StepId, adoption, answers,
};
use paas_cluster_build::report::printable;
use serde_json::json;

use super::look::print_json;
use crate::args::{AdoptArgs, Common, Output};
use crate::conductor::{Conductor, describe};
use crate::confirm::agree;
use crate::exit::{Exit, Failure};
use crate::survey::Survey;
use crate::workspace::Workspace;

/// What is known of each step that no receipt tells of.
type Found = BTreeMap<StepId, Recognised>;

/// Looks, shows what it found beside what the file says, asks, and writes receipts.
pub fn adopt(common: &Common, args: &AdoptArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    workspace.read_by_shells()?;
    let selection = workspace.select(&args.components, &args.limit.limit)?;
    workspace.require_release(&selection)?;
    let build = operation::build(&workspace.cluster, &selection);
    let conductor = Conductor::new(&workspace, common, Limits::with_forks(args.forks.forks))?;
    conductor.rehearse(&build, &selection)?;
    let survey = conductor.survey_for(&build, &selection)?;
    survey.found.check()?;
    let plan = conductor.plan(&build, &survey, false)?;
    conductor.must_wait(&plan, &survey)?;

    let (looks, there) = looks(&conductor, &build, &survey)?;
    let mut found = look(&conductor, &looks)?;
    name_new_releases(&mut found, &looks, &there);
    show(common, &found, &there, &survey)?;
    let silent = silent(&survey);
    let count = found.values().filter(|one| is_found(one)).count();
    agree(&conductor, count, args.yes)?;
    let written = if count == 0 {
        Exit::Done
    } else {
        let hosts: BTreeSet<String> = found
            .iter()
            .filter(|(_, one)| is_found(one))
            .map(|(id, _)| id.host.to_string())
            .collect();
        let hosts: Vec<String> = hosts.into_iter().collect();
        // Only these hosts are told that they belong to the cluster.
        let narrow = workspace.select(&args.components, &hosts)?;
        write(common, &conductor, &narrow, survey, &found)?
    };
    match silent.is_empty() {
        true => Ok(written),
        false => Err(Failure::new(
            Exit::Unreachable,
            format!("nothing was adopted on\n{silent}"),
        )),
    }
}

/// The hosts that couldn't be asked, each with the reason.
fn silent(survey: &Survey) -> String {
    let line = |(host, state): (&IpAddr, &HostState)| match state {
        HostState::Unknown { why, .. } => Some(format!("  {host}: {}\n", printable(why))),
        HostState::Known(_) => None,
    };
    survey.facts.hosts.iter().filter_map(line).collect()
}

fn is_found(one: &Recognised) -> bool {
    matches!(one, Recognised::Found { .. })
}

/// What is to be looked at, and the steps whose host has a receipt of them already.
fn looks(
    conductor: &Conductor<'_>,
    build: &operation::Operation,
    survey: &Survey,
) -> Result<(Vec<Recognition>, Vec<StepId>), Failure> {
    let mut looks = conductor.recognition(build, survey)?;
    looks.retain(|look| survey.facts.known(look.id.host).is_some());
    let (there, looks) = looks.into_iter().partition::<Vec<_>, _>(|look| {
        let host = survey.facts.known(look.id.host);
        host.is_some_and(|host| host.receipts.contains_key(&look.id.step))
    });
    Ok((looks, there.into_iter().map(|look| look.id).collect()))
}

fn look(conductor: &Conductor<'_>, looks: &[Recognition]) -> Result<Found, Failure> {
    if looks.is_empty() {
        return Ok(Found::new());
    }
    let outcome = conductor.ask(&queries(conductor, "recognise", adoption(looks)))?;
    let mut found = Found::new();
    for look in looks {
        let id = StepId {
            step: "recognise".to_owned(),
            host: look.id.host,
        };
        let said = outcome.outputs.get(&id);
        let one = said.and_then(|answer| answers(&answer.text, look));
        let one = one.unwrap_or_else(|| Recognised::Missing {
            why: why_not(&outcome, &id),
        });
        found.insert(look.id.clone(), one);
    }
    Ok(found)
}

/// Where the build is going to put the release, everything is set in it anew.
fn name_new_releases(found: &mut Found, looks: &[Recognition], there: &[StepId]) {
    let has_the_release = |host: IpAddr| {
        let id = StepId {
            step: operation::BOOTSTRAP.to_owned(),
            host,
        };
        there.contains(&id) || found.get(&id).is_some_and(Recognised::has_the_release)
    };
    let of_release = looks.iter().filter(|look| look.of_release);
    let without: Vec<&StepId> = of_release
        .map(|look| &look.id)
        .filter(|id| !has_the_release(id.host))
        .collect();
    for id in without {
        if let Some(Recognised::Found { differs, .. }) = found.get_mut(id) {
            differs.push(Difference::NewRelease);
        }
    }
}

fn queries(conductor: &Conductor<'_>, name: &str, steps: Vec<Step>) -> Plan {
    Plan {
        cluster: conductor.workspace.cluster.name.clone(),
        operation: name.to_owned(),
        stages: vec![Stage::unlimited(name, steps)],
    }
}

fn why_not(outcome: &Outcome, id: &StepId) -> String {
    if let Some(unreachable) = outcome.unreachable.get(&id.host) {
        return unreachable.error.clone();
    }
    let said = outcome.outputs.get(id).map(|answer| answer.text.trim());
    match said.and_then(|said| said.lines().next_back()) {
        Some(last) if !last.is_empty() => last.to_owned(),
        _ => outcome
            .results
            .get(id)
            .map_or_else(|| "the host gave no whole answer".to_owned(), describe),
    }
}

fn show(common: &Common, found: &Found, there: &[StepId], survey: &Survey) -> Result<(), Failure> {
    if common.output == Output::Json {
        for (id, one) in found {
            print_json(&json!({"step": id.step, "host": id.host, "found": one}))?;
        }
        for id in there {
            let one = json!({"is": "has_receipt"});
            print_json(&json!({"step": id.step, "host": id.host, "found": one}))?;
        }
        return Ok(());
    }
    for (id, one) in found {
        let name = format!("{} on {}", printable(&id.step), id.host);
        match one {
            Recognised::Missing { why } => {
                outln!(
                    "{name}: not recognised, gets no receipt: {}",
                    printable(why)
                );
            }
            Recognised::Found { differs, taken } => {
                let but = if differs.is_empty() { "" } else { "; differs" };
                outln!("{name}: found{but}");
                for words in differs.iter().map(Difference::words).chain(taken.clone()) {
                    outln!("  {}", printable(&words));
                }
            }
        }
    }
    for id in there {
        let name = format!("{} on {}", printable(&id.step), id.host);
        outln!("{name}: has a receipt already; it stays as it is");
    }
    for secret in &survey.found.missing {
        errln!("note: the secret {secret} is made and kept; the next build sets it");
    }
    Ok(())
}

/// Writes the receipts; the hosts that wouldn't have one are told.
fn write(
    common: &Common,
    conductor: &Conductor<'_>,
    selection: &Selection,
    mut survey: Survey,
    found: &Found,
) -> Result<Exit, Failure> {
    let build = operation::build(&conductor.workspace.cluster, selection);
    let plan = conductor.plan(&build, &survey, false)?;
    let plan = conductor.settle(&build, selection, &mut survey, plan, false)?;
    let mut of_host: BTreeMap<IpAddr, Vec<(&Step, &[Difference])>> = BTreeMap::new();
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        if let Some(Recognised::Found { differs, .. }) = found.get(&step.id) {
            of_host
                .entry(step.id.host)
                .or_default()
                .push((step, differs));
        }
    }
    let steps: Result<Vec<Step>, String> = of_host
        .iter()
        .map(|(host, steps)| Recognised::receipts(*host, steps))
        .collect();
    let plan = queries(conductor, "adopt", steps.map_err(Failure::usage)?);
    let outcome = conductor.ask_and_note(&plan)?;
    let mut failed = Vec::new();
    let mut written = 0;
    for step in &plan.stages[0].steps {
        match outcome.outputs.get(&step.id) {
            Some(answer) if answer.status == 0 => {
                let lines = answer.text.lines();
                written += lines.filter(|line| line.starts_with("adopted ")).count();
            }
            _ => failed.push(format!(
                "  {}: {}\n",
                step.id.host,
                printable(&why_not(&outcome, &step.id))
            )),
        }
    }
    if common.output != Output::Json {
        outln!("receipts written: {written}; `plan` shows what a build would change");
    }
    if failed.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "hosts didn't take all receipts\n{}help: the same command again adopts what is missing\n",
            failed.concat()
        ),
    ))
}
