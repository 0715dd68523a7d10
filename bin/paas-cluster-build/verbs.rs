//! A word that is neither a subcommand nor a component: what may have been meant by it.

use clap::CommandFactory;
use paas_cluster_build::cluster_file::nearest;
use paas_cluster_build::model::Cluster;

use crate::args::Cli;
use crate::exit::Failure;

/// Words that other tools have for what this one does, each with what to type here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["init", "new", "setup", "generate"],
        "nothing is to be set up: write a cluster file (README.md has one) and type `check`",
    ),
    (
        &[
            "deploy",
            "install",
            "up",
            "provision",
            "converge",
            "create",
            "update",
            "upgrade",
            "sync",
        ],
        "`build` makes the hosts so as the cluster file says",
    ),
    (
        &["rollback", "undo", "revert", "downgrade"],
        "nothing is rolled back: put the cluster file (or the release) back as it was and type \
         `plan`, then `build`",
    ),
    (
        &["history", "jobs", "tasks", "events"],
        "`runs` lists what ran; `attach RUN` shows it",
    ),
    (
        &["log", "journal", "tail", "watch", "follow"],
        "`logs -f` shows what the services say, `attach RUN` a run",
    ),
    (
        &[
            "destroy",
            "delete",
            "uninstall",
            "down",
            "rm",
            "purge",
            "teardown",
            "clean",
        ],
        "`remove COMPONENT|HOST` takes down; `lab down` ends the lab's machines",
    ),
    (
        &[
            "ps", "top", "list", "ls", "info", "health", "state", "get", "describe",
        ],
        "`status` shows what runs where, and how it is",
    ),
    (
        &["show"],
        "`plan` shows what would run, `status` what is there, `attach RUN` a run",
    ),
    (
        &["ssh", "shell", "sh", "run", "adhoc", "command", "cmd"],
        "`exec --limit HOST -- COMMAND` runs a command on hosts; `lab ssh HOST` logs in to the \
         lab's machines",
    ),
    (
        &["diff", "preview", "dry-run", "what-if"],
        "`plan` shows what would run and why, `plan --diff` how the scripts differ",
    ),
    (
        &["validate", "lint", "verify", "test"],
        "`check` validates the cluster file",
    ),
    (
        &["abort", "kill", "interrupt"],
        "`cancel RUN` ends a run's steps",
    ),
    (&["reload"], "`restart COMPONENT` restarts"),
    (&["ping"], "`exec -- true` reaches every host once"),
    (&["template"], "`render` writes every script to a folder"),
];

/// Says what may have been meant by a word; nothing where no subcommand comes near it.
pub fn hint(word: &str) -> Option<String> {
    let elsewhere = ELSEWHERE.iter().find(|(words, _)| words.contains(&word));
    if let Some((_, here)) = elsewhere {
        return Some(format!("there is no subcommand `{word}`: {here}"));
    }
    let cli = Cli::command();
    let names = cli.get_subcommands().map(|command| command.get_name());
    let near = nearest(word, names)?;
    // A slip, not another word of the same length.
    let slips = strsim::damerau_levenshtein(word, near);
    (slips <= (word.len() / 4).max(1)).then(|| format!("did you mean the subcommand `{near}`?"))
}

/// Says it for the words that were typed where components may stand and aren't any.
pub fn hints(words: &[String], cluster: Option<&Cluster>) -> Vec<String> {
    let is_known = |word: &String| cluster.is_some_and(|c| c.component(word).is_some());
    let unknown = words.iter().filter(|word| !is_known(word));
    unknown.filter_map(|word| hint(word)).collect()
}

/// Adds to the error of a cluster file that can't be read what its absence means for a word that
/// was typed where a subcommand or a component may stand.
pub fn unreadable(word: &str, why: &str) -> Failure {
    let help = hint(word).unwrap_or_else(|| "`--help` lists the subcommands".to_owned());
    Failure::usage(format!(
        "`{word}` is no subcommand, and whether it's a component can't be told: {why}\n\
         help: {help}\n\
         help: to redeploy a component `{word}`, name its cluster file: -c FILE {word}"
    ))
}

/// Adds to what is wrong with the cluster file that the words typed may be no components at all.
pub fn beside(failure: Failure, words: &[String]) -> Failure {
    let hints = match failure.is_drawn() {
        true => hints(words, None),
        false => Vec::new(),
    };
    let more: String = hints
        .iter()
        .map(|hint| format!("\n\nhelp: {hint}"))
        .collect();
    failure.followed_by(&more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_other_tools_is_a_subcommand_here_and_none_stands_twice() {
        let cli = Cli::command();
        let mut seen = std::collections::BTreeSet::new();
        for word in ELSEWHERE.iter().flat_map(|(words, _)| *words) {
            assert!(cli.find_subcommand(word).is_none(), "{word}");
            assert!(seen.insert(word), "{word} stands twice");
        }
    }

    #[test]
    fn slips_are_found_and_other_words_left_alone() {
        assert!(hint("staus").is_some_and(|said| said.contains("`status`")));
        assert!(hint("biuld").is_some_and(|said| said.contains("`build`")));
        assert!(hint("show").is_some_and(|said| !said.contains("stop")));
        assert_eq!(hint("page"), None);
    }
}
