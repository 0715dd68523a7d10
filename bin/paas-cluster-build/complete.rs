//! Completions that know the cluster: its hosts, components, rooms and zones, and the runs that this
//! machine remembers. Bash, zsh and fish call the tool itself for them; whatever can't be read
//! completes nothing, without a word.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use paas_cluster_build::cluster_file::{ClusterFile, RoomEntry, decode};
use paas_cluster_build::journal::RunFolder;

use crate::args::{Cli, Common, Output};
use crate::exit::{Exit, Failure};
use crate::source::Source;
use crate::state::state_dir;
use crate::workspace::Workspace;

/// How many of the newest runs are offered.
const RUNS: usize = 20;

/// What bash adds to the words that are always the same: the names that the tool tells it.
const NAMES_IN_BASH: &str = r#"
_paas-cluster-build-with-names() {
    GENERATED "$@"
    # The static part offers what positions are called, which nobody types.
    local name offered=(${COMPREPLY[@]+"${COMPREPLY[@]}"})
    COMPREPLY=()
    for name in ${offered[@]+"${offered[@]}"}; do
        if [[ $name != [\[\<]* ]]; then COMPREPLY+=("$name"); fi
    done
    while IFS= read -r name; do
        if [[ $name == "$2"* ]]; then COMPREPLY+=("$name"); fi
    done < <("$1" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    return 0
}
complete -F _paas-cluster-build-with-names -o nosort -o bashdefault -o default paas-cluster-build
"#;

/// How the function begins that clap_complete writes for zsh.
const ZSH_BEGINS: &str = "_paas-cluster-build() {\n";

/// What zsh adds. The generated function gets another name, so that the file may be sourced as well as
/// lie in a folder of `fpath`, where zsh calls what the file is named after. Wherever that function
/// would offer files for a value of which it knows nothing, it offers names if there are some.
const NAMES_IN_ZSH: &str = r#"
_paas-cluster-build() {
    local -a known_names
    local ret=1
    known_names=("${(@f)$("${(Q)words[1]}" complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    known_names=(${known_names:#})
    _paas-cluster-build-words "$@" && ret=0
    # Behind the first component the generated function knows of nothing.
    if (( ret && $#known_names )); then compadd -V names -a known_names && ret=0; fi
    return ret
}

_paas-cluster-build-names() {
    if (( $#known_names )); then
        compadd -V names -a known_names
    else
        _files "$@"
    fi
}

_paas-cluster-build-first() {
    local ret=1
    _paas-cluster-build_commands "$@" && ret=0
    if (( $#known_names )); then compadd -V names -a known_names && ret=0; fi
    return ret
}
"#;

/// What clap_complete writes for zsh, and what is to stand there.
const HOOKS_IN_ZSH: [(&str, &str); 3] = [
    (
        ":: :_paas-cluster-build_commands\"",
        ":: :_paas-cluster-build-first\"",
    ),
    ("$line[2]", "$line[1]"),
    (":_default'", ":_paas-cluster-build-names'"),
];

/// What fish adds. Its files are offered only where there are no names.
const NAMES_IN_FISH: &str = r#"
function __paas_cluster_build_asks
    set -l words (commandline -opc)
    set -g __paas_cluster_build_names ($words[1] complete -- $words[2..] "$(commandline -ct)" 2>/dev/null)
    test -n "$__paas_cluster_build_names"
end
complete -c paas-cluster-build -n __paas_cluster_build_asks -f -k -a '$__paas_cluster_build_names'
"#;

/// What fish adds for each option whose value is a name: it offers for a value only what was said of
/// the option itself.
const VALUES_IN_FISH: &str = "complete -c paas-cluster-build -n __paas_cluster_build_asks \
    -l OPTION -r -f -k -a '$__paas_cluster_build_names'\n";

/// The options whose value is a name, and of what.
const NAMED_BY_OPTIONS: [(&str, Kind); 4] = [
    ("limit", Kind::ComponentsAndHosts),
    ("to", Kind::Rooms),
    ("confirm", Kind::Rooms),
    ("disaster-zone", Kind::Zones),
];

/// Prints the completions of a shell.
pub fn script(shell: Shell) -> Result<Exit, Failure> {
    // Written at once: clap_complete takes a failed write for a bug of its own.
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "paas-cluster-build",
        &mut script,
    );
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
        // clap_complete 4.6 spells names with a hyphen in two ways, so that no option of a
        // subcommand was ever offered; this makes them one.
        script = script.replace("__subcmd__", "__");
    }
    let names = match shell {
        Shell::Bash => {
            // The generated script begins with its function, whatever that's called.
            let function = script.split("()").next().unwrap_or_default();
            NAMES_IN_BASH.replace("GENERATED", function.trim())
        }
        Shell::Zsh => {
            let (generated, register) =
                script.split_at(script.rfind("\nif [").unwrap_or(script.len()));
            let with_names = format!("{}{NAMES_IN_ZSH}{register}", renamed_in_zsh(generated));
            script = with_names;
            String::new()
        }
        Shell::Fish => {
            let values =
                NAMED_BY_OPTIONS.map(|(option, _)| VALUES_IN_FISH.replace("OPTION", option));
            format!("{NAMES_IN_FISH}{}", values.concat())
        }
        _ => String::new(),
    };
    out!("{script}{names}");
    Ok(Exit::Done)
}

/// What clap_complete wrote for zsh, with the hooks that offer names. It counts wrongly where components
/// may stand before a subcommand: there the first word is no component for it any more.
fn renamed_in_zsh(generated: &str) -> String {
    let mut text = generated.replace(ZSH_BEGINS, "_paas-cluster-build-words() {\n");
    for (written, wanted) in HOOKS_IN_ZSH {
        text = text.replace(written, wanted);
    }
    let lines = text.split_inclusive('\n');
    lines
        .filter(|line| !line.starts_with("'::components "))
        .collect()
}

/// Prints the names that may stand at the end of a line whose words are these, the last one begun.
pub fn names(words: &[String]) -> Result<Exit, Failure> {
    let line = Line { words };
    for name in line.names() {
        outln!("{name}");
    }
    Ok(Exit::Done)
}

/// A line that is being typed, without the tool's own name.
struct Line<'a> {
    words: &'a [String],
}

/// What kinds of names there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Components,
    Hosts,
    ComponentsAndHosts,
    Rooms,
    Zones,
    Runs,
    None,
}

impl Line<'_> {
    fn names(&self) -> Vec<String> {
        match self.kind() {
            Kind::Components => self.components(),
            Kind::Hosts => self.hosts(),
            Kind::ComponentsAndHosts => [self.components(), self.hosts()].concat(),
            Kind::Rooms => self.rooms(|room| Some(room.name.value)),
            Kind::Zones => self.rooms(|room| Some(room.zone?.value)),
            Kind::Runs => self.runs().unwrap_or_default(),
            Kind::None => Vec::new(),
        }
    }

    /// What may stand in place of the last word: that is said by the option before it, or by the
    /// subcommand.
    fn kind(&self) -> Kind {
        let [before @ .., last] = self.words else {
            return Kind::None;
        };
        if last.starts_with('-') || before.iter().any(|word| word == "--") {
            return Kind::None;
        }
        let cli = Cli::command();
        let mut command = &cli;
        let mut path = Vec::new();
        let mut skipped = false;
        for (at, word) in before.iter().enumerate() {
            let is_last = at + 1 == before.len();
            if std::mem::take(&mut skipped) {
                continue;
            }
            if word.starts_with('-') {
                let takes_value = takes_value(command, &cli, word);
                if is_last && takes_value {
                    return of_option(word);
                }
                skipped = takes_value;
            } else if let Some(inner) = command.find_subcommand(word) {
                command = inner;
                path.push(inner.get_name());
            }
        }
        of_subcommand(&path)
    }

    fn components(&self) -> Vec<String> {
        let components = self.file().map(|file| file.components).unwrap_or_default();
        components.into_iter().map(|name| name.value).collect()
    }

    fn hosts(&self) -> Vec<String> {
        let servers = self.file().map(|file| file.server).unwrap_or_default();
        let hosts = servers.into_iter().flat_map(|server| server.hosts);
        let mut hosts: Vec<_> = hosts.map(|host| host.ip.value).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.iter().map(ToString::to_string).collect()
    }

    fn rooms(&self, name: fn(RoomEntry) -> Option<String>) -> Vec<String> {
        let rooms = self.file().and_then(|file| file.global_ks);
        let rooms = rooms.map(|ks| ks.rooms).unwrap_or_default();
        rooms.into_iter().filter_map(name).collect()
    }

    /// The newest runs that this machine remembers.
    fn runs(&self) -> Option<Vec<String>> {
        let common = Common {
            config: self.config(),
            state_dir: self.option(&["--state-dir"]).map(PathBuf::from),
            adopt: Vec::new(),
            connect_timeout: None,
            output: Output::Human,
            release: None,
        };
        if let Source::Once(_) = Source::of(&common.config) {
            return None;
        }
        let workspace = Workspace::load(&common).ok()?;
        let folders = RunFolder::all(
            &state_dir(&common, &workspace).ok()?,
            &workspace.cluster.name,
        );
        let newest = folders.iter().rev().take(RUNS);
        Some(newest.map(|folder| folder.run().to_owned()).collect())
    }

    /// Reads of the cluster file what can be read: also one with mistakes has names.
    fn file(&self) -> Option<ClusterFile> {
        let config = self.config();
        let source = Source::of(&config);
        if let Source::Once(_) = source {
            // It will be read by the command that is being typed.
            return None;
        }
        let text = decode(&source.read().ok()?).ok()?;
        ClusterFile::parse(&config, &text).0
    }

    /// The cluster file that the line names.
    fn config(&self) -> PathBuf {
        let named = self.option(&["-c", "--config"]);
        let named = named.or_else(|| std::env::var("PAAS_CLUSTER_FILE").ok());
        let named = named.unwrap_or_else(|| "config/cluster.yml".to_owned());
        // The shell hands words over before it makes paths of them.
        match (named.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => PathBuf::from(named),
        }
    }

    fn option(&self, names: &[&str]) -> Option<String> {
        option_in(self.words, names)
    }
}

/// Tells whether the word after an option is its value.
fn takes_value(command: &clap::Command, cli: &clap::Command, word: &str) -> bool {
    let mut options = command.get_arguments().chain(cli.get_arguments());
    let is_named = |arg: &&clap::Arg| {
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        long.as_deref() == Some(word) || short.as_deref() == Some(word)
    };
    options
        .find(is_named)
        .is_some_and(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
}

fn of_option(option: &str) -> Kind {
    let named = option.strip_prefix("--").and_then(|name| {
        let mut all = NAMED_BY_OPTIONS.iter();
        all.find(|(option, _)| *option == name)
    });
    named.map_or(Kind::None, |(_, kind)| *kind)
}

fn of_subcommand(path: &[&str]) -> Kind {
    match path {
        []
        | [
            "adopt" | "build" | "logs" | "plan" | "render" | "status" | "start" | "stop"
            | "restart",
        ] => Kind::Components,
        ["remove"] => Kind::ComponentsAndHosts,
        ["attach" | "cancel"] => Kind::Runs,
        ["lab", "ssh" | "kill" | "boot" | "cut" | "heal"] => Kind::Hosts,
        ["lab", "cut-rooms" | "heal-rooms"] => Kind::Rooms,
        ["zone", _] => Kind::Zones,
        _ => Kind::None,
    }
}

/// Finds an option's value in the line that is being typed.
fn option_in(words: &[String], names: &[&str]) -> Option<String> {
    let words = words.split(|word| word == "--").next().unwrap_or_default();
    let mut found = None;
    for (at, word) in words.iter().enumerate() {
        for name in names {
            let is_long = name.starts_with("--");
            match word.strip_prefix(name) {
                Some("") => found = words.get(at + 1).cloned(),
                Some(rest) if !is_long => found = Some(rest.trim_start_matches('=').to_owned()),
                Some(rest) => {
                    if let Some(value) = rest.strip_prefix('=') {
                        found = Some(value.to_owned());
                    }
                }
                None => {}
            }
        }
    }
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_however_it_is_typed() {
        for (line, value) in [
            ("build", None),
            ("-c a.yml build", Some("a.yml")),
            ("build -ca.yml", Some("a.yml")),
            ("build --config a.yml", Some("a.yml")),
            ("build --config=a.yml", Some("a.yml")),
            ("build --config-x=a.yml", None),
            ("exec -- tar -c b", None),
            ("build -c", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let found = option_in(&words, &["-c", "--config"]);
            assert_eq!(found.as_deref(), value, "{line}");
        }
    }

    #[test]
    fn what_may_stand_at_the_end_follows_from_option_and_subcommand() {
        for (line, kind) in [
            ("", Kind::Components),
            ("-c a.yml ro", Kind::Components),
            ("plan ro", Kind::Components),
            ("plan --limit ", Kind::ComponentsAndHosts),
            ("--output json plan ", Kind::Components),
            ("plan --output ", Kind::None),
            ("plan --out ", Kind::None),
            ("build --wait ", Kind::Components),
            ("logs -f --since 10m ", Kind::Components),
            ("logs --grep ", Kind::None),
            ("remove nats ", Kind::ComponentsAndHosts),
            ("attach ", Kind::Runs),
            ("cancel --grace 5s ", Kind::Runs),
            ("lab kill ", Kind::Hosts),
            ("ks failover --to ", Kind::Rooms),
            ("zone activate ", Kind::Zones),
            ("exec -- ", Kind::None),
            ("plan --of", Kind::None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(Line { words: &words }.kind(), kind, "{line}");
        }
    }
}
