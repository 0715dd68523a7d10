//! What can be typed: options, subcommands, their help. What it means is the commands' business.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use paas_cluster_build::cluster_file;

const EXAMPLES: &str = "\
Examples:
  paas-cluster-build                          build the cluster of config/cluster.yml
  paas-cluster-build -c prod.yml router uaa   redeploy two components
  paas-cluster-build plan                     what would run where, and why
  paas-cluster-build build --limit 10.1.59.188
  paas-cluster-build status
  paas-cluster-build exec -- uptime

Exit codes:
  0 done   1 a step failed   2 bad input or configuration   3 hosts unreachable
  4 locked by another run   130 cancelled";

/// Builds and operates a PaaS cluster from one cluster.yml, over SSH, without an agent.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, subcommand_precedence_over_arg = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Without a subcommand: the build to run.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// Finds the subcommand that a word was probably meant to be.
pub fn nearest_command(word: &str) -> Option<String> {
    let cli = Cli::command();
    let names = cli.get_subcommands().map(|command| command.get_name());
    cluster_file::nearest(word, names).map(str::to_owned)
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

/// The options of everything that changes hosts.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub limit: Limit,
    #[command(flatten)]
    pub forks: Forks,
    /// Leave the scripts on the hosts, for looking at them.
    #[arg(long)]
    pub keep_scripts: bool,
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
    Plan {
        /// Only these components.
        #[arg(value_name = "COMPONENT")]
        components: Vec<String>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        forks: Forks,
        /// Plan as with --force.
        #[arg(long)]
        force: bool,
        /// Don't contact the hosts; plan as if nothing were known of them.
        #[arg(long)]
        offline: bool,
    },
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
    /// Validate the cluster file; contacts no host.
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
    /// Start components that are installed.
    Start(ControlArgs),
    /// Stop components, in the reverse of the file's order.
    Stop(ControlArgs),
    /// Restart components, one host of each at a time.
    Restart(ControlArgs),
    /// Run one command on the selected hosts; equal outputs are shown together.
    Exec {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        forks: Forks,
        /// As root instead of the login user.
        #[arg(long)]
        root: bool,
        /// The command line, for the hosts' shell.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Boot and break throw-away machines at the file's addresses (needs root).
    Lab {
        #[command(subcommand)]
        action: LabAction,
    },
    /// Print the JSON Schema of the cluster file.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
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
    Up,
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
}
