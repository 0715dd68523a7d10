//! Runs that are under way or over: list, follow, end.

use jiff::tz::TimeZone;
use paas_cluster_build::engine::Limits;
use paas_cluster_build::journal::{RunFolder, read_journal};
use paas_cluster_build::plan::{Holder, HostRunState};
use paas_cluster_build::report::{self, RunRow, printable};
use paas_cluster_build::run_state::RunState;

use crate::args::{Common, Forks, Limit, Output};
use crate::conductor::{Conductor, state_dir};
use crate::exit::{Exit, Failure};
use crate::follow::{HostRuns, RunToFollow};
use crate::record;
use crate::show::look;
use crate::workspace::Workspace;

/// `runs`: what the state folder remembers, newest first.
pub fn runs(common: &Common, last: usize) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let state = state_dir(common)?;
    let folders = RunFolder::all(&state, &workspace.cluster.name);
    let newest = folders.iter().rev().take(last);
    let rows: Vec<RunRow> = newest.map(row).collect();
    if common.output == Output::Json {
        for row in &rows {
            outln!("{}", json(row));
        }
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        errln!(
            "no run of {} is known here; `attach` asks the hosts",
            workspace.cluster.name
        );
        return Ok(Exit::Done);
    }
    out!("{}", report::runs_text(&rows, &TimeZone::system(), look()));
    if let Some(row) = rows.iter().find(|row| row.live) {
        outln!("\nfollow it: paas-cluster-build attach {}", row.run);
    }
    Ok(Exit::Done)
}

fn row(folder: &RunFolder) -> RunRow {
    let mut state = RunState::new();
    let read = read_journal(&folder.journal()).ok();
    let torn = read.as_ref().is_some_and(|(_, torn)| torn.is_some());
    let replayed = read.is_some_and(|(events, _)| events.iter().all(|e| state.apply(e).is_ok()));
    RunRow {
        run: folder.run().to_owned(),
        state: replayed.then_some(state),
        live: folder.is_live(),
        watched: folder.is_watched(),
        torn,
    }
}

fn json(row: &RunRow) -> serde_json::Value {
    let state = row.state.as_ref();
    let run = state.and_then(RunState::run);
    let counts = state.map(RunState::counts);
    serde_json::json!({
        "run": row.run,
        "operation": run.map(|run| &run.operation),
        "operator": run.map(|run| &run.operator),
        "workstation": run.map(|run| &run.workstation),
        "started": run.map(|run| run.started),
        "state": state.map(|state| report::run_word(state, row.live, row.watched)),
        "took_ms": state.map(RunState::now_ms),
        "steps": counts.as_ref().map(|counts| counts.total),
        "ended": counts.as_ref().map(|counts| counts.ended()),
        "ran": counts.as_ref().map(|counts| counts.succeeded + counts.failed),
        "failed": counts.as_ref().map(|counts| counts.failed),
        "skipped": counts.as_ref().map(|counts| counts.skipped),
        "not_started": counts.as_ref().map(|counts| counts.not_started),
    })
}

/// `attach [RUN]`: follows a run on its hosts until nothing more of it turns up.
pub fn attach(
    common: &Common,
    run: Option<&str>,
    limit: &Limit,
    forks: &Forks,
) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&[], &limit.limit)?;
    if let Some(exit) = run.and_then(|run| record::replay(common, &workspace, run)) {
        return Ok(exit);
    }
    let mut conductor = Conductor::new(&workspace, common, Limits::with_forks(forks.forks))?;
    let mut found = conductor.host_runs(&selection)?;
    let holder = match run {
        Some(run) => holder_of(run, &found)?,
        None => the_live_one(&found)?,
    };
    let run = RunToFollow {
        id: holder.run.clone(),
        holder,
    };
    let ask = || conductor.host_runs(&selection);
    if record::is_over(&conductor, &run.id, &mut found, ask)? {
        return record::from_hosts(&conductor, &run, &found);
    }
    conductor.attach(&run, &selection)
}

fn holder_of(run: &str, found: &HostRuns) -> Result<Holder, Failure> {
    let step = found.steps.iter().find(|(_, step)| step.run == run);
    match step {
        Some((_, step)) => Ok(Holder {
            run: run.to_owned(),
            ..step.holder.clone()
        }),
        None => Err(Failure::new(
            Exit::Failed,
            format!("no host knows of a run {run}{}", known(found)),
        )),
    }
}

/// The one run of which something runs now.
fn the_live_one(found: &HostRuns) -> Result<Holder, Failure> {
    let live = found.steps.iter().map(|(_, step)| step);
    let live = live.filter(|step| step.state == HostRunState::Running);
    let mut holders: Vec<Holder> = live
        .map(|step| Holder {
            run: step.run.clone(),
            ..step.holder.clone()
        })
        .collect();
    holders.sort_by(|a, b| a.run.cmp(&b.run));
    holders.dedup_by(|a, b| a.run == b.run);
    match holders.len() {
        1 => Ok(holders.remove(0)),
        0 => Err(Failure::new(
            Exit::Failed,
            format!("nothing runs on the hosts now{}", known(found)),
        )),
        _ => {
            let mut message = String::from("several runs are under way; name one\n");
            for holder in &holders {
                message.push_str(&format!("  {}\n", printable(&holder.words())));
            }
            Err(Failure::usage(message))
        }
    }
}

/// The runs that hosts remember, and the hosts that couldn't be asked, for an error's sake.
fn known(found: &HostRuns) -> String {
    let mut runs: Vec<&str> = found.steps.iter().map(|(_, s)| s.run.as_str()).collect();
    runs.sort_unstable();
    runs.dedup();
    let mut text = String::new();
    if let [.., newest] = runs[..] {
        text.push_str(&format!(
            "; the newest that the hosts remember is {}",
            printable(newest)
        ));
    }
    for (host, why) in &found.unreachable {
        text.push_str(&format!("\n  {host} couldn't be asked: {why}"));
    }
    text
}

/// `cancel RUN`: ends its steps on the hosts.
pub fn cancel(common: &Common, run: &str, limit: &Limit, limits: Limits) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let selection = workspace.select(&[], &limit.limit)?;
    let conductor = Conductor::new(&workspace, common, limits)?;
    let found = conductor.host_runs(&selection)?;
    holder_of(run, &found)?;
    let (ended, silent) = conductor.cancel(run, &selection)?;
    let steps = if ended == 1 { "step" } else { "steps" };
    outln!("{ended} {steps} of run {run} ended; no more of it starts on these hosts");
    for (host, why) in &silent {
        errln!("  {host} couldn't be told: {}", printable(why));
    }
    Ok(match silent.is_empty() {
        true => Exit::Done,
        false => Exit::Unreachable,
    })
}
