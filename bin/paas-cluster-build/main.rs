//! The command line of paas-cluster-build: what is typed becomes a command, what goes wrong becomes
//! a message and an exit code.

#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    reason = "clap's doc comments are the help; the rest is private"
)]

mod args;
mod commands;
mod conductor;
mod confirm;
mod consent;
mod exit;
mod follow;
mod identity;
mod inventory;
mod keep;
mod secrets;
mod show;
mod state;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use paas_cluster_build::engine::Limits;
use paas_cluster_build::job::Action;

use args::{Cli, Command, ExplainWhat};
use commands::{build, exec, ks, lab, look, plan, remove, runs};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(failure) => exit::report(&failure),
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    let common = &cli.common;
    let Some(command) = &cli.command else {
        return build::build(common, &cli.build);
    };
    match command {
        Command::Build(args) => build::build(common, args),
        Command::Bootstrap { run, force } => build::bootstrap(common, run, *force),
        Command::Plan(args) => plan::plan(common, args),
        Command::Apply(args) => plan::apply(common, args),
        Command::Render {
            components,
            limit,
            to,
        } => look::render(common, components, &limit.limit, to),
        Command::Check => look::check(common),
        Command::Status {
            components,
            limit,
            forks,
        } => look::status(common, components, &limit.limit, forks.forks),
        Command::Runs { last } => runs::runs(common, *last),
        Command::Attach { run, limit, forks } => runs::attach(common, run.as_deref(), limit, forks),
        Command::Cancel {
            run,
            limit,
            forks,
            grace,
        } => {
            let limits = Limits {
                grace: *grace,
                ..Limits::with_forks(forks.forks)
            };
            runs::cancel(common, run, limit, limits)
        }
        Command::Start(args) => build::control(common, args, Action::Start),
        Command::Stop(args) => build::control(common, args, Action::Stop),
        Command::Restart(args) => build::control(common, args, Action::Restart),
        Command::Remove(args) => remove::remove(common, args),
        Command::Exec {
            limit,
            forks,
            root,
            command,
        } => exec::exec(common, &limit.limit, forks.forks, *root, command),
        Command::Lab { action } => lab::lab(common, action),
        Command::Ks { action } => ks::ks(common, action),
        Command::Zone { action } => ks::zone(common, action),
        Command::Directive { directive, confirm } => {
            ks::directive(common, directive, confirm.as_deref())
        }
        Command::Explain {
            what: ExplainWhat::Scheme { name },
        } => ks::explain(name.as_deref()),
        Command::Schema => look::schema(),
        Command::Completions { shell } => {
            clap_complete::generate(
                *shell,
                &mut Cli::command(),
                "paas-cluster-build",
                &mut std::io::stdout(),
            );
            Ok(Exit::Done)
        }
    }
}
