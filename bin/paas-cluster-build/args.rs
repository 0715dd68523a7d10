//! What can be typed: options, subcommands, their help. What it means is the commands' business.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use paas_cluster_build::engine::Limits;
use paas_cluster_build::transport::OnLock;

use crate::exit;

mod ks;
mod lab;
mod logs;

pub use ks::{ExplainWhat, KsAction, KsChange, Showing, ZoneAction};
pub use lab::SuiteChoice;
pub use logs::{LogsArgs, Newest};

const EXAMPLES: &str = "\
Examples:
  paas-cluster-build                          build the cluster of config/cluster.yml
  paas-cluster-build -c prod.yml router uaa   redeploy two components
  paas-cluster-build plan                     what would run where, and why
  paas-cluster-build build --limit 10.1.59.188
  paas-cluster-build status
  paas-cluster-build logs -f router           what the routers say, as they say it
  paas-cluster-build exec -- uptime";

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", exit::codes_help())
}

/// Builds and operates a PaaS cluster from one cluster.yml, over SSH, without an agent.
#[derive(Debug, Parser)]
#[command(version, after_help = after_help(), subcommand_precedence_over_arg = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Without a subcommand: the build to run.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// Tells whether `--output json` was typed, for what is typed so wrongly that clap can't say.
pub fn asks_for_json() -> bool {
    let words: Vec<String> = std::env::args().take_while(|word| word != "--").collect();
    words.iter().any(|word| word == "--output=json")
        || words.windows(2).any(|pair| pair == ["--output", "json"])
}

/// Options that every subcommand takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The cluster file.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "config/cluster.yml",
        env = "PAAS_CLUSTER_FILE"
    )]
    pub config: PathBuf,
    /// Where runs are kept [default: $XDG_STATE_HOME/paas-cluster-build].
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Take the components of another cluster, of this name or id, for this one's; may be repeated.
    /// (What no cluster of this tool has built, the subcommand `adopt` takes in.)
    #[arg(long, global = true, value_name = "CLUSTER")]
    pub adopt: Vec<String>,
    /// How long a connection, the key exchange, the login and the host's first word after it may
    /// take, each [default: 4s for the connection, 30s for the first word, which has 5s at least, 10s
    /// for the others].
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub connect_timeout: Option<Duration>,
    /// How to show what happens.
    #[arg(long, global = true, value_name = "FORM", default_value = "human")]
    pub output: Output,
    /// A release folder or archive, or URL#sha256=HEX; instead of the file's `release`.
    #[arg(long, global = true, value_name = "PATH|URL")]
    pub release: Option<String>,
}

/// The forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Progress on a terminal, plain lines elsewhere.
    Human,
    /// One line for each thing that happens, with time, host and component.
    Plain,
    /// One JSON object for each event.
    Json,
}

/// What narrows a command to a part of the cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct Limit {
    /// Only this host or component; may be repeated.
    #[arg(long, value_name = "HOST|COMPONENT")]
    pub limit: Vec<String>,
}

/// How many hosts at once.
#[derive(Debug, Clone, Args)]
pub struct Forks {
    /// How many hosts are worked on at once.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub forks: u16,
}

/// The options of everything that runs supervised steps: who may be in the way, how long.
#[derive(Debug, Clone, Args)]
pub struct Patience {
    /// Wait for another operator's steps instead of giving up [without DURATION: as long as it takes].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
        default_missing_value = "365d", value_parser = duration)]
    pub wait: Option<Duration>,
    /// End another operator's steps that are in the way, then go on.
    #[arg(long, conflicts_with = "wait")]
    pub take_over: bool,
    /// For how long a lost connection is tried again.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub reconnect: Duration,
    /// End a step that takes longer.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub step_timeout: Option<Duration>,
    /// End the command if it takes longer, counted from its start; what runs then is ended as by a
    /// second Ctrl-C.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// How long a step that is ended may take before it's killed.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub grace: Duration,
    /// After how much silence of a step to warn.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub warn_silent: Duration,
}

impl Patience {
    /// What to do when another step has a host.
    pub fn on_lock(&self) -> OnLock {
        match self.wait {
            _ if self.take_over => OnLock::TakeOver,
            Some(time) => OnLock::Wait(time),
            None => OnLock::Refuse,
        }
    }
}

/// Reads `30s`, `5m`, `1h 30m`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let said = || format!("`{text}` isn't a duration; write 30s, 5m or 1h30m");
    let span: jiff::SignedDuration = text
        .strip_suffix('d')
        .and_then(|days| days.trim().parse::<i64>().ok()?.checked_mul(24))
        .map(jiff::SignedDuration::from_hours)
        .map_or_else(|| text.parse(), Ok)
        .map_err(|_| said())?;
    Duration::try_from(span).map_err(|_| said())
}

