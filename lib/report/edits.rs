//! What steps set in the release's own files, for people: equal lists of several hosts once.

use std::fmt::Write;

use super::table::printable;
use crate::plan::StepId;

/// Writes which files and keys the steps set, each list with the steps that it is of.
pub fn edits_text(edits: &[(StepId, Vec<String>)]) -> String {
    let mut groups: Vec<(&str, &[String], Vec<String>)> = Vec::new();
    for (id, lines) in edits {
        let same = |group: &&mut (&str, &[String], Vec<String>)| {
            group.0 == id.step && group.1 == lines.as_slice()
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.2.push(id.host.to_string()),
            None => groups.push((&id.step, lines, vec![id.host.to_string()])),
        }
    }
    let mut out = String::new();
    for (step, lines, hosts) in groups {
        let _ = writeln!(
            out,
            "{} on {} sets in the release",
            printable(step),
            hosts.join(", ")
        );
        for line in lines {
            let _ = writeln!(out, "  {}", printable(line));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_shown_once() {
        let edit = |host: &str, line: &str| {
            let id = StepId {
                step: "router".to_owned(),
                host: host.parse().unwrap(),
            };
            (id, vec!["jobs/r.yml".to_owned(), line.to_owned()])
        };
        let all = [
            edit("10.0.0.1", "  index = 0"),
            edit("10.0.0.2", "  index = 0"),
            edit("10.0.0.3", "  index = 1"),
        ];
        assert_eq!(
            edits_text(&all),
            "router on 10.0.0.1, 10.0.0.2 sets in the release\n  jobs/r.yml\n    index = 0\n\
             router on 10.0.0.3 sets in the release\n  jobs/r.yml\n    index = 1\n"
        );
    }
}
