//! The packet filter rules of a lab: forwarding in and out, one masquerade for each network, and
//! the walls between rooms that were cut.
//!
//! Every rule carries the lab's comment, so that `down` finds them by reading, not by remembering.

use super::addresses::Net;
use super::command;
use super::error::Error;
use super::names::Names;

/// How long iptables may wait for another program that changes rules.
const WAIT: [&str; 2] = ["-w", "30"];

/// Adds what is missing: forwarding between the lab's bridges and out, and the masquerade.
pub(super) fn open(names: &Names, networks: &[Net]) -> Result<(), Error> {
    let (chain, any, comment) = (
        names.chain(),
        format!("{}+", names.prefix()),
        names.comment(),
    );
    if iptables("filter", &["-S", &chain]).is_err() {
        iptables("filter", &["-N", &chain])?;
    }
    let note = ["-m", "comment", "--comment", &comment];
    // A chain of its own keeps the order: walls are put before these two, whenever they are made.
    for side in ["-i", "-o"] {
        ensure(
            "filter",
            "-A",
            &chain,
            &[&[side, &any], &note[..], &["-j", "ACCEPT"]].concat(),
        )?;
    }
    // First in FORWARD, since other tools end that chain with a general refusal.
    ensure(
        "filter",
        "-I",
        "FORWARD",
        &[&note[..], &["-j", &chain]].concat(),
    )?;
    for network in networks {
        let network = network.to_string();
        let from = ["-s", &network, "!", "-o", &any];
        ensure(
            "nat",
            "-A",
            "POSTROUTING",
            &[&from, &note[..], &["-j", "MASQUERADE"]].concat(),
        )?;
    }
    Ok(())
}

/// Puts a wall between two bridges, or takes it away.
pub(super) fn wall(names: &Names, a: &str, b: &str, up: bool) -> Result<(), Error> {
    let (chain, comment) = (names.chain(), names.comment());
    for (from, to) in [(a, b), (b, a)] {
        let note = ["-m", "comment", "--comment", &comment];
        let rule = [&["-i", from, "-o", to], &note[..], &["-j", "DROP"]].concat();
        if up {
            ensure("filter", "-I", &chain, &rule)?;
        } else if holds("filter", &chain, &rule) {
            iptables("filter", &[&["-D", &chain], &rule[..]].concat())?;
        }
    }
    Ok(())
}

/// Removes every rule and chain of the lab; returns how many there were.
pub(super) fn close(names: &Names) -> Result<usize, Error> {
    let mut removed = 0;
    for table in ["nat", "filter"] {
        let listing = iptables(table, &["-S"])?;
        for rule in of_lab(&listing, names) {
            iptables(table, &rule.iter().map(String::as_str).collect::<Vec<_>>())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Turns a listing of `iptables -S` into the commands that remove the lab's part of it.
fn of_lab(listing: &str, names: &Names) -> Vec<Vec<String>> {
    let (chain, comment) = (names.chain(), names.comment());
    let mut commands = Vec::new();
    let mut chains = Vec::new();
    for line in listing.lines() {
        // Only comments with spaces are quoted such that splitting breaks them; ours have none.
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match (words.first().map(String::as_str), words.get(1)) {
            (Some("-A"), Some(_)) if words.iter().any(|word| word.trim_matches('"') == comment) => {
                let delete = std::iter::once("-D".to_owned());
                let rest = words[1..]
                    .iter()
                    .map(|word| word.trim_matches('"').to_owned());
                commands.push(delete.chain(rest).collect());
            }
            (Some("-N"), Some(name)) if *name == chain => {
                // Its rules carry the comment, too, but one written by hand must not keep it.
                chains.push(vec!["-F".to_owned(), chain.clone()]);
                chains.push(vec!["-X".to_owned(), chain.clone()]);
            }
            _ => {}
        }
    }
    commands.extend(chains);
    commands
}

fn ensure(table: &str, how: &str, chain: &str, rule: &[&str]) -> Result<(), Error> {
    if holds(table, chain, rule) {
        return Ok(());
    }
    iptables(table, &[&[how, chain], rule].concat()).map(drop)
}

fn holds(table: &str, chain: &str, rule: &[&str]) -> bool {
    iptables(table, &[&["-C", chain], rule].concat()).is_ok()
}

fn iptables(table: &str, args: &[&str]) -> Result<String, Error> {
    command::run("iptables", WAIT.iter().chain(&["-t", table]).chain(args))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_the_labs_rules_are_removed_and_its_chain_last() {
        let names = Names::new(Path::new("/labs"), "mine");
        let (chain, comment) = (names.chain(), names.comment());
        let other = Names::new(Path::new("/labs"), "mine2").comment();
        let listing = format!(
            "-P FORWARD DROP\n-N DOCKER\n-N {chain}\n\
             -A FORWARD -m comment --comment {comment} -j {chain}\n\
             -A FORWARD -m comment --comment \"{other}\" -j RETURN\n\
             -A {chain} -i pcbx+ -m comment --comment \"{comment}\" -j ACCEPT\n"
        );
        let commands: Vec<_> = of_lab(&listing, &names)
            .iter()
            .map(|c| c.join(" "))
            .collect();
        assert_eq!(
            commands[..1],
            [format!(
                "-D FORWARD -m comment --comment {comment} -j {chain}"
            )]
        );
        assert!(
            commands.iter().all(|command| !command.contains("mine2")),
            "{commands:?}"
        );
        assert_eq!(
            commands[commands.len() - 2..],
            [format!("-F {chain}"), format!("-X {chain}")]
        );
    }
}