/// The options of everything that changes hosts.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub limit: Limit,
    #[command(flatten)]
    pub options: RunOptions,
}

/// How hosts are changed.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub forks: Forks,
    #[command(flatten)]
    pub patience: Patience,
    /// Leave the scripts on the hosts, for looking at them.
    #[arg(long)]
    pub keep_scripts: bool,
    /// Take instances down although fewer than min_up of their component stay up.
    #[arg(long)]
    pub below_min_up: bool,
    /// Don't ask before hosts are changed.
    #[arg(long, short)]
    pub yes: bool,
}

impl RunOptions {
    /// What the engine is to keep to.
    pub fn limits(&self) -> Limits {
        Limits {
            keep_scripts: self.keep_scripts,
            on_lock: self.patience.on_lock(),
            reconnect: self.patience.reconnect,
            step_deadline: self.patience.step_timeout,
            silence: self.patience.warn_silent,
            grace: self.patience.grace,
            ..Limits::with_forks(self.forks.forks)
        }
    }
}

/// The options of a build.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Only these components; all of the file's without any.
    #[arg(value_name = "COMPONENT")]
    pub components: Vec<String>,
    #[command(flatten)]
    pub run: RunArgs,
    /// Run steps although nothing has changed.
    #[arg(long)]
    pub force: bool,
}

/// The options of a plan.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Only these components.
    #[arg(value_name = "COMPONENT")]
    pub components: Vec<String>,
    #[command(flatten)]
    pub limit: Limit,
    #[command(flatten)]
    pub forks: Forks,
    /// Plan as with --force.
    #[arg(long)]
    pub force: bool,
    /// Don't contact the hosts; plan as if nothing were known of them.
    #[arg(long, conflicts_with_all = ["diff", "out"])]
    pub offline: bool,
    /// Show how the scripts differ from those that last ran there.
    #[arg(long)]
    pub diff: bool,
    /// Show only what would run, and how much would be skipped.
    #[arg(long)]
    pub changes: bool,
    /// End with 5 where there is something to do, with 0 where there's nothing.
    #[arg(long)]
    pub exit_code: bool,
    /// Keep the plan in a file, for `apply`.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

const ADOPT_EXAMPLES: &str = "\
Examples:
  paas-cluster-build -c config/cluster_0731.yml adopt
  paas-cluster-build adopt nats router --limit 10.1.59.188
  paas-cluster-build plan            what a build would change of it

It looks, shows what it found, asks, and writes receipts; it starts, stops and edits nothing.
It isn't the option --adopt, which consents to changing what another cluster's receipts name.";

/// The options of `adopt`.
#[derive(Debug, Clone, Args)]
#[command(after_help = ADOPT_EXAMPLES)]
pub struct AdoptArgs {
    /// Only these components.
    #[arg(value_name = "COMPONENT")]
    pub components: Vec<String>,
    #[command(flatten)]
    pub limit: Limit,
    #[command(flatten)]
    pub forks: Forks,
    /// Don't ask before receipts are written.
    #[arg(long, short)]
    pub yes: bool,
}

/// The options of `apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// The file that `plan --out` wrote.
    #[arg(value_name = "FILE")]
    pub plan: PathBuf,
    #[command(flatten)]
    pub options: RunOptions,
}

