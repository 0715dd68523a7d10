//! What only the operator can say: that another cluster's components are to be taken over.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::thread;

use paas_cluster_build::plan::{Foreign, Plan, foreign};
use paas_cluster_build::report::printable;

use crate::conductor::Conductor;
use crate::exit::{Exit, Failure};
use crate::survey::Survey;

/// Asks for each other cluster of which the plan would change something, unless `--adopt` has named
/// it. Whether anything was said, so that everything has to be looked at again.
pub fn consent(conductor: &Conductor<'_>, plan: &Plan, survey: &Survey) -> Result<bool, Failure> {
    let mut clusters: BTreeMap<String, Vec<Foreign>> = BTreeMap::new();
    for one in foreign(plan, &survey.facts) {
        if !conductor.has_adopted(&one.cluster, one.id.as_deref()) {
            clusters.entry(one.cluster.clone()).or_default().push(one);
        }
    }
    if clusters.is_empty() {
        return Ok(false);
    }
    let own = &conductor.workspace.cluster.name;
    let list: String = clusters
        .iter()
        .map(|(name, of_it)| words(own, name, of_it))
        .collect();
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        let flags: Vec<String> = clusters
            .keys()
            .map(|name| format!("--adopt {}", flag(name)))
            .collect();
        return Err(Failure::usage(format!(
            "this would change what another cluster has; nothing was changed\n{list}help: choose other \
             hosts or names, or add {} to make it this cluster's\n",
            flags.join(" ")
        )));
    }
    err!("this would change what another cluster has\n{list}");
    for name in clusters.into_keys() {
        let typed = ask(conductor, &name)?;
        if typed != name {
            return Err(Failure::new(
                Exit::Cancelled,
                format!("`{typed}` isn't {}; nothing was changed", printable(&name)),
            ));
        }
        conductor.adopt(name);
    }
    Ok(true)
}

fn ask(conductor: &Conductor<'_>, name: &str) -> Result<String, Failure> {
    let question = format!("type {} to make it this cluster's: ", printable(name));
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own, which a Ctrl-C leaves behind: reading can't be interrupted.
    thread::spawn(move || {
        let read = || -> std::io::Result<String> {
            write!(stderr(), "{question}")?;
            let mut line = String::new();
            stdin().lock().read_line(&mut line)?;
            Ok(line.trim().to_owned())
        };
        let _ = tell.send(read());
    });
    conductor.unless_interrupted(async {
        match told.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Ok(String::new()),
        }
    })
}

fn flag(name: &str) -> String {
    shell_words::quote(&printable(name)).into_owned()
}

/// A line for each step: whose it is.
fn words(own: &str, name: &str, of_it: &[Foreign]) -> String {
    let line = |one: &Foreign| {
        let id = one.id.as_ref().map(|id| format!(" (id {})", printable(id)));
        let as_well = if name == own {
            ", another one of this name"
        } else {
            ""
        };
        format!(
            "  {} on {} belongs to the cluster {}{}{as_well}\n",
            printable(&one.step),
            one.host,
            printable(name),
            id.unwrap_or_default()
        )
    };
    of_it.iter().map(line).collect()
}
