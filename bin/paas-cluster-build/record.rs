//! Runs that are over: shown with their own times, from the journal that this machine kept, or from
//! what the hosts remember.

use std::collections::BTreeMap;
use std::io::stdout;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use paas_cluster_build::engine::event_channel;
use paas_cluster_build::event::Fact;
use paas_cluster_build::journal::{RunFolder, read_journal};
use paas_cluster_build::plan::{HostRunState, StepId};
use paas_cluster_build::report::{
    self, EndedStep, JsonLines, Outcome, SummaryContext, ended_run_text, printable,
};
use paas_cluster_build::run_state::{RunState, duration_words};
use paas_cluster_build::terminal::Plain;

use crate::args::{Common, Output};
use crate::conductor::{Conductor, state_dir};
use crate::exit::{Exit, Failure};
use crate::follow::{HostRuns, RunToFollow};
use crate::say;
use crate::show::{colour, look};
use crate::workspace::Workspace;

/// After how long without a step a run is over, whatever the difference of the clocks.
const LONG_AGO: Duration = Duration::from_secs(60 * 60);

/// How long a run may have no step anywhere while it's still under way.
const BETWEEN_STEPS: Duration = Duration::from_secs(10);

/// Shows a run from this machine's journal, if it has one and the run is over.
pub fn replay(common: &Common, workspace: &Workspace, run: &str) -> Option<Exit> {
    let state = state_dir(common).ok()?;
    let folder = RunFolder::of(&state, &workspace.cluster.name, run).ok()?;
    let (events, _) = read_journal(&folder.journal()).ok()?;
    let mut account = RunState::new();
    for event in &events {
        account.apply(event).ok()?;
    }
    let last = events.last().filter(|_| account.is_over())?;
    if common.output == Output::Json {
        let mut json = JsonLines::new(stdout());
        events.iter().for_each(|event| json.event(event));
        if let Some(error) = json.error() {
            say::fail(error.kind().into());
        }
        return Some(account_exit(&account));
    }
    tell_end(run, last.time);
    let mut plain = Plain::new(stdout(), TimeZone::system());
    events.iter().for_each(|event| plain.event(event));
    if let Some(error) = plain.error() {
        say::fail(error.kind().into());
    }
    let context = SummaryContext {
        resume: &format!("paas-cluster-build {}", account.run()?.operation),
        log: &|id| Some(folder.step_log(id)).filter(|path| path.exists()),
        pointers: &|_| Vec::new(),
        colour: colour(),
    };
    let text = report::summary_text(&account, &context);
    out!("{}", report::wrap(&text, say::output_width()));
    Some(account_exit(&account))
}

fn account_exit(account: &RunState) -> Exit {
    Exit::of(Outcome::of(account))
}

fn tell_end(run: &str, ended: Timestamp) {
    let at = ended.to_zoned(TimeZone::system());
    let ago = Timestamp::now().duration_since(ended).as_millis();
    let ago = duration_words(u64::try_from(ago).unwrap_or(0));
    let at = at.strftime("%Y-%m-%d %H:%M:%S");
    errln!(
        "run {} has ended, at {at} ({ago} ago); its times below are those of then",
        printable(run)
    );
}

/// Tells whether a run that hosts know of is over. Between two of its steps nothing of it runs
/// either, so that is waited for unless its last step is long gone.
pub fn is_over(
    conductor: &Conductor<'_>,
    run: &str,
    found: &mut HostRuns,
    ask: impl Fn() -> Result<HostRuns, Failure>,
) -> Result<bool, Failure> {
    let since = Instant::now();
    loop {
        let of_run = || found.steps.iter().filter(|(_, step)| step.run == run);
        if of_run().any(|(_, step)| step.state == HostRunState::Running)
            || conductor.folder(run).is_ok_and(|folder| folder.is_live())
        {
            return Ok(false);
        }
        let newest = of_run().filter_map(|(_, step)| step.ended).max();
        let age = newest.map(|ended| Timestamp::now().duration_since(ended));
        let is_long_ago = age.is_some_and(|age| age.unsigned_abs() > LONG_AGO);
        if is_long_ago || since.elapsed() >= BETWEEN_STEPS {
            return Ok(true);
        }
        if since.elapsed() < Duration::from_secs(1) {
            errln!(
                "nothing of run {} runs now; is it between two steps?",
                printable(run)
            );
        }
        conductor.pause(Duration::from_secs(1))?;
        *found = ask()?;
    }
}

/// Shows a run that is over from what its hosts remember: when each step began and ended, how, and
/// the output that is kept there.
pub fn from_hosts(
    conductor: &Conductor<'_>,
    run: &RunToFollow,
    found: &HostRuns,
) -> Result<Exit, Failure> {
    let of_run = found.steps.iter().filter(|(_, step)| step.run == run.id);
    let mut steps: Vec<EndedStep> = of_run
        .map(|(host, step)| EndedStep {
            id: StepId {
                step: step.step.clone(),
                host: *host,
            },
            started: step.holder.since.parse().ok(),
            ended: step.ended,
            state: step.state,
            output: String::new(),
        })
        .collect();
    steps.sort_by_key(|step| (step.started, step.id.clone()));
    let outputs = outputs(conductor, run, &steps)?;
    for step in &mut steps {
        step.output = outputs.get(&step.id).cloned().unwrap_or_default();
    }
    if conductor.output == Output::Json {
        for step in &steps {
            outln!("{}", report::ended_step_json(&run.id, step));
        }
    } else {
        if let Some(ended) = steps.iter().filter_map(|step| step.ended).max() {
            tell_end(&run.id, ended);
        }
        out!("{}", ended_run_text(&steps, &TimeZone::system(), look()));
    }
    for (host, why) in &found.unreachable {
        errln!("  {host} couldn't be asked: {}", printable(why));
    }
    let is_good = |step: &EndedStep| step.state == HostRunState::Ended(0);
    Ok(match steps.iter().all(is_good) {
        true if found.unreachable.is_empty() => Exit::Done,
        true => Exit::Unreachable,
        false => Exit::Failed,
    })
}

/// Reads what the hosts kept of the steps' outputs.
fn outputs(
    conductor: &Conductor<'_>,
    run: &RunToFollow,
    steps: &[EndedStep],
) -> Result<BTreeMap<StepId, String>, Failure> {
    let (sink, mut events) = event_channel(&run.id);
    let read = async {
        conductor
            .read_back(run, steps.iter().map(|step| step.id.clone()), &sink)
            .await;
        drop(sink);
    };
    let collect = async {
        let mut outputs: BTreeMap<StepId, String> = BTreeMap::new();
        while let Some(event) = events.recv().await {
            if let Fact::StepOutput { id, text } = event.fact {
                outputs.entry(id).or_default().push_str(&text);
            }
        }
        outputs
    };
    conductor.or_leave(async { tokio::join!(read, collect).1 })
}