/// What to take down.
#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    /// Components (on all their hosts, or on --limit), hosts, or steps that are left over.
    #[arg(value_name = "COMPONENT|HOST", required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the cluster, or redeploy the named components (the default).
    Build(BuildArgs),
    /// Prepare fresh machines only: packages and the release, on all at once.
    Bootstrap {
        #[command(flatten)]
        run: RunArgs,
        /// Run although nothing has changed.
        #[arg(long)]
        force: bool,
    },
    /// Show what a build would run on which host, and why; changes nothing.
    Plan(PlanArgs),
    /// Take in what the first tool, or a person, has built by hand: note it in receipts, run nothing.
    Adopt(AdoptArgs),
    /// Carry out a plan that `plan --out` kept, if everything is still as it was then.
    Apply(ApplyArgs),
    /// Write every script of a build to a folder; contacts no host.
    Render {
        /// Only these components.
        #[arg(value_name = "COMPONENT")]
        components: Vec<String>,
        #[command(flatten)]
        limit: Limit,
        /// The folder to write to; it's made, and must be empty.
        #[arg(long, value_name = "DIR", default_value = "rendered")]
        to: PathBuf,
    },
    /// Validate the cluster file, and name the secrets that stay as the release has them; contacts no
    /// host.
    Check,
    /// Show receipt and live health of every component on every host.
    Status {
        /// Only these components.
        #[arg(value_name = "COMPONENT")]
        components: Vec<String>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        forks: Forks,
    },
    /// Show what the services log, of all hosts in order of time; with -f as it comes.
    Logs(LogsArgs),
    /// List the runs that this machine remembers, live and ended.
    Runs {
        /// The newest so many.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        last: usize,
    },
    /// Follow a run that is under way, from any machine that can reach the hosts.
    Attach {
        /// Which run; without it, the one that is under way.
        #[arg(value_name = "RUN")]
        run: Option<String>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        forks: Forks,
    },
    /// End a run's steps on the hosts and let no more of it start, from any machine.
    Cancel {
        /// Which run.
        #[arg(value_name = "RUN")]
        run: String,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        forks: Forks,
        /// How long a step may take to end before it's killed.
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
        grace: Duration,
    },
    /// Start components that are installed.
    Start(ControlArgs),
    /// Stop components, in the reverse of the file's order.
    Stop(ControlArgs),
    /// Restart components, one host of each at a time.
    Restart(ControlArgs),
    /// Stop components and take them down, or everything on a host; data stays.
    Remove(RemoveArgs),
    /// Run one command on the selected hosts; equal outputs are shown together.
    Exec {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        forks: Forks,
        /// As root instead of the login user.
        #[arg(long)]
        root: bool,
        /// Words before `--`; there are none, and who types some is told where they belong.
        #[arg(hide = true, value_name = "WORD")]
        words: Vec<String>,
        /// The command line, for the hosts' shell.
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Boot and break throw-away machines at the file's addresses (needs root).
    Lab {
        #[command(subcommand)]
        action: LabAction,
    },
    /// Look at the global control plane, or switch it between rooms.
    Ks {
        #[command(subcommand)]
        action: KsAction,
    },
    /// Note how an availability zone is.
    Zone {
        #[command(subcommand)]
        action: ZoneAction,
    },
    /// Carry out a JSON directive of the former system, such as {"action": "GetGlobalKSInfo"}.
    Directive {
        /// The directive.
        #[arg(value_name = "JSON")]
        directive: String,
        /// The room that can't be asked and is known to be dark.
        #[arg(long, value_name = "ROOM")]
        confirm: Option<String>,
    },
    /// Explain something: `explain scheme` shows what the schemes of global_ks survive.
    Explain {
        #[command(subcommand)]
        what: ExplainWhat,
    },
    /// Print the JSON Schema of the cluster file.
    Schema,
    /// Print completions for a shell: `source <(paas-cluster-build completions bash)`.
    Completions {
        /// Which shell; in bash they know hosts, components, rooms and runs as well.
        shell: clap_complete::Shell,
    },
    /// Print the names that may stand at the end of a line, for completions.
    #[command(hide = true)]
    Complete {
        /// The line's words without the first; the last one may be begun or empty.
        #[arg(last = true, value_name = "WORD")]
        words: Vec<String>,
    },
}

/// Which installed components to control.
#[derive(Debug, Clone, Args)]
pub struct ControlArgs {
    /// Only these components.
    #[arg(value_name = "COMPONENT")]
    pub components: Vec<String>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do with the lab.
#[derive(Debug, Subcommand)]
pub enum LabAction {
    /// Boot one machine for each host of the file.
    Up {
        /// Have the packages of the file's components on new machines from the start.
        #[arg(long)]
        preinstall: bool,
        /// The Debian release of new machines, bookworm or trixie; with hosts, of these only
        /// (trixie:10.1.59.160,10.1.59.170). May be repeated. Machines that are there keep theirs.
        #[arg(long, value_name = "SUITE[:HOST,…]")]
        suite: Vec<SuiteChoice>,
    },
    /// End all machines and leave nothing behind.
    Down,
    /// Show the machines.
    Status,
    /// Log in to a machine, or run a command on it.
    Ssh {
        /// The machine's address.
        host: String,
        /// What to run instead of a shell.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Take a machine's power away.
    Kill {
        /// The machine's address.
        host: String,
    },
    /// Give a machine its power back; its disk is as it was.
    Boot {
        /// The machine's address.
        host: String,
    },
    /// Pull a machine's network cable.
    Cut {
        /// The machine's address.
        host: String,
    },
    /// Plug the cable in again.
    Heal {
        /// The machine's address.
        host: String,
    },
    /// Cut two rooms of global_ks from each other.
    CutRooms {
        /// One room.
        a: String,
        /// The other.
        b: String,
    },
    /// Connect two rooms again.
    HealRooms {
        /// One room.
        a: String,
        /// The other.
        b: String,
    },
}
