//! What changes in the steps that run, for people: equal changes of several hosts once.

use std::fmt::Write;

use super::table::{Tone, paint, printable};
use crate::plan::{StepDiff, StepId};

/// Writes the differences, each with the steps that it is of.
pub fn diff_text(differences: &[(StepId, StepDiff)], colour: bool) -> String {
    let mut groups: Vec<(&str, &StepDiff, Vec<String>)> = Vec::new();
    for (id, diff) in differences {
        let same =
            |group: &&mut (&str, &StepDiff, Vec<String>)| group.0 == id.step && group.1 == diff;
        match groups.iter_mut().find(same) {
            Some(group) => group.2.push(id.host.to_string()),
            None => groups.push((&id.step, diff, vec![id.host.to_string()])),
        }
    }
    let mut out = String::new();
    for (step, diff, hosts) in groups {
        let _ = writeln!(out, "{} on {}", printable(step), hosts.join(", "));
        match diff {
            StepDiff::New(lines) => {
                let _ = writeln!(
                    out,
                    "  new there: a script of {lines} lines (`render` writes it out)"
                );
            }
            StepDiff::Same => {
                let _ = writeln!(out, "  the script is the same");
            }
            StepDiff::Values(changed) => {
                let _ = writeln!(out, "  the script holds secrets and isn't kept on the host");
                if changed.is_empty() {
                    let _ = writeln!(out, "  no value changed: it's the job or this tool");
                }
                for line in changed {
                    let _ = writeln!(out, "  {}", printable(line));
                }
            }
            StepDiff::Adopted(changes) => {
                let _ = writeln!(out, "  adopted; a run changes");
                for line in changes {
                    let _ = writeln!(out, "  {}", printable(line));
                }
            }
            StepDiff::Script(unified) => {
                for line in unified.lines() {
                    let tone = match line.chars().next() {
                        Some('+') => Tone::Good,
                        Some('-') => Tone::Bad,
                        _ => Tone::Plain,
                    };
                    // A tab is harmless, and the old text is a host's word.
                    let line = printable(&line.replace('\t', "    "));
                    let _ = writeln!(out, "  {}", paint(&line, tone, colour));
                }
            }
        }
    }
    out
}
