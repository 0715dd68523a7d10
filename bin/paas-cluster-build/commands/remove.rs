//! Taking components and hosts down.

use std::net::IpAddr;

use paas_cluster_build::model::Selection;
use paas_cluster_build::operation::{self, BOOTSTRAP, Removal};
use paas_cluster_build::plan::Facts;
use paas_cluster_build::report::printable;

use super::build::resume_line;
use crate::args::{Common, RemoveArgs};
use crate::conductor::{Conductor, state_dir};
use crate::confirm::{Harm, confirm};
use crate::exit::{Exit, Failure};
use crate::inventory;
use crate::workspace::Workspace;

/// `remove`: stops and takes down what jobs installed, after showing what will go.
pub fn remove(common: &Common, args: &RemoveArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let limits = &args.run.limit.limit;
    let selection = workspace.select(&[], limits)?;
    refuse_holes(&workspace, &selection, &args.names)?;
    let options = &args.run.options;
    let conductor = Conductor::new(&workspace, common, options.limits())?;
    let conductor = conductor.with_deadline(options.patience.timeout);
    let (survey, wanted, plan) = loop {
        let survey = conductor.survey(&selection)?;
        let wanted = wanted(&workspace, &selection, &survey.facts, &args.names)?;
        let operation = operation::remove(&workspace.cluster, &wanted.removals, &wanted.hosts);
        let plan = conductor.plan(&operation, &survey, false)?;
        if !conductor.must_wait(&plan, &survey)? {
            break (survey, wanted, plan);
        }
    };
    unreachable(&survey.facts, &wanted)?;
    let file = common.config.display().to_string();
    confirm(&conductor, &plan, &file, options.yes, Harm::Destructive)?;
    let exit = conductor.run(&plan, &resume_line())?;
    if exit == Exit::Done {
        let state = state_dir(common)?;
        for host in &wanted.hosts {
            inventory::forget(&state, &workspace.cluster, *host)?;
        }
        tell_file(&workspace, &wanted, &file);
    }
    Ok(exit)
}

/// What is to be removed.
struct Wanted {
    removals: Vec<Removal>,
    /// The hosts of which everything goes.
    hosts: Vec<IpAddr>,
}

/// Finds each name: a host of the file, a component of the file, or a step that is left over.
fn wanted(
    workspace: &Workspace,
    selection: &Selection,
    facts: &Facts,
    names: &[String],
) -> Result<Wanted, Failure> {
    let cluster = &workspace.cluster;
    let mut wanted = Wanted {
        removals: Vec::new(),
        hosts: Vec::new(),
    };
    for name in names {
        let removals: Vec<Removal> = if let Ok(host) = name.parse::<IpAddr>() {
            if cluster.host(host).is_none() {
                return Err(Failure::usage(format!(
                    "{host} isn't in the cluster file, so how to log in isn't known; put it back, \
                     and remove it then"
                )));
            }
            if !selection.has_host(host) {
                return Err(Failure::usage(format!(
                    "{host} is named, but --limit leaves it out"
                )));
            }
            wanted.hosts.push(host);
            on_host(workspace, facts, host)
        } else if let Some(component) = cluster.component(name) {
            let instances = component.instances.iter().map(|i| i.address);
            let chosen = instances.filter(|host| selection.has_host(*host));
            let steps = |host: IpAddr| {
                component.jobs.iter().map(move |job| Removal {
                    step: component.step_name(job),
                    host,
                })
            };
            chosen.flat_map(steps).collect()
        } else {
            left_over(facts, name)
        };
        if removals.is_empty() && !wanted.hosts.iter().any(|h| h.to_string() == *name) {
            return Err(Failure::usage(format!(
                "`{name}` is neither a component nor a host of the file, and no host that was looked \
                 at has it installed"
            )));
        }
        wanted.removals.extend(removals);
    }
    wanted.removals.sort();
    wanted.removals.dedup();
    Ok(wanted)
}

/// Everything that the file puts on a host, and everything that it has beyond that.
fn on_host(workspace: &Workspace, facts: &Facts, host: IpAddr) -> Vec<Removal> {
    let mut steps: Vec<String> = Vec::new();
    for component in &workspace.cluster.components {
        if component.instances.iter().any(|i| i.address == host) {
            steps.extend(component.jobs.iter().map(|job| component.step_name(job)));
        }
    }
    if let Some(known) = facts.known(host) {
        steps.extend(known.receipts.keys().cloned());
    }
    let steps = steps.into_iter().filter(|step| step != BOOTSTRAP);
    steps.map(|step| Removal { step, host }).collect()
}

fn left_over(facts: &Facts, step: &str) -> Vec<Removal> {
    let hosts = facts.hosts.keys().copied();
    let having = hosts.filter(|host| {
        let known = facts.known(*host);
        known.is_some_and(|known| step != BOOTSTRAP && known.receipts.contains_key(step))
    });
    having
        .map(|host| Removal {
            step: step.to_owned(),
            host,
        })
        .collect()
}

/// Nothing is removed that the rest of the file can't do without. What is only left over on hosts
/// isn't in the file, so this is known before any is asked.
fn refuse_holes(
    workspace: &Workspace,
    selection: &Selection,
    names: &[String],
) -> Result<(), Failure> {
    let is_gone = |component: &str, host: IpAddr| {
        let is_named = |name: &String| match name.parse::<IpAddr>() {
            Ok(address) => address == host,
            Err(_) => name == component && selection.has_host(host),
        };
        names.iter().any(is_named)
    };
    match workspace.problems_without(is_gone) {
        None => Ok(()),
        Some(problems) => Err(Failure::drawn(format!(
            "{problems}\nThe cluster file would be so without what is to be removed; nothing was \
             changed.\nhelp: remove what needs it as well, or change the file first so that it can \
             do without\n"
        ))),
    }
}

/// A host that can't be asked can't be cleaned either.
fn unreachable(facts: &Facts, wanted: &Wanted) -> Result<(), Failure> {
    let mut hosts: Vec<IpAddr> = wanted.removals.iter().map(|r| r.host).collect();
    hosts.extend(&wanted.hosts);
    hosts.sort();
    hosts.dedup();
    hosts.retain(|host| facts.known(*host).is_none());
    if hosts.is_empty() {
        return Ok(());
    }
    let list: String = hosts.iter().map(|host| format!("  {host}\n")).collect();
    Err(Failure::new(
        Exit::Unreachable,
        format!(
            "these hosts can't be reached; nothing was changed\n{list}help: leave them out with \
             --limit, or just delete them from the file if they are gone for good\n"
        ),
    ))
}

/// Tells what a build would bring back.
fn tell_file(workspace: &Workspace, wanted: &Wanted, file: &str) {
    for component in &workspace.cluster.components {
        for instance in &component.instances {
            let step = |job: &String| component.step_name(job);
            let is_gone = |job| {
                let step = step(job);
                wanted
                    .removals
                    .iter()
                    .any(|r| r.step == step && r.host == instance.address)
            };
            if component.jobs.iter().any(is_gone) {
                outln!(
                    "{file}:{}: still puts {} on {}; delete it there, or the next build brings it back",
                    instance.place.line,
                    printable(&component.name),
                    instance.address
                );
            }
        }
    }
}
