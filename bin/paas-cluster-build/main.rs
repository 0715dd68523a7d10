//! The command line of paas-cluster-build: what is typed becomes a command, what goes wrong becomes
//! a message and an exit code.

#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    reason = "clap's doc comments are the help; the rest is private"
)]

#[macro_use]
mod say;

mod args;
mod commands;
mod complete;
mod conductor;
mod confirm;
mod consent;
mod exit;
mod follow;
mod history;
mod identity;
mod inventory;
mod keep;
mod patience;
mod record;
mod secrets;
mod show;
mod source;
mod state;
mod survey;
mod verbs;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use paas_cluster_build::engine::Limits;
use paas_cluster_build::job::Action;
use tokio::signal::unix::{SignalKind, signal};

use args::{Cli, Command, ExplainWhat, Output};
use commands::{adopt, build, exec, ks, lab, logs, look, plan, remove, runs};
use exit::{Exit, Failure, end};
use source::Source;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return end(told(&error)),
    };
    let ended = limits_are_errors().and_then(|()| run(&cli));
    end(ended.unwrap_or_else(|failure| exit::report(&failure, cli.common.output)))
}

/// Prints what clap has to say: a mistake in what was typed, or the help that was asked for.
fn told(error: &clap::Error) -> Exit {
    let is_mistake = error.use_stderr();
    if is_mistake && args::asks_for_json() {
        let text = error.to_string();
        let message = text.trim_start_matches("error: ").to_owned();
        return exit::report(&Failure::usage(message), Output::Json);
    }
    let text = error.render().ansi().to_string();
    if is_mistake {
        err!("{text}");
        return Exit::Usage;
    }
    out!("{text}");
    Exit::Done
}

/// Lets a file that grows beyond `ulimit -f` be an error of the write, which is told, instead of
/// the end of this process.
fn limits_are_errors() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _entered = runtime.enter();
    // The handler stays when the stream is gone.
    let _ = signal(SignalKind::from_raw(SIGXFSZ))?;
    Ok(())
}

/// The signal's number on Linux, MIPS apart.
const SIGXFSZ: i32 = 25;

fn run(cli: &Cli) -> Result<Exit, Failure> {
    let common = &cli.common;
    let Some(command) = &cli.command else {
        if let Some(word) = cli.build.components.first()
            && let Err(error) = Source::of(&common.config).find()
        {
            let file = common.config.display();
            let why = format!("{file} can't be read: {error}");
            return Err(verbs::unreadable(word, &why));
        }
        return build::build(common, &cli.build)
            .map_err(|failure| verbs::beside(failure, &cli.build.components));
    };
    match command {
        Command::Build(args) => build::build(common, args),
        Command::Bootstrap { run, force } => build::bootstrap(common, run, *force),
        Command::Plan(args) => plan::plan(common, args),
        Command::Adopt(args) => adopt::adopt(common, args),
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
        Command::Logs(args) => logs::logs(common, args),
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
            words,
            command,
        } => {
            exec::check_words(words, command)?;
            exec::exec(common, &limit.limit, forks.forks, *root, command)
        }
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
        Command::Completions { shell } => complete::script(*shell),
        Command::Complete { words } => complete::names(words),
    }
}
